"""What looking after a library comes to: reports of compact, verify, repair, rebuild, import and merge.

``to_dict`` gives what JSON can hold.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from earprint.library.results import Track


@dataclass(frozen=True)
class Trouble:
    """A track that something is wrong with, and what, in one line."""

    track: Track
    cause: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON-ready data."""
        return asdict(self)


@dataclass(frozen=True)
class CompactReport:
    """What compacting came to.

    Attributes
    ----------
    segments_before, segments_after : int
        Files of vectors.
    rows_dropped : int
        Vectors of removed tracks that are gone from the disk now.
    bytes_freed : int
    left : list of str
        Damaged segments, which were left as they are, one line each.
    """

    segments_before: int
    segments_after: int
    rows_dropped: int
    bytes_freed: int
    left: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON-ready data."""
        return asdict(self)


@dataclass(frozen=True)
class VerifyReport:
    """What verifying found.

    Attributes
    ----------
    tracks, segments, size_bytes : int
        How much was read.
    problems : list of str
        Damaged files, and contradictions in the catalogue, one line each.
    damaged : list of Trouble
        Tracks that are damaged; they are not searched until they are repaired.
    strays : list of Path
        Files that no track needs, left by an interrupted or a working writer: no damage.
    """

    tracks: int
    segments: int
    size_bytes: int
    problems: list[str] = field(default_factory=list)
    damaged: list[Trouble] = field(default_factory=list)
    strays: list[Path] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether nothing is damaged."""
        return not self.problems and not self.damaged

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON-ready data."""
        return {**asdict(self), "strays": [str(path) for path in self.strays], "sound": self.sound}


@dataclass(frozen=True)
class RepairReport:
    """What repairing came to.

    Attributes
    ----------
    recomputed : list of Track
        Damaged tracks that were made anew from their files.
    moved : int
        Sound tracks that were moved out of damaged segments.
    lost : list of Trouble
        Damaged tracks that could not be made anew.
    dropped : bool
        Whether those were removed; otherwise they stay, damaged.
    problems : list of str
        Contradictions in the catalogue, which repairing does not mend.
    """

    recomputed: list[Track] = field(default_factory=list)
    moved: int = 0
    lost: list[Trouble] = field(default_factory=list)
    dropped: bool = False
    problems: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON-ready data."""
        return asdict(self)


@dataclass(frozen=True)
class RebuildReport:
    """What rebuilding came to.

    Attributes
    ----------
    model_id : str
        Model of the new fingerprints.
    rebuilt : int
        Tracks that have new fingerprints.
    resumed : int
        Those among them that an earlier, interrupted run had made.
    missing : list of Trouble
        Tracks whose files are gone, changed or unreadable.
    switched : bool
        Whether the library holds the new fingerprints now; if not, it is as it was.
    warnings : list of str
        Troubles of files that were read all the same.
    """

    model_id: str
    rebuilt: int
    resumed: int
    missing: list[Trouble]
    switched: bool
    warnings: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON-ready data."""
        return asdict(self)


@dataclass(frozen=True)
class ExportReport:
    """What an exported file holds."""

    path: Path
    tracks: int
    fingerprints: int
    size_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON-ready data."""
        return {**asdict(self), "path": str(self.path)}


@dataclass(frozen=True)
class ImportReport:
    """What importing or merging came to.

    Attributes
    ----------
    added : list of Track
    skipped : int
        Recordings whose content the library held already.
    """

    added: list[Track]
    skipped: int

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON-ready data."""
        return asdict(self)
