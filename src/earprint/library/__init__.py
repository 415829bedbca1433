"""Libraries of recordings on disk, and what they say."""

from earprint.library.elsewhere import FilesInProcesses
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
from earprint.library.reports import (
    CompactReport,
    ExportReport,
    ImportReport,
    RebuildReport,
    RepairReport,
    Trouble,
    VerifyReport,
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
