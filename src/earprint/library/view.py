"""A library at one moment, ready to be searched.

The row space is made of sound live tracks only: rows of removed and of damaged tracks are left out when it is
laid together, so no search can find them, and they take no place among the nearest.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from earprint.errors import LibraryError
from earprint.index import ExactIndex
from earprint.library.catalogue import StoredTrack
from earprint.library.records import Track
from earprint.library.segments import Segment, checksum_of, open_segment, salvage_segment
from earprint.matching import TrackTable

Mapped = dict[int, NDArray[np.float16]]
"""Opened segments by number, each of shape (rows, dim)."""


@dataclass(frozen=True)
class View:
    """The sound live tracks of one moment as a searchable row space, in the order of ``tracks``.

    Attributes
    ----------
    tracks : list of Track
    table : TrackTable
        Entry i is ``tracks[i]``.
    index : ExactIndex or None
        None if there are no tracks.
    segments : dict of int to Segment
        All segments by their numbers.
    damaged : list of Track
        Live tracks that cannot be searched, as their vectors are known to be damaged.
    meta : dict of str to str
        Facts about the whole library.
    """

    tracks: list[Track]
    table: TrackTable
    index: ExactIndex | None
    segments: dict[int, Segment]
    damaged: list[Track] = field(default_factory=list)
    meta: dict[str, str] = field(default_factory=dict)


def build_view(
    stored: Sequence[StoredTrack],
    segments: dict[int, Segment],
    folder: Path,
    mapped: Mapped,
    meta: dict[str, str] | None = None,
) -> View:
    """Lay the live tracks' vectors together.

    Parameters
    ----------
    stored : sequence of StoredTrack
        Live tracks, ordered by segment and first row.
    segments : dict of int to Segment
    folder : Path
        Where the segments lie.
    mapped : dict of int to ndarray
        Segments opened before, by number; those needed besides are opened and entered, those that the
        catalogue has forgotten are let go.
    meta : dict of str to str, optional
    """
    for number in mapped.keys() - segments.keys():
        del mapped[number]
    opened = dict(mapped)
    damaged = {track.track.id for track in stored if track.damage is not None}
    for number in sorted({track.segment_id for track in stored} - opened.keys()):
        try:
            opened[number] = mapped[number] = open_segment(folder, segments[number])
        except LibraryError:
            opened[number] = salvage_segment(folder, segments[number])
            mine = [track for track in stored if track.segment_id == number]
            damaged |= {track.track.id for track in mine if not is_sound(track, opened[number])}
    sound = [track for track in stored if track.track.id not in damaged]
    first_rows = np.cumsum([0, *(track.n_rows for track in sound)])[:-1]
    parts = [opened[number][first:stop] for number, first, stop in _live_ranges(sound)]
    return View(
        tracks=[track.track for track in sound],
        table=TrackTable(first_rows.tolist(), [track.n_rows for track in sound]),
        index=ExactIndex(parts, parts[0].shape[1]) if parts else None,
        segments=segments,
        damaged=[track.track for track in stored if track.track.id in damaged],
        meta=meta or {},
    )


def is_sound(track: StoredTrack, segment: NDArray[np.float16]) -> bool:
    """Tell whether a track's vectors are those that were written; without a checksum nobody can.

    Parameters
    ----------
    track : StoredTrack
    segment : ndarray of float16, shape (rows, dim)
        All of its segment.
    """
    rows = segment[track.first_row : track.first_row + track.n_rows]
    return track.checksum is not None and checksum_of(rows) == track.checksum


def _live_ranges(stored: Sequence[StoredTrack]) -> Iterator[tuple[int, int, int]]:
    """Yield (segment, first row, stop row) of the rows of live tracks, joined where they adjoin."""
    current: tuple[int, int, int] | None = None
    for track in stored:
        stop = track.first_row + track.n_rows
        if current is not None and current[0] == track.segment_id and current[2] == track.first_row:
            current = (current[0], current[1], stop)
            continue
        if current is not None:
            yield current
        current = (track.segment_id, track.first_row, stop)
    if current is not None:
        yield current
