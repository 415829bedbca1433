"""Libraries of recordings on disk, and what they say."""

from earprint.library.encoding_pool import FilesInProcesses
from earprint.library.library import Library
from earprint.library.reports import (
    CompactReport,
    ExportReport,
    ImportReport,
    RebuildReport,
    RepairReport,
    Trouble,
    VerifyReport,
)
from earprint.library.results import (
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
    "CompactReport",
    "ExportReport",
    "Failure",
    "FilesInProcesses",
    "Identification",
    "ImportReport",
    "Library",
    "LibraryInfo",
    "Match",
    "RebuildReport",
    "RepairReport",
    "Track",
    "Trouble",
    "VerifyReport",
]
