"""What the store returns: recordings, their faults, and the reports of compaction and verification.

All times are in seconds. ``to_dict`` gives data that `json.dumps` accepts.
"""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any


class Result:
    """Base of all results: frozen dataclasses that become dictionaries."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes as a dictionary for JSON: results become dictionaries, paths text."""
        return {item.name: _plain(getattr(self, item.name)) for item in fields(self)}  # type: ignore[arg-type]


def _plain(value: Any) -> Any:
    if isinstance(value, Result):
        return value.to_dict()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return value


@dataclass(frozen=True, slots=True)
class Track(Result):
    """One recording of a library.

    Attributes
    ----------
    id : int
        Number of the track. No other track of the library ever gets it.
    path : str or None
        Absolute path of the file when it was added; None for audio from memory.
    title : str
        From the file's tags, or the file's name without extension.
    artist, album : str or None
        From the file's tags.
    duration_s : float
        Length of the audio, in seconds.
    content_hash : str
        Digest of the file's bytes. The library holds each content once.
    added_at : str
        Date and time of adding, ISO 8601, UTC.

    Examples
    --------
    >>> import earprint
    >>> with earprint.Library("my-library") as library:
    ...     track = library.add("music/song 0.wav").added[0]
    >>> track.id, track.title, track.duration_s
    (1, 'song 0', 12.0)
    >>> sorted(track.to_dict())[:3]
    ['added_at', 'album', 'artist']
    """

    id: int
    path: str | None
    title: str
    artist: str | None
    album: str | None
    duration_s: float
    content_hash: str
    added_at: str


@dataclass(frozen=True)
class TrackProblem(Result):
    """A track that is damaged, or that could not be fingerprinted again.

    Attributes
    ----------
    track : Track
    cause : str
        One line.
    """

    track: Track
    cause: str


@dataclass(frozen=True)
class CompactReport(Result):
    """Result of `earprint.Library.compact`.

    Attributes
    ----------
    segments_before, segments_after : int
        Number of segment files.
    rows_dropped : int
        Fingerprints of removed tracks that were deleted from the disk.
    bytes_freed : int
    left : list of str
        Damaged segments, which are not rewritten; one line each.
    """

    segments_before: int
    segments_after: int
    rows_dropped: int
    bytes_freed: int
    left: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class VerifyReport(Result):
    """Result of `earprint.Library.verify`.

    Attributes
    ----------
    tracks, segments, size_bytes : int
        Number of tracks and segments that were read, and the size of the segments.
    problems : list of str
        Damaged files and contradictions in the catalogue, one line each.
    damaged : list of TrackProblem
        Damaged tracks. They are not searched until they are repaired.
    strays : list of Path
        Files that no track needs, left by an interrupted writer or being written now. They do no harm.
    """

    tracks: int
    segments: int
    size_bytes: int
    problems: list[str] = field(default_factory=list)
    damaged: list[TrackProblem] = field(default_factory=list)
    strays: list[Path] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether nothing is damaged."""
        return not self.problems and not self.damaged

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes and ``sound`` as a dictionary for JSON."""
        return {**Result.to_dict(self), "sound": self.sound}
