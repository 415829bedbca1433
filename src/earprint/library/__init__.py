"""Libraries of recordings on disk, and what they say."""

from earprint.library.library import Library
from earprint.library.records import (
    AddEvent,
    AddReport,
    Failure,
    Identification,
    LibraryInfo,
    Match,
    Track,
)

__all__ = [
    "AddEvent",
    "AddReport",
    "Failure",
    "Identification",
    "Library",
    "LibraryInfo",
    "Match",
    "Track",
]
