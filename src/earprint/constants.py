"""Every number that more than one module shares, with its unit."""

from typing import Final

SAMPLE_RATE: Final = 16_000
"""Sample rate of all audio inside earprint, in Hz (paper, section 3.2)."""

FRAME_HOP: Final = 160
"""Spectrogram hop, in samples: one frame every 10 ms."""

FRAME_RATE: Final = SAMPLE_RATE / FRAME_HOP
"""Spectrogram frames per second."""

N_MELS: Final = 64
"""Mel bands of every front end (paper, section 3.2)."""

SEGMENT_FRAMES: Final = 96
"""Frames under one fingerprint, 960 ms (paper, section 3.2)."""

FINGERPRINT_DIM: Final = 128
"""Components of one fingerprint (paper, section 3.2)."""

SILENCE_MEAN_SQUARE: Final = 1e-6
"""A window whose mean square lies below this share of the track's squared peak is silent (-60 dB)."""
