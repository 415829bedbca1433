"""Log-mel spectrograms in NumPy, for streams of audio of any length."""

from earprint.features.logmel import DENSE_FRONT_END, PAPER_FRONT_END, FrontEnd, LogMelStream
from earprint.features.normalise import normalise, normalise_stream
from earprint.features.silence import silent_windows

__all__ = [
    "DENSE_FRONT_END",
    "PAPER_FRONT_END",
    "FrontEnd",
    "LogMelStream",
    "normalise",
    "normalise_stream",
    "silent_windows",
]
