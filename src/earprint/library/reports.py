"""Results of repair, rebuild, export, import and merge: frozen dataclasses.

Those of `compact` and `verify` are in `earprint.store.results`. ``to_dict`` gives data that `json.dumps`
accepts.
"""

from dataclasses import dataclass, field
from pathlib import Path

from earprint.store.results import Result, Track, TrackProblem


@dataclass(frozen=True)
class RepairReport(Result):
    """Result of `earprint.Library.repair`.

    Attributes
    ----------
    recomputed : list of Track
        Damaged tracks that were fingerprinted again from their files.
    moved : int
        Number of intact tracks that were moved out of damaged segments.
    lost : list of TrackProblem
        Damaged tracks that could not be fingerprinted again.
    dropped : bool
        Whether the lost tracks were removed. Otherwise they stay, damaged.
    problems : list of str
        Contradictions in the catalogue, which a repair cannot mend; one line each.
    """

    recomputed: list[Track] = field(default_factory=list)
    moved: int = 0
    lost: list[TrackProblem] = field(default_factory=list)
    dropped: bool = False
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class RebuildReport(Result):
    """Result of `earprint.Library.rebuild`.

    Attributes
    ----------
    model_id : str
        Model of the new fingerprints.
    rebuilt : int
        Number of tracks with new fingerprints.
    resumed : int
        Number of these that an earlier, interrupted run had fingerprinted.
    missing : list of TrackProblem
        Tracks whose files are gone, changed or unreadable.
    switched : bool
        Whether the library holds the new fingerprints now. Otherwise it is unchanged.
    warnings : list of str
        Damage of files that were read nevertheless, one line each.
    """

    model_id: str
    rebuilt: int
    resumed: int
    missing: list[TrackProblem]
    switched: bool
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ExportReport(Result):
    """Result of `earprint.Library.export`.

    Attributes
    ----------
    path : Path
        The exported file.
    tracks, fingerprints, size_bytes : int
        Number of tracks and of their fingerprints, and the size of the file in bytes.
    """

    path: Path
    tracks: int
    fingerprints: int
    size_bytes: int


@dataclass(frozen=True)
class ImportReport(Result):
    """Result of `earprint.Library.import_file` and `merge`.

    Attributes
    ----------
    added : list of Track
    skipped : int
        Number of recordings whose content the library held already.
    """

    added: list[Track]
    skipped: int
