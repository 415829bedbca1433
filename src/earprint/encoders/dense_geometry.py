"""Geometry of the dense encoders: their time grid and their receptive field, in spectrogram frames of 10 ms.

Training and the encoder that runs an exported model both import these numbers. This module needs no torch.
"""

from typing import Final

from earprint.constants import SEGMENT_FRAMES

STEP_FRAMES: Final = 4
"""Frames between two fingerprints, 40 ms: the network's total stride in time."""

HEAD_STEPS: Final = SEGMENT_FRAMES // STEP_FRAMES
"""Steps under one fingerprint: 24 steps of 40 ms are 960 ms."""

CONTEXT_LEFT: Final = 25
"""Frames before a window that its fingerprint also depends on."""

CONTEXT_RIGHT: Final = 26
"""Frames after a window that its fingerprint also depends on."""

RECEPTIVE_FIELD: Final = CONTEXT_LEFT + SEGMENT_FRAMES + CONTEXT_RIGHT
"""Frames under one fingerprint with its context, 147: the shortest input that gives one row."""
