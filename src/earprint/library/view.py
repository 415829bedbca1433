"""A library at one moment, ready to be searched.

The row space is made of live tracks only: rows of removed tracks are left out when it is laid
together, so no search can find them, and they take no place among the nearest.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from earprint.index import ExactIndex
from earprint.library.catalogue import StoredTrack
from earprint.library.records import Track
from earprint.library.segments import Segment, open_segment
from earprint.matching import TrackTable


@dataclass(frozen=True)
class View:
    """The live tracks of one moment as a searchable row space, in the order of ``tracks``.

    Attributes
    ----------
    tracks : list of Track
    table : TrackTable
        Entry i is ``tracks[i]``.
    index : ExactIndex or None
        None if there are no tracks.
    segments : dict of int to Segment
        All segments by their numbers.
    """

    tracks: list[Track]
    table: TrackTable
    index: ExactIndex | None
    segments: dict[int, Segment]


def build_view(
    stored: Sequence[StoredTrack],
    segments: dict[int, Segment],
    folder: Path,
    mapped: dict[int, NDArray[np.float16]],
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
        Segments opened before, by number; those needed besides are opened and entered.

    Raises
    ------
    LibraryError
        If a needed segment is missing or has a wrong size.
    """
    for number in sorted({track.segment_id for track in stored} - mapped.keys()):
        mapped[number] = open_segment(folder, segments[number])
    first_rows = np.cumsum([0, *(track.n_rows for track in stored)])[:-1]
    parts = [mapped[number][first:stop] for number, first, stop in _live_ranges(stored)]
    return View(
        tracks=[track.track for track in stored],
        table=TrackTable(first_rows.tolist(), [track.n_rows for track in stored]),
        index=ExactIndex(parts, parts[0].shape[1]) if parts else None,
        segments=segments,
    )


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
