"""Constants that several modules share, with their units."""

from typing import Final

SAMPLE_RATE: Final = 16_000
"""Sample rate of all audio inside earprint, in Hz (paper, section 3.2)."""

FRAME_HOP: Final = 160
"""Hop of spectrograms, in samples (10 ms)."""

FRAME_RATE: Final = SAMPLE_RATE / FRAME_HOP
"""Spectrogram frames per second."""

N_MELS: Final = 64
"""Number of mel bands (paper, section 3.2)."""

SEGMENT_FRAMES: Final = 96
"""Length of the paper's segments, in spectrogram frames (960 ms; section 3.2)."""

FINGERPRINT_DIM: Final = 128
"""Dimensions of a fingerprint (paper, section 3.2)."""

SILENCE_MEAN_SQUARE: Final = 1e-6
"""A window is silent if its mean square is below this, relative to the recording's squared peak (-60 dB)."""

PAST_S: Final = 1.0
"""Audio before a query whose reverberation reaches into it, in seconds (notes on the paper)."""
