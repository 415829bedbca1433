"""Libraries of recordings: add, identify, and maintenance."""

from earprint.library.encoding_pool import EncodingPool, FileEncoder
from earprint.library.library import Library
from earprint.library.reports import ExportReport, ImportReport, RebuildReport, RepairReport
from earprint.library.results import (
    AddEvent,
    AddReport,
    Failure,
    Identification,
    LibraryInfo,
    Match,
    Segment,
)
from earprint.store.results import CompactReport, Track, TrackProblem, VerifyReport
from earprint.store.store import Settings

__all__ = [
    "AddEvent",
    "AddReport",
    "CompactReport",
    "EncodingPool",
    "ExportReport",
    "Failure",
    "FileEncoder",
    "Identification",
    "ImportReport",
    "Library",
    "LibraryInfo",
    "Match",
    "RebuildReport",
    "RepairReport",
    "Segment",
    "Settings",
    "Track",
    "TrackProblem",
    "VerifyReport",
]
