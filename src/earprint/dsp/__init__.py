"""Signal processing that several packages share: noise at an SNR, rooms, filters, FFT lengths."""
