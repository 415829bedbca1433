"""What a library says: tracks, answers and reports, as plain frozen records.

All times are in seconds. ``to_dict`` gives what JSON can hold.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

EventKind = Literal["start", "done", "skipped", "failed", "warning"]


@dataclass(frozen=True, slots=True)
class Track:
    """One recording in a library.

    Attributes
    ----------
    id : int
        Number of the track; never given to another one.
    path : str or None
        Absolute path of the file when it was added; None if it was added from memory.
    title : str
        From the file's tags, else the file's name without extension.
    artist, album : str or None
        From the file's tags.
    duration_s : float
        Length of the audio.
    content_hash : str
        Digest of the file's bytes, by which it is recognised.
    added_at : str
        Date and time of adding, ISO 8601, UTC.
    """

    id: int
    path: str | None
    title: str
    artist: str | None
    album: str | None
    duration_s: float
    content_hash: str
    added_at: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON-ready data."""
        return asdict(self)


@dataclass(frozen=True)
class Match:
    """A track that a query may come from.

    Attributes
    ----------
    track : Track
    start_s : float
        Time in the track at which the query begins; negative if the query begins before the track.
    end_s : float
        Time in the track at which the query ends: ``start_s`` plus the query's length times its speed. It
        may lie past the track's end.
    score : float
        How well query and track agree there beyond the query's level (`earprint.matching.score_normalisation`): 1 at best,
        0 or less if no better than the query and sounds that the model knows anyway.
    lead : float
        ``score`` minus the score of the next candidate track (minus 0 if there is none).
    speed : float
        Of the query: at 1.03 it runs 3 % faster than the track.
    """

    track: Track
    start_s: float
    end_s: float
    score: float
    lead: float
    speed: float = 1.0

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON-ready data."""
        return asdict(self)


@dataclass(frozen=True)
class Identification:
    """The answer to one query.

    Attributes
    ----------
    query_duration_s : float
        Length of the query.
    threshold : float
        Least score of a match for a query of this length.
    matches : list of Match
        Candidates at or above the threshold, best first; empty means no match.
    candidates : list of Match
        All tracks considered, best first, however weak.
    seconds : float
        Time it took to answer.
    warnings : list of str
        What is wrong with the query, one line each: damage that was mended, or silence throughout.
    """

    query_duration_s: float
    threshold: float
    matches: list[Match]
    candidates: list[Match]
    seconds: float
    warnings: list[str] = field(default_factory=list)

    @property
    def match(self) -> Match | None:
        """The best match, or None."""
        return self.matches[0] if self.matches else None

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON-ready data."""
        return asdict(self)


@dataclass(frozen=True)
class Failure:
    """A file that could not be added, or a folder that holds none, and why, in one line."""

    path: Path
    cause: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON-ready data."""
        return {"path": str(self.path), "cause": self.cause}


@dataclass(frozen=True)
class AddEvent:
    """One step of adding, for a progress display.

    Attributes
    ----------
    kind : {"start", "done", "skipped", "failed", "warning"}
        "done", "skipped" and "failed" each end one file.
    path : Path
        The file it is about.
    message : str
        Why, for "skipped", "failed" and "warning"; else empty.
    audio_s : float
        Length of the file's audio for "done", else 0.
    bytes_done, bytes_total : int
        Sizes of the files ended so far, and of all files.
    files_done, files_total : int
        Files ended so far, and all files.
    """

    kind: EventKind
    path: Path
    message: str
    audio_s: float
    bytes_done: int
    bytes_total: int
    files_done: int
    files_total: int


@dataclass(frozen=True)
class AddReport:
    """What adding came to.

    Attributes
    ----------
    added : list of Track
    skipped : list of Path
        Files whose content the library (or this very call) already holds.
    failed : list of Failure
        Files and folders that gave nothing.
    warnings : list of str
        Troubles of files that were added all the same.
    replaced : list of Track
        Removed tracks: their files have other content now, which is among ``added``.
    """

    added: list[Track] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    replaced: list[Track] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON-ready data."""
        return {
            "added": [track.to_dict() for track in self.added],
            "skipped": [str(path) for path in self.skipped],
            "failed": [failure.to_dict() for failure in self.failed],
            "warnings": list(self.warnings),
            "replaced": [track.to_dict() for track in self.replaced],
        }


@dataclass(frozen=True)
class LibraryInfo:
    """A library at a glance.

    Attributes
    ----------
    path : str
    tracks : int
    duration_s : float
        Length of all tracks.
    fingerprints : int
        Stored vectors of all tracks.
    removed : int
        Tracks removed whose vectors are still on the disk; compacting deletes them.
    segments : int
        Files of vectors.
    size_bytes : int
        Size of the library on disk.
    model_id : str or None
        Model that made the fingerprints; None while nothing has been added.
    dim : int or None
        Components of a fingerprint.
    reference_hop_s : float or None
        Distance of two stored vectors of a track.
    storage : str or None
        How a fingerprint is stored, "half" or "compact"; None while nothing has been added.
    format_version : int
        Version of the library's layout on disk.
    damaged : int
        Tracks known to be damaged, which are not searched.
    unfinished_rebuild : str or None
        Model of a rebuild that was begun and not finished.
    """

    path: str
    tracks: int
    duration_s: float
    fingerprints: int
    removed: int
    segments: int
    size_bytes: int
    model_id: str | None
    dim: int | None
    reference_hop_s: float | None
    storage: str | None
    format_version: int
    damaged: int = 0
    unfinished_rebuild: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON-ready data."""
        return asdict(self)
