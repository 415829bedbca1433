"""Signal processing that several packages share: SNR, filters, reverberation, RT60, noises, FFT lengths.

Samples are 16 kHz mono float32 arrays of shape (n,), unless a function says otherwise.
"""
