"""The default of large libraries: inverted lists of codes, of which a search reads a few.

A compact row names one of some thousand lists, the one whose vector is nearest to it, and holds the
codes of its pieces (`earprint.encoder.codebook`). A query row is compared with the lists' vectors, and then
only with the rows of the `probes` nearest lists, by adding to the product with the list's vector, for each
piece, one looked up in a table ("IVFADC", Jegou et al. 2011; the scan is that of FAISS). A query is a
sequence, of which a few hits are enough to propose the right place; what decides is the whole sequence,
compared afterwards with the decoded rows (`earprint.matching.aligned`). So the lists may be read sparingly.

Each segment has lists of its own, built from its rows when it is first searched and kept while it lives: so a
library that grows by one segment builds the lists of that one. Rows of removed tracks are passed over.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from earprint.encoder.codebook import LIST_BYTES, Codebook
from earprint.index.exact import best_of, checked
from earprint.index.rows import Rows

PROBES: Final = 128
"""Lists read for each query row, in libraries of up to `PROBED_ROWS`."""

PROBED_ROWS: Final = 2_000_000
"""In larger ones fewer lists are read, so that a search takes the same time, down to `FEWEST_PROBES`."""

FEWEST_PROBES: Final = 64
"""Lists read for each query row at least."""

PROPOSING_ROWS: Final = 24
"""Query rows that search: reading lists costs the same for each, and one right hit is enough.

Chosen on held-out training sources in a library of two million rows, with `PROBES`: from 2 s on, few rows
that read many lists find more in less time than many that read few."""


Nearest = tuple[NDArray[np.float32], NDArray[np.int64]]
"""Inner products with the nearest lists' vectors, and these lists' numbers, each (n, probes)."""


def _faiss() -> Any:
    """FAISS, which is slow to import and only needed here; its type stubs lack what Python code may pass."""
    import faiss

    return faiss


class SegmentLists:
    """The inverted lists of one segment.

    Parameters
    ----------
    rows : ndarray of uint8, shape (n, width)
        All rows of the segment; copied into the lists.
    codebook : Codebook
    like : SegmentLists, optional
        Lists of another segment and the same codebook, whose vectors are then shared.
    """

    def __init__(
        self, rows: NDArray[np.uint8], codebook: Codebook, like: "SegmentLists | None" = None
    ) -> None:
        faiss = _faiss()
        self.n_rows = len(rows)
        n_lists, rotated = codebook.lists.shape
        if like is None:
            self._coarse = faiss.IndexFlatIP(rotated)
            self._coarse.add(codebook.lists)
        else:
            self._coarse = like._coarse
        index = faiss.IndexIVFPQ(
            self._coarse, rotated, n_lists, codebook.pieces, 8, faiss.METRIC_INNER_PRODUCT
        )
        index.by_residual = codebook.residual
        faiss.copy_array_to_vector(codebook.centroids.ravel(), index.pq.centroids)
        index.is_trained = True
        # List by list: added one by one, each list would keep up to twice its size in memory.
        numbers = codebook.lists_of(rows)
        order = np.argsort(numbers, kind="stable")
        codes = np.ascontiguousarray(rows[order, LIST_BYTES:])
        # Silent rows name no list; of a damaged file, any number may be read.
        ends = np.searchsorted(numbers[order], np.arange(n_lists), side="right").tolist()
        begin = 0
        for number, end in enumerate(ends):
            if end > begin:
                where = (faiss.swig_ptr(part[begin:end]) for part in (order, codes))
                index.invlists.add_entries(number, end - begin, *where)
            begin = end
        index.ntotal = begin
        self._index: Any = index

    def nearest(self, rotated: NDArray[np.float32], probes: int) -> Nearest:
        """Find the lists nearest to some vectors (n, rotated): the same in all segments of a codebook."""
        found: Nearest = self._coarse.search(rotated, probes)
        return found

    def search(
        self, rotated: NDArray[np.float32], k: int, nearest: Nearest, live: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Find rows with the largest inner products among those of some lists.

        Parameters
        ----------
        rotated : ndarray of float32, shape (n, rotated)
        k : int
        nearest : tuple of ndarray
            The lists to read, see `nearest`.
        live : ndarray of bool, shape (rows of the segment,), optional
            Rows that may be found; all by default.

        Returns
        -------
        scores : ndarray of float32, shape (n, k)
            Before they are divided by the gain.
        rows : ndarray of int64, shape (n, k)
            Of the segment; -1 where there are fewer.
        """
        faiss = _faiss()
        selector = None
        if live is not None:
            selector = faiss.IDSelectorBitmap(np.packbits(live, bitorder="little"))
        products, numbers = (np.ascontiguousarray(part) for part in nearest)
        settings = faiss.SearchParametersIVF(nprobe=numbers.shape[1], sel=selector)
        scores = np.empty((len(rotated), k), dtype=np.float32)
        rows = np.empty((len(rotated), k), dtype=np.int64)
        where = (faiss.swig_ptr(part) for part in (numbers, products, scores, rows))
        # Its Python form takes no settings.
        self._index.search_preassigned_c(len(rotated), faiss.swig_ptr(rotated), k, *where, False, settings)
        return scores, rows


@dataclass(frozen=True)
class Span:
    """Rows ``first`` to ``stop`` (exclusive) of a segment: live tracks, a part of the row space."""

    segment: int
    first: int
    stop: int


class InvertedIndex:
    """Search in the inverted lists of several segments (see `earprint.index.Index`).

    Parameters
    ----------
    rows : Rows
        The row space; its storage is compact.
    codebook : Codebook
    spans : sequence of Span
        What the row space is made of, in its order.
    lists : mapping of int to SegmentLists
        Those of each segment.
    probes : int, optional
        Lists read for each query row, all if there are fewer; by the size of the library by default.
    """

    proposing_rows = PROPOSING_ROWS

    def __init__(
        self,
        rows: Rows,
        codebook: Codebook,
        spans: Sequence[Span],
        lists: "dict[int, SegmentLists]",
        probes: int | None = None,
    ) -> None:
        self._rows = rows
        self._codebook = codebook
        if probes is None:
            probes = int(np.clip(PROBES * PROBED_ROWS // max(1, len(rows)), FEWEST_PROBES, PROBES))
        self._probes = min(probes, len(codebook.lists))
        starts = np.cumsum([0, *(span.stop - span.first for span in spans)])[:-1]
        by_segment: dict[int, list[tuple[Span, int]]] = {}
        for span, start in zip(spans, starts.tolist(), strict=True):
            by_segment.setdefault(span.segment, []).append((span, start))
        self._segments = [_Segment(lists[number], mine) for number, mine in by_segment.items()]

    def __len__(self) -> int:
        """Rows in the row space."""
        return len(self._rows)

    def search(self, queries: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Find rows with large inner products, see `Index.search`; those of lists not read are missed."""
        queries = checked(queries, k, self._rows.dim)
        scores = np.zeros((len(queries), k), dtype=np.float32)
        rows = np.full((len(queries), k), -1, dtype=np.int64)
        if not len(queries) or not self._segments:
            return scores, rows
        rotated = self._codebook.rotate(queries)
        nearest = self._segments[0].lists.nearest(rotated, self._probes)
        for segment in self._segments:
            found, places = segment.search(rotated, k, nearest)
            found /= np.float32(self._codebook.gain)
            scores, rows = best_of(
                np.concatenate((scores, found), axis=1), np.concatenate((rows, places), axis=1), k
            )
        scores[~queries.any(axis=1)] = 0.0
        return scores, np.where(scores > 0, rows, -1)

    def vectors(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return the decoded vectors of rows ``start`` to ``stop`` (exclusive), see `Rows.vectors`."""
        return self._rows.vectors(start, stop)

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the decoded vectors of any rows, see `Rows.take`."""
        return self._rows.take(rows)


class _Segment:
    """A segment's lists, and where its rows are in the row space."""

    def __init__(self, lists: SegmentLists, spans: Sequence[tuple[Span, int]]) -> None:
        self.lists = lists
        ordered = sorted(spans, key=lambda pair: pair[0].first)
        self._first = np.array([span.first for span, _ in ordered], dtype=np.int64)
        self._stop = np.array([span.stop for span, _ in ordered], dtype=np.int64)
        self._start = np.array([start for _, start in ordered], dtype=np.int64)
        self._live: NDArray[np.bool_] | None = None
        if (self._stop - self._first).sum() < lists.n_rows:
            live = np.zeros(lists.n_rows, dtype=np.bool_)
            for first, stop in zip(self._first.tolist(), self._stop.tolist(), strict=True):
                live[first:stop] = True
            self._live = live

    def search(
        self, rotated: NDArray[np.float32], k: int, nearest: Nearest
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """As `SegmentLists.search`, with rows of the row space."""
        scores, found = self.lists.search(rotated, k, nearest, self._live)
        span = np.maximum(np.searchsorted(self._first, found, side="right") - 1, 0)
        hit = found >= 0
        rows = np.where(hit, self._start[span] + found - self._first[span], -1)
        return np.where(hit, scores, np.float32(0)), rows
