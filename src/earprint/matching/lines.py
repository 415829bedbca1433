"""Straight lines in the plane of query time against recording time, and how well they agree.

A line says: query row ``centre`` falls on position ``position`` of a track, and each further row ``slope`` positions
later; positions and rows both count query hops. Slope 1 is the recording's own speed. Rows speak for windows; what two
windows of different speeds share is their middles, and with equal windows on both sides the line of the beginnings is that
of the middles, moved by half a window times (1 - slope).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from earprint.index.base import Index
from earprint.matching.expectation import ExpectationLaw
from earprint.matching.tracks import TrackTable

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

LEAST_ROWS = 0.9
"""Stored fingerprints that a segment must span."""

SPAN_STEPS = 16
"""Steps per stored fingerprint of the table by which the law is looked up."""

WHOLE_SHARE = 0.97
"""A window that weighs this share of the query is the whole query: no choice of its ends counts as a trial."""


@dataclass(frozen=True)
class QueryBlock:
    """A stretch of a query's fingerprints.

    Attributes
    ----------
    weighted : ndarray of float32, shape (n, dim)
        Unit vectors times their weights.
    weights : ndarray of float64, shape (n,)
        How much each row counts: 0 if silent, see `earprint.matching.query_rows`.
    vectors : ndarray of float32, shape (n, dim)
        Unit vectors.
    level : float
        Cohort level of the query, see `earprint.matching.score_normalisation`.
    self_similarity : float
        Mean cosine of rows that are over a second apart.
    ratio : int
        Reference hop divided by query hop.
    """

    vectors: NDArray[np.float32]
    weighted: NDArray[np.float32]
    weights: Floats
    level: float
    self_similarity: float
    ratio: int

    @property
    def centre(self) -> float:
        """The row in the middle."""
        return (len(self.weights) - 1) / 2

    @property
    def full_rows(self) -> float:
        """Stored fingerprints that the whole block spans, weighted."""
        return float(self.weights.sum()) / self.ratio


@dataclass(frozen=True)
class Lines:
    """Some lines over a block, all of shape (m,): track, position of the block's centre, slope."""

    tracks: Whole
    positions: Floats
    slopes: Floats

    def __len__(self) -> int:
        """How many."""
        return len(self.tracks)

    def only(self, which: NDArray[np.generic]) -> "Lines":
        """Some of them."""
        return Lines(self.tracks[which], self.positions[which], self.slopes[which])

    def fanned(self, shifts: Floats, tilts: Floats, about: Floats, centre: float) -> "Lines":
        """Each line moved by each shift and tilted by each factor about a row of its own, (m * t * s,).

        Parameters
        ----------
        shifts : ndarray of float64, shape (s,)
            In query hops.
        tilts : ndarray of float64, shape (t,)
            Factors of the slope.
        about : ndarray of float64, shape (m,)
            The query row that keeps its position.
        centre : float
            The block's centre.
        """
        slopes = self.slopes[:, None, None] * tilts[:, None]
        away = (about - centre)[:, None, None]
        positions = (self.positions + self.slopes * (about - centre))[:, None, None] - slopes * away + shifts
        shape = np.broadcast_shapes(slopes.shape, positions.shape)
        tracks = np.broadcast_to(self.tracks[:, None, None], shape)
        return Lines(tracks.ravel(), positions.ravel(), np.broadcast_to(slopes, shape).ravel())


@dataclass(frozen=True)
class Agreement:
    """The best window of each of some lines, all of shape (m,).

    Attributes
    ----------
    log_expected : ndarray of float64
        See `ExpectationLaw.log_expected`; `NOTHING` where a line has too few rows.
    scores : ndarray of float64
        Mean score over the window.
    rows : ndarray of float64
        Stored fingerprints that it spans, weighted.
    first, last : ndarray of float64
        The query rows under its first and its last stored fingerprint.
    """

    log_expected: Floats
    scores: Floats
    rows: Floats
    first: Floats
    last: Floats


NOTHING = 99.0
"""Log expectation of what cannot be compared."""


def row_scores(
    block: QueryBlock, lines: Lines, index: Index, table: TrackTable
) -> tuple[Floats, Floats, Whole]:
    """Scores of the stored fingerprints under lines.

    Returns
    -------
    scores, weights : ndarray of float64, shape (m, k)
        Of each stored fingerprint, in the order of time; weight 0 where a line has none.
    rows : ndarray of int64, shape (m, k)
        The query row that each is compared with.
    """
    n, ratio = len(block.weights), block.ratio
    first = np.ceil((lines.positions - lines.slopes * block.centre) / ratio).astype(np.int64)
    last = np.floor((lines.positions + lines.slopes * (n - 1 - block.centre)) / ratio).astype(np.int64)
    stored = first[:, None] + np.arange(max(1, int((last - first).max()) + 1))
    rows = np.rint((stored * ratio - lines.positions[:, None]) / lines.slopes[:, None] + block.centre)
    rows = rows.astype(np.int64)
    inside = (rows >= 0) & (rows < n) & (stored >= 0) & (stored < table.n_rows[lines.tracks][:, None])
    rows = np.where(inside, rows, 0)
    wanted = np.where(inside, table.first_row[lines.tracks][:, None] + stored, -1)
    # Each stored fingerprint is read once, and compared with all rows of the block at once.
    base = int(wanted.max(initial=0))
    lowest = int(np.where(inside, wanted, base).min(initial=base))
    place = np.full(base - lowest + 2, -1) if base - lowest < 4_000_000 else None
    if place is not None:
        place[np.where(inside, wanted - lowest, base - lowest + 1).ravel()] = 0
        needed = np.flatnonzero(place[:-1] == 0)
        place[needed] = np.arange(len(needed))
        number = place[np.where(inside, wanted - lowest, base - lowest + 1)]
        needed = needed + lowest
    else:
        needed, number = np.unique(wanted[inside], return_inverse=True)
        full = np.zeros(wanted.shape, np.int64)
        full[inside] = number
        number = full
    if not len(needed):
        return np.zeros(rows.shape), np.zeros(rows.shape), rows
    cosines = index.take(needed) @ block.vectors.T
    weights = np.where(inside, block.weights[rows], 0.0)
    scores = (cosines[np.where(inside, number, 0), rows] - block.level) / (1.0 - block.level)
    return scores.astype(np.float64), weights, rows


def best_windows(
    block: QueryBlock,
    lines: Lines,
    index: Index,
    table: TrackTable,
    law: ExpectationLaw,
    *,
    library_rows: int,
    trials: float = 1.0,
) -> Agreement:
    """Find the part of each line that chance explains least.

    Parameters
    ----------
    trials : float
        See `ExpectationLaw.log_expected`; parts of the query count as more trials than the whole.
    """
    scores, weights, rows = row_scores(block, lines, index, table)
    m, k = scores.shape
    sums, weighs = np.zeros((m, k + 1)), np.zeros((m, k + 1))
    np.cumsum(scores * weights, axis=1, out=sums[:, 1:])
    np.cumsum(weights, axis=1, out=weighs[:, 1:])
    begin, end = np.triu_indices(k + 1, 1)
    spans = weighs[:, end] - weighs[:, begin]
    means = (sums[:, end] - sums[:, begin]) / np.maximum(spans, 1e-6)
    # The law of each span, looked up: spans are rounded to the steps of a table.
    full = max(block.full_rows, 1e-6)
    table_spans = np.arange(int(full * SPAN_STEPS) + 2 * SPAN_STEPS) / SPAN_STEPS
    parts = np.where(
        table_spans < WHOLE_SHARE * full, 2.0 * (1.0 + full / np.maximum(table_spans, 0.3)), 1.0
    )
    at_zero, per_score = law.line_in_score(
        table_spans,
        library_rows=library_rows,
        self_similarity=block.self_similarity,
        level=block.level,
        trials=trials * parts,
    )
    at_zero[table_spans < LEAST_ROWS] = NOTHING
    per_score[table_spans < LEAST_ROWS] = 0.0
    step = np.minimum(np.rint(spans * SPAN_STEPS).astype(np.int64), len(table_spans) - 1)
    expected = at_zero[step] - per_score[step] * means
    best = np.argmin(expected, axis=1)
    line = np.arange(m)
    return Agreement(
        expected[line, best],
        means[line, best],
        spans[line, best],
        rows[line, np.minimum(begin[best], k - 1)].astype(np.float64),
        rows[line, np.minimum(end[best] - 1, k - 1)].astype(np.float64),
    )
