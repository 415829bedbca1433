"""A library at one moment, ready to be searched.

A `View` is immutable, so that threads that search it need no lock while another thread changes the library.
Its row space holds the fingerprints of intact live tracks only: rows of removed and of damaged tracks are
left out. It makes an index on the first query. Successive views share the segments that they have
in common, with the inverted lists made of them; a segment is closed when no view uses it any more.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from earprint.errors import LibraryError
from earprint.index import Index, IndexChoice, Rows, SegmentLists, Span, make_index
from earprint.index.factory import EXACT_ROWS
from earprint.index.validation import check_index
from earprint.matching import TrackTable
from earprint.quantization.storage import Storage, Stored
from earprint.store.catalogue import Snapshot, StoredTrack
from earprint.store.segments import open_segment, salvage_segment
from earprint.store.store import Store


class OpenSegment:
    """An open segment.

    Attributes
    ----------
    rows : ndarray of float16 or uint8, shape (rows, width)
    intact : bool
        Whether the whole file is there. Views that follow do not share it otherwise, as the file may be
        mended.
    lists : SegmentLists or None
        Inverted lists of the rows, once an index has needed them.
    """

    __slots__ = ("intact", "lists", "rows")

    def __init__(self, rows: Stored, *, intact: bool = True) -> None:
        self.rows = rows
        self.intact = intact
        self.lists: SegmentLists | None = None


class View:
    """The intact live tracks of one moment as a searchable row space; made by `build_view`.

    Parameters
    ----------
    snapshot : Snapshot
    stored : sequence of StoredTrack
        The intact tracks of the snapshot, in its order.
    segments : dict of int to OpenSegment
        Their open segments.
    build_lock : lock
        Held while an index is made; shared by successive views, so that no two make the same lists.
    exact_rows : int
        See `earprint.index.make_index`.

    Attributes
    ----------
    tracks : list of Track
    table : TrackTable
        Entry i is ``tracks[i]``.
    damaged : list of Track
        Live tracks that are damaged and therefore not searched.
    meta : dict of str to str
        Facts about the library.
    snapshot : Snapshot
    """

    def __init__(
        self,
        snapshot: Snapshot,
        stored: Sequence[StoredTrack],
        segments: dict[int, OpenSegment],
        build_lock: threading.Lock,
        exact_rows: int = EXACT_ROWS,
    ) -> None:
        intact = {track.track.id for track in stored}
        self.snapshot = snapshot
        self.tracks = [track.track for track in stored]
        lengths = [track.n_rows for track in stored]
        self.table = TrackTable(np.cumsum([0, *lengths])[:-1].tolist(), lengths)
        self.damaged = [t.track for t in snapshot.tracks if t.track.id not in intact]
        self.meta = snapshot.meta
        self._stored = stored
        self._segments = segments
        self._spans = list(_live_spans(stored))
        self._build_lock = build_lock
        self._exact_rows = exact_rows
        self._indexes: dict[object, tuple[IndexChoice, Index]] = {}

    def stored_rows(self, entry: int) -> Stored:
        """Return the stored rows of ``tracks[entry]``, shape (n_rows, width)."""
        track = self._stored[entry]
        return track.rows_in(self._segments[track.segment_id].rows)

    def index(self, storage: Storage, name: IndexChoice = "auto") -> Index | None:
        """Return an index of the row space, made on the first call; None if there are no rows.

        Parameters
        ----------
        storage : Storage
            Storage of the library's rows.
        name : str or callable
            See `earprint.index.make_index`.

        Raises
        ------
        LibraryError
            If the storage has no such index.
        """
        if not self._spans:
            return None
        key = name if isinstance(name, str) else id(name)  # a callable need not be hashable
        if key not in self._indexes:
            with self._build_lock:
                if key not in self._indexes:
                    self._indexes[key] = name, self._make_index(storage, name)  # keeps the callable's id
        return self._indexes[key][1]

    def _make_index(self, storage: Storage, name: IndexChoice) -> Index:
        opened = {number: segment.rows for number, segment in self._segments.items()}
        lists = {n: segment.lists for n, segment in self._segments.items() if segment.lists is not None}
        parts = [opened[span.segment][span.first : span.stop] for span in self._spans]
        rows = Rows(parts, storage)
        built = make_index(name, rows, self._spans, opened, lists, exact_rows=self._exact_rows)
        index = check_index(built, name, len(rows))
        for number, made in lists.items():
            self._segments[number].lists = made
        return index


class ViewCache:
    """The current view of a store; safe to use from several threads.

    Parameters
    ----------
    store : Store
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._view: View | None = None
        self._version: object = None

    def current(self) -> View:
        """Return a view of the last committed state."""
        data_version: Callable[[], object] = self._store.catalogue.data_version
        with self._lock:
            version = data_version()  # before the snapshot: the next call then sees a later commit
            while self._view is None or version != self._version:
                snapshot = self._store.catalogue.snapshot()
                self._view = build_view(
                    snapshot, self._store.segments_folder, self._view, self._store.settings.exact_rows
                )
                self._version = version
                if self._view.damaged:
                    # A file may be missing because another process has merged it since the snapshot.
                    version = data_version()
            return self._view

    def release(self) -> None:
        """Close all segments that no running search uses."""
        with self._lock:
            self._view = None


def build_view(
    snapshot: Snapshot, folder: Path, previous: View | None = None, exact_rows: int = EXACT_ROWS
) -> View:
    """Open the segments of a snapshot and lay the rows of its intact tracks together.

    Parameters
    ----------
    snapshot : Snapshot
    folder : Path
        Folder of the segments.
    previous : View, optional
        Its open segments are used again.
    exact_rows : int
        See `earprint.index.make_index`.
    """
    reusable = previous._segments if previous is not None else {}
    segments: dict[int, OpenSegment] = {}
    damaged = {track.track.id for track in snapshot.tracks if track.damage is not None}
    for number in sorted({track.segment_id for track in snapshot.tracks}):
        known = reusable.get(number)
        if known is not None and known.intact:
            segments[number] = known
            continue
        try:
            segments[number] = OpenSegment(open_segment(folder, snapshot.segments[number]))
        except LibraryError:
            rows = salvage_segment(folder, snapshot.segments[number])
            segments[number] = OpenSegment(rows, intact=False)
            tracks = [track for track in snapshot.tracks if track.segment_id == number]
            damaged |= {track.track.id for track in tracks if not track.is_intact(rows)}
    intact = [track for track in snapshot.tracks if track.track.id not in damaged]
    build_lock = previous._build_lock if previous is not None else threading.Lock()
    return View(snapshot, intact, segments, build_lock, exact_rows)


def _live_spans(stored: Sequence[StoredTrack]) -> Iterator[Span]:
    """Yield the rows of live tracks, joined where they adjoin."""
    current: Span | None = None
    for track in stored:
        if current is not None and (current.segment, current.stop) == (track.segment_id, track.first_row):
            current = Span(current.segment, current.first, track.stop_row)
            continue
        if current is not None:
            yield current
        current = Span(track.segment_id, track.first_row, track.stop_row)
    if current is not None:
        yield current
