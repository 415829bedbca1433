"""Inverted file index with product quantisation (IVFADC), the default for large compact libraries.

A compact row names the inverted list of the coarse centroid nearest to it (see
`earprint.quantization.codebook`). A query row is compared with the coarse centroids, and then with the rows
of the `nprobe` nearest lists only (Jegou et al. 2011). That scan is approximate (see
`earprint.index.ivf_scan`), so its best rows are decoded and ranked again by their inner products. A search
may miss rows: a query is a sequence, a few hits suffice to propose the right position, and the whole
sequence is compared there (`earprint.matching.aligned`).

Each segment has its own inverted lists. They are built when the segment is first searched, and kept: a
library that grows by one segment builds the lists of that segment only. Rows of removed tracks are skipped.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from earprint.index.base import BaseIndex, Hits, best_hits, check_queries, no_hits
from earprint.index.ivf_scan import Probes, SegmentLists
from earprint.index.rows import Rows
from earprint.quantization.codebook import Codebook

MAX_NPROBE: Final = 256
"""Lists read for each query row, in libraries of up to `FULL_NPROBE_ROWS`."""

FULL_NPROBE_ROWS: Final = 2_500_000
"""In larger libraries nprobe falls with their size, down to `MIN_NPROBE`: a search takes the same time."""

MIN_NPROBE: Final = 128
"""Least number of lists read for each query row."""

MAX_QUERY_ROWS: Final = 24
"""Query rows that search. Each costs the same, and one right hit is enough.

Few rows that read many lists find more in less time than many rows that read few lists."""

RERANKED: Final = 4
"""Rows that are decoded and ranked again, per hit asked for."""

MIN_RERANKED: Final = 64
"""Least number of these rows, per query row."""


@dataclass(frozen=True, slots=True)
class Span:
    """Rows ``first`` to ``stop`` (exclusive) of a segment, which belong to live tracks."""

    segment: int
    first: int
    stop: int


class InvertedIndex(BaseIndex):
    """Search in the inverted lists of several segments (see `earprint.index.Index`).

    Parameters
    ----------
    rows : Rows
        In compact storage.
    codebook : Codebook
    spans : sequence of Span
        The parts of the segments that `rows` consists of, in order.
    inverted_lists : mapping of int to SegmentLists
        By segment.
    nprobe : int, optional
        Number of lists read for each query row; by the size of the library by default.
    """

    max_query_rows = MAX_QUERY_ROWS

    def __init__(
        self,
        rows: Rows,
        codebook: Codebook,
        spans: Sequence[Span],
        inverted_lists: Mapping[int, SegmentLists],
        nprobe: int | None = None,
    ) -> None:
        super().__init__(rows)
        self._codebook = codebook
        if nprobe is None:
            nprobe = int(np.clip(MAX_NPROBE * FULL_NPROBE_ROWS // max(1, len(rows)), MIN_NPROBE, MAX_NPROBE))
        self._nprobe = min(nprobe, len(codebook.coarse_centroids))
        starts = np.cumsum([0, *(span.stop - span.first for span in spans)])[:-1]
        by_segment: dict[int, list[tuple[Span, int]]] = {}
        for span, start in zip(spans, starts.tolist(), strict=True):
            by_segment.setdefault(span.segment, []).append((span, start))
        self._segments = [_Segment(inverted_lists[number], parts) for number, parts in by_segment.items()]

    def search(self, queries: NDArray[np.float32], k: int) -> Hits:
        """Find rows with large inner products, see `Index.search`. Rows of lists not read are missed."""
        queries = check_queries(queries, k, self._rows.dim)
        scores, rows = no_hits(len(queries), k)
        nonsilent = np.flatnonzero(queries.any(axis=1))
        if len(nonsilent) and self._segments:
            scores[nonsilent], rows[nonsilent] = self._search_nonsilent(queries[nonsilent], k)
        return scores, rows

    def _search_nonsilent(self, queries: NDArray[np.float32], k: int) -> Hits:
        rotated = self._codebook.rotate(queries)
        probes = self._segments[0].lists.nearest(rotated, self._nprobe)
        n_reranked = max(RERANKED * k, MIN_RERANKED)
        found = [segment.search(rotated, n_reranked, probes) for segment in self._segments]
        rows = np.concatenate([rows for _, rows in found], axis=1)
        if len(found) > 1:
            approximate = np.concatenate([scores for scores, _ in found], axis=1)
            best = np.argpartition(np.where(rows < 0, np.inf, -approximate), n_reranked - 1, axis=1)
            rows = np.take_along_axis(rows, best[:, :n_reranked], axis=1)
        query, column = np.nonzero(rows >= 0)
        scores = np.zeros(rows.shape, dtype=np.float32)
        scores[query, column] = np.vecdot(queries[query], self.take(rows[query, column]))
        return best_hits(scores, rows, k)


class _Segment:
    """A segment's inverted lists, and the index's row of each of its live rows."""

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

    def search(self, rotated: NDArray[np.float32], k: int, probes: Probes) -> Hits:
        """Search as `SegmentLists.search` does, but return rows of the index."""
        scores, found = self.lists.search(rotated, k, probes, self._live)
        span = np.maximum(np.searchsorted(self._first, found, side="right") - 1, 0)
        return scores, np.where(found >= 0, self._start[span] + found - self._first[span], -1)
