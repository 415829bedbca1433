"""A library at one moment, ready to be searched.

The row space is made of sound live tracks only: rows of removed and of damaged tracks are left out when it is
laid together, so no search can find them, and they take no place among the nearest. An index is made when the
first question is asked of it; what it takes from single segments is kept for the views that follow.
"""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from earprint.errors import LibraryError
from earprint.index import Index, IndexName, Rows, SegmentLists, Span, make_index
from earprint.library.results import Track
from earprint.matching import TrackTable
from earprint.quantization.storage import Storage, Stored
from earprint.store.catalogue import StoredTrack
from earprint.store.segments import Segment, checksum_of, open_segment, salvage_segment


class Opened:
    """Segments that are open, by number, and the inverted lists made of them."""

    def __init__(self) -> None:
        self.rows: dict[int, Stored] = {}
        self.lists: dict[int, SegmentLists] = {}

    def forget(self, keep: Sequence[int] | set[int] = ()) -> None:
        """Let go of all segments but some."""
        for held in (self.rows, self.lists):
            for number in held.keys() - set(keep):
                del held[number]


class View:
    """The sound live tracks of one moment as a searchable row space, in the order of ``tracks``.

    Parameters
    ----------
    stored : sequence of StoredTrack
        Those tracks, ordered by segment and first row.
    rows : dict of int to ndarray
        Their segments' rows.
    lists : dict of int to SegmentLists
        Those made before; others are entered as they are needed.
    segments : dict of int to Segment
        All segments by their numbers.
    damaged : list of Track
        Live tracks that cannot be searched, as their vectors are known to be damaged.
    meta : dict of str to str
        Facts about the whole library.

    Attributes
    ----------
    tracks : list of Track
    table : TrackTable
        Entry i is ``tracks[i]``.
    """

    def __init__(
        self,
        stored: Sequence[StoredTrack],
        rows: dict[int, Stored],
        lists: dict[int, SegmentLists],
        segments: dict[int, Segment],
        damaged: list[Track],
        meta: dict[str, str],
    ) -> None:
        self.tracks = [track.track for track in stored]
        lengths = [track.n_rows for track in stored]
        self.table = TrackTable(np.cumsum([0, *lengths])[:-1].tolist(), lengths)
        self.segments = segments
        self.damaged = damaged
        self.meta = meta
        self._stored = stored
        self._spans = list(_live_spans(stored))
        self._rows = rows
        self._lists = lists
        self._lock = threading.Lock()
        self._indexes: dict[IndexName, Index] = {}

    def stored_rows(self, entry: int) -> Stored:
        """Return a track's rows as they lie in its segment, (n_rows, width)."""
        track = self._stored[entry]
        return self._rows[track.segment_id][track.first_row : track.first_row + track.n_rows]

    def index(self, storage: Storage, name: IndexName = "auto") -> Index | None:
        """Return the row space as an index, made when it is first asked for; None if there are no rows.

        Parameters
        ----------
        storage : Storage
            What the library's rows were packed with.
        name : {"auto", "exact", "lsh", "inverted"}
            See `earprint.index.make_index`.

        Raises
        ------
        LibraryError
            If the storage has no such index.
        """
        if not self._spans:
            return None
        with self._lock:
            if name not in self._indexes:
                parts = [self._rows[span.segment][span.first : span.stop] for span in self._spans]
                rows = Rows(parts, storage)
                self._indexes[name] = make_index(name, rows, self._spans, self._rows, self._lists)
            return self._indexes[name]


def build_view(
    stored: Sequence[StoredTrack],
    segments: dict[int, Segment],
    folder: Path,
    opened: Opened,
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
    opened : Opened
        Segments opened before; those needed besides are opened and entered, those that the catalogue has
        forgotten are let go.
    meta : dict of str to str, optional
    """
    opened.forget(keep=set(segments))
    rows = dict(opened.rows)
    damaged = {track.track.id for track in stored if track.damage is not None}
    for number in sorted({track.segment_id for track in stored} - rows.keys()):
        try:
            rows[number] = opened.rows[number] = open_segment(folder, segments[number])
        except LibraryError:
            rows[number] = salvage_segment(folder, segments[number])
            mine = [track for track in stored if track.segment_id == number]
            damaged |= {track.track.id for track in mine if not is_sound(track, rows[number])}
    sound = [track for track in stored if track.track.id not in damaged]
    return View(
        sound,
        rows,
        # Lists of what was salvaged are not kept: the file may be mended.
        opened.lists if rows.keys() <= opened.rows.keys() else dict(opened.lists),
        segments,
        damaged=[track.track for track in stored if track.track.id in damaged],
        meta=meta or {},
    )


def is_sound(track: StoredTrack, segment: Stored) -> bool:
    """Tell whether a track's vectors are those that were written; without a checksum nobody can.

    Parameters
    ----------
    track : StoredTrack
    segment : ndarray of float16 or uint8, shape (rows, width)
        All of its segment.
    """
    rows = segment[track.first_row : track.first_row + track.n_rows]
    return track.checksum is not None and checksum_of(rows) == track.checksum


def _live_spans(stored: Sequence[StoredTrack]) -> Iterator[Span]:
    """Yield the rows of live tracks, joined where they adjoin."""
    current: Span | None = None
    for track in stored:
        stop = track.first_row + track.n_rows
        if current is not None and (current.segment, current.stop) == (track.segment_id, track.first_row):
            current = Span(current.segment, current.first, stop)
            continue
        if current is not None:
            yield current
        current = Span(track.segment_id, track.first_row, stop)
    if current is not None:
        yield current
