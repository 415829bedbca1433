"""The default of large libraries: inverted lists of codes, of which a search reads a few.

A compact row names one of some thousand lists, the one whose vector is nearest to it, and holds the
codes of its pieces (`earprint.quantization.codebook`). A query row is compared with the lists' vectors, and then
only with the rows of the `probes` nearest lists ("IVFADC", Jegou et al. 2011): quickly, and nearly as their
codes have it (`earprint.index.ivf_scan`). The best of them are decoded and compared again, and these products
tell which are the nearest. A query is a sequence, of which a few hits are enough to propose the right place;
what decides is the whole sequence, compared afterwards (`earprint.matching.aligned`). So the lists may be
read sparingly.

Each segment has lists of its own, built from its rows when it is first searched and kept while it lives: so a
library that grows by one segment builds the lists of that one. Rows of removed tracks are passed over.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from earprint.index.exact import best_of, checked
from earprint.index.ivf_scan import Nearest, SegmentLists
from earprint.index.rows import Rows
from earprint.quantization.codebook import Codebook

PROBES: Final = 256
"""Lists read for each query row, in libraries of up to `PROBED_ROWS`."""

PROBED_ROWS: Final = 2_500_000
"""In larger ones fewer lists are read, so that a search takes the same time, down to `FEWEST_PROBES`."""

FEWEST_PROBES: Final = 128
"""Lists read for each query row at least."""

PROPOSING_ROWS: Final = 24
"""Query rows that search: reading lists costs the same for each, and one right hit is enough.

Chosen on held-out training sources in a library of two million rows, as was `PROBES`: few rows that read many
lists find more in less time than many that read few."""

COMPARED: Final = 4
"""Rows that are decoded and compared again, for each hit that is asked for."""

FEWEST_COMPARED: Final = 64
"""The same at least, for each query row."""


@dataclass(frozen=True, slots=True)
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
        heard = np.flatnonzero(queries.any(axis=1))
        if len(heard) and self._segments:
            scores[heard], rows[heard] = self._search(queries[heard], k)
        return scores, rows

    def _search(self, queries: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """As `search`, of queries none of which is silent."""
        rotated = self._codebook.rotate(queries)
        nearest = self._segments[0].lists.nearest(rotated, self._probes)
        most = max(COMPARED * k, FEWEST_COMPARED)
        found = [segment.search(rotated, most, nearest) for segment in self._segments]
        rows = np.concatenate([rows for _, rows in found], axis=1)
        if len(found) > 1:
            scanned = np.concatenate([products for products, _ in found], axis=1)
            best = np.argpartition(np.where(rows < 0, np.inf, -scanned), most - 1, axis=1)[:, :most]
            rows = np.take_along_axis(rows, best, axis=1)
        asked, column = np.nonzero(rows >= 0)
        scores = np.zeros(rows.shape, dtype=np.float32)
        scores[asked, column] = np.vecdot(queries[asked], self.take(rows[asked, column]))
        return best_of(scores, rows, k)

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
        products, found = self.lists.search(rotated, k, nearest, self._live)
        span = np.maximum(np.searchsorted(self._first, found, side="right") - 1, 0)
        return products, np.where(found >= 0, self._start[span] + found - self._first[span], -1)
