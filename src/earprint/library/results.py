"""Results of `add`, `identify` and `info`: frozen dataclasses.

All times are in seconds. ``to_dict`` gives data that `json.dumps` accepts.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from earprint.store.results import Result, Track

EventKind = Literal["start", "done", "skipped", "failed", "warning"]


@dataclass(frozen=True)
class Match(Result):
    """A track that a query may come from.

    Attributes
    ----------
    track : Track
    start_s : float
        Time in the track at which the query begins, in seconds; negative if it begins before the track.
    end_s : float
        Time in the track at which the query ends, in seconds: ``start_s`` plus the query's length times
        ``speed``. It may lie after the track's end.
    score : float
        Mean cosine along the best alignment, normalised by a fixed cohort: 1 for identical fingerprints, 0 or
        less for unrelated audio. See `earprint.matching.score_normalisation`.
    lead : float
        ``score`` minus the score of the next candidate; minus 0 if there is none.
    speed : float
        Speed of the query: at 1.03 it runs 3 % faster than the track.

    Examples
    --------
    >>> import earprint
    >>> with earprint.Library("my-library") as library:
    ...     report = library.add("music/")
    ...     match = library.identify("noisy-clip.wav").match
    >>> match.score > 0.3, round(match.end_s - match.start_s, 2), match.speed
    (True, 5.0, 1.0)
    """

    track: Track
    start_s: float
    end_s: float
    score: float
    lead: float
    speed: float = 1.0


@dataclass(frozen=True)
class Segment(Result):
    """A part of a query that comes from a track.

    Attributes
    ----------
    track : Track
    query_start_s, query_end_s : float
        Where the segment begins and ends in the query, in seconds.
    start_s, end_s : float
        Where it begins and ends in the track, in seconds.
    speed : float
        Tempo of the query divided by that of the track, at the end of the segment.
    pitch : float
        Frequencies of the query divided by those of the track, in steps of a semitone or less.
    score : float
        As for `Match`, over the segment.
    expected_false : float
        Expected number of segments of unrelated audio that score as high in a library of this size.

    Examples
    --------
    >>> import earprint
    >>> with earprint.Library("my-library") as library:
    ...     report = library.add("music/")
    ...     segment = library.identify("noisy-clip.wav").segments[0]
    >>> segment.track.title, round(segment.start_s), round(segment.end_s), segment.expected_false < 1e-3
    ('song 1', 4, 9, True)
    """

    track: Track
    query_start_s: float
    query_end_s: float
    start_s: float
    end_s: float
    speed: float
    pitch: float
    score: float
    expected_false: float


@dataclass(frozen=True)
class Identification(Result):
    """Result of `earprint.Library.identify` for one query.

    Attributes
    ----------
    query_duration_s : float
        Length of the query, in seconds.
    threshold : float
        Lowest score of a match.
    matches : list of Match
        Candidates at or above the threshold, best first; empty if there is no match.
    candidates : list of Match
        The best tracks, best first, whatever their score.
    seconds : float
        Time that the answer took, in seconds.
    warnings : list of str
        One line each: damage of the query, a silent query, damaged recordings in the library.
    segments : list of Segment
        The parts of the query that come from tracks, in the order of the query. Empty if there is no match,
        and for models and methods that do not find segments.

    Examples
    --------
    >>> import earprint
    >>> with earprint.Library("my-library") as library:
    ...     report = library.add("music/")
    ...     answer = library.identify("noisy-clip.wav")
    >>> answer.query_duration_s, len(answer.matches), answer.match == answer.matches[0]
    (5.0, 1, True)
    >>> answer.to_dict()["matches"][0]["track"]["title"]
    'song 1'
    """

    query_duration_s: float
    threshold: float
    matches: list[Match]
    candidates: list[Match]
    seconds: float
    warnings: list[str] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)

    @property
    def match(self) -> Match | None:
        """The best match, or None."""
        return self.matches[0] if self.matches else None


@dataclass(frozen=True)
class Failure(Result):
    """A file that could not be added, or a folder without audio files.

    Attributes
    ----------
    path : Path
    cause : str
        One line.
    """

    path: Path
    cause: str


@dataclass(frozen=True)
class AddEvent(Result):
    """Progress of `earprint.Library.add`: one step.

    Attributes
    ----------
    kind : {"start", "done", "skipped", "failed", "warning"}
        "done", "skipped" and "failed" end a file.
    path : Path
        The file.
    message : str
        The cause, for "skipped", "failed" and "warning"; else empty.
    audio_s : float
        For "done", the length of the file's audio in seconds; else 0.
    bytes_done, bytes_total : int
        Size of the files that have ended, and of all files.
    files_done, files_total : int
        Number of files that have ended, and of all files.
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
class AddReport(Result):
    """Result of `earprint.Library.add`.

    Attributes
    ----------
    added : list of Track
    skipped : list of Path
        Files whose content the library holds already.
    failed : list of Failure
        Files that could not be added, and folders without audio files.
    warnings : list of str
        Damage of files that were added nevertheless, one line each.
    replaced : list of Track
        Removed tracks: their files have other content now, which is among ``added``.
    """

    added: list[Track] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    replaced: list[Track] = field(default_factory=list)


@dataclass(frozen=True)
class LibraryInfo(Result):
    """Result of `earprint.Library.info`.

    Attributes
    ----------
    path : str
        Folder of the library.
    tracks : int
    duration_s : float
        Length of all tracks, in seconds.
    fingerprints : int
        Stored fingerprints of all tracks that can be searched.
    removed : int
        Removed tracks whose fingerprints are still on the disk; `compact` deletes them.
    segments : int
        Files of fingerprints.
    size_bytes : int
        Size of the library on disk.
    model_id : str or None
        Model that made the fingerprints; None for an empty library.
    dim : int or None
        Components of a fingerprint.
    reference_hop_s : float or None
        Time between two stored fingerprints, in seconds.
    storage : str or None
        "half" or "compact"; None for an empty library.
    format_version : int
        Version of the library's layout on disk.
    damaged : int
        Tracks that are known to be damaged. They are not searched.
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
