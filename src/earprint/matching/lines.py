"""Straight lines in the plane of query time and recording time, and how well they agree.

A line says that query row ``centre`` lies at ``position`` of a track, and that each further row lies
``slope`` later. Positions and rows count query hops. Slope 1 is the recording's own tempo.

The score of a stored fingerprint under a line is its cosine with the query row nearest to the line,
normalised by the query's cohort level (`earprint.matching.score_normalisation`). A window is a range of
consecutive stored fingerprints under a line. Its score is their weighted mean.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from earprint.index.base import Index
from earprint.matching.expectation import ExpectationLaw
from earprint.matching.tracks import TrackTable

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MIN_ROWS: Final = 0.9
"""Least number of stored fingerprints of a window, weighted."""

WHOLE_SHARE: Final = 0.97
"""A window with this share of the query's weight is the whole query: its ends were not chosen."""

TABLE_STEPS: Final = 16
"""Steps per stored fingerprint of the table in which the law is looked up."""

NO_WINDOW: Final = 99.0
"""Log expectation of a line that has too few stored fingerprints."""


@dataclass(frozen=True)
class QueryBlock:
    """A range of a query's fingerprints.

    Attributes
    ----------
    vectors : ndarray of float32, shape (n, dim)
        Unit vectors; zeros where the query is silent.
    weights : ndarray of float64, shape (n,)
        See `earprint.matching.query_rows.row_weights`.
    level : float
        Cohort level.
    self_similarity : float
        Mean cosine of rows that are more than a second apart.
    ratio : int
        Reference hop divided by query hop.
    """

    vectors: NDArray[np.float32]
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
        """Number of stored fingerprints that the whole block spans, weighted."""
        return float(self.weights.sum()) / self.ratio


@dataclass(frozen=True)
class Lines:
    """Some lines over a block.

    Attributes
    ----------
    tracks : ndarray of int64, shape (m,)
        Indices into the `TrackTable`.
    positions : ndarray of float64, shape (m,)
        Track positions of the block's centre row, in query hops.
    slopes : ndarray of float64, shape (m,)
        Track hops per query hop.
    """

    tracks: Ints
    positions: Floats
    slopes: Floats

    @classmethod
    def none(cls) -> "Lines":
        """No lines."""
        return cls(np.empty(0, np.int64), np.empty(0), np.empty(0))

    def __len__(self) -> int:
        """Number of lines."""
        return len(self.tracks)

    def only(self, which: Ints) -> "Lines":
        """Return some of the lines."""
        return Lines(self.tracks[which], self.positions[which], self.slopes[which])

    def fan_out(self, shifts: Floats, tilts: Floats, about: Floats, centre: float) -> "Lines":
        """Return each line, with its slope changed by each factor and then moved by each shift.

        Parameters
        ----------
        shifts : ndarray of float64, shape (s,)
            In query hops.
        tilts : ndarray of float64, shape (t,)
            Factors of the slope.
        about : ndarray of float64, shape (m,)
            Query row of each line that keeps its position when the slope changes.
        centre : float
            The block's centre row.

        Returns
        -------
        Lines
            m * t * s lines, in this order.
        """
        slopes = self.slopes[:, None, None] * tilts[:, None]
        away = (about - centre)[:, None, None]
        positions = (self.positions + self.slopes * (about - centre))[:, None, None] - slopes * away + shifts
        tracks = np.broadcast_to(self.tracks[:, None, None], positions.shape)
        return Lines(tracks.ravel(), positions.ravel(), np.broadcast_to(slopes, positions.shape).ravel())


@dataclass(frozen=True)
class Windows:
    """The best window of each line, all of shape (m,).

    Attributes
    ----------
    log_expected : ndarray of float64
        See `ExpectationLaw.log_expected`; `NO_WINDOW` if there is none.
    scores : ndarray of float64
        Mean score.
    rows : ndarray of float64
        Number of stored fingerprints, weighted.
    first, last : ndarray of float64
        Query rows of the first and the last stored fingerprint.
    """

    log_expected: Floats
    scores: Floats
    rows: Floats
    first: Floats
    last: Floats


def row_scores(
    block: QueryBlock, lines: Lines, index: Index, table: TrackTable
) -> tuple[Floats, Floats, Ints]:
    """Return the scores of the stored fingerprints under lines.

    Returns
    -------
    scores, weights : ndarray of float64, shape (m, k)
        Of each stored fingerprint, in the order of time; weight 0 where there is none.
    rows : ndarray of int64, shape (m, k)
        The query row that each is compared with.
    """
    n, ratio = len(block.weights), block.ratio
    start = np.ceil((lines.positions - lines.slopes * block.centre) / ratio).astype(np.int64)
    stop = np.floor((lines.positions + lines.slopes * (n - 1 - block.centre)) / ratio).astype(np.int64)
    stored = start[:, None] + np.arange(max(1, int((stop - start).max(initial=0)) + 1))
    rows = np.rint((stored * ratio - lines.positions[:, None]) / lines.slopes[:, None] + block.centre)
    rows = rows.astype(np.int64)
    inside = (rows >= 0) & (rows < n) & (stored >= 0) & (stored < table.n_rows[lines.tracks][:, None])
    rows = np.where(inside, rows, 0)
    scores, weights = np.zeros(rows.shape), np.where(inside, block.weights[rows], 0.0)
    wanted = (table.first_row[lines.tracks][:, None] + stored)[inside]
    if len(wanted):
        # Each stored fingerprint is read once, and compared with all rows of the block at once.
        read, number = np.unique(wanted, return_inverse=True)
        cosines = index.take(read) @ block.vectors.T
        scores[inside] = (cosines[number, rows[inside]] - block.level) / (1.0 - block.level)
    return scores, weights, rows


def best_windows(
    block: QueryBlock,
    lines: Lines,
    index: Index,
    table: TrackTable,
    law: ExpectationLaw,
    *,
    library_rows: int,
    trials: float = 1.0,
) -> Windows:
    """Return each line's window with the lowest expectation.

    Parameters
    ----------
    block : QueryBlock
    lines : Lines
    index : Index
    table : TrackTable
    law : ExpectationLaw
    library_rows : int
        Stored fingerprints of the library.
    trials : float
        See `ExpectationLaw.line_in_score`. A part of the block counts for more trials than the whole.
    """
    scores, weights, rows = row_scores(block, lines, index, table)
    m, k = scores.shape
    sums, weight_sums = np.zeros((m, k + 1)), np.zeros((m, k + 1))
    np.cumsum(scores * weights, axis=1, out=sums[:, 1:])
    np.cumsum(weights, axis=1, out=weight_sums[:, 1:])
    begin, end = np.triu_indices(k + 1, 1)
    spans = weight_sums[:, end] - weight_sums[:, begin]
    means = (sums[:, end] - sums[:, begin]) / np.maximum(spans, 1e-6)
    full = max(block.full_rows, 1e-6)
    table_spans = np.arange(int(full * TABLE_STEPS) + 2 * TABLE_STEPS) / TABLE_STEPS
    parts = np.where(table_spans < WHOLE_SHARE * full, 2.0 * (1.0 + full / np.maximum(table_spans, 0.3)), 1.0)
    at_zero, per_score = law.line_in_score(
        table_spans,
        library_rows=library_rows,
        self_similarity=block.self_similarity,
        level=block.level,
        trials=trials * parts,
    )
    too_short = table_spans < MIN_ROWS
    at_zero[too_short], per_score[too_short] = NO_WINDOW, 0.0
    step = np.minimum(np.rint(spans * TABLE_STEPS).astype(np.int64), len(table_spans) - 1)
    expected = at_zero[step] - per_score[step] * means
    best = np.argmin(expected, axis=1)
    line = np.arange(m)
    return Windows(
        expected[line, best],
        means[line, best],
        spans[line, best],
        rows[line, begin[best]].astype(np.float64),
        rows[line, end[best] - 1].astype(np.float64),
    )


def fractional_shift(block: QueryBlock, lines: Lines, index: Index, table: TrackTable) -> Floats:
    """Return the fraction of a hop by which each line should move, -0.5 to 0.5.

    It is the peak of the parabola through the mean scores one hop before, on, and one hop after the line.
    """
    beside = lines.fan_out(
        np.array([-1.0, 0.0, 1.0]), np.ones(1), np.full(len(lines), block.centre), block.centre
    )
    scores, weights, _ = row_scores(block, beside, index, table)
    means = (scores * weights).sum(axis=1) / np.maximum(weights.sum(axis=1), 1e-6)
    before, on, after = means.reshape(-1, 3).T
    curvature = before - 2 * on + after
    peak = 0.5 * (before - after) / np.where(curvature < 0, curvature, -np.inf)
    return np.asarray(np.clip(peak, -0.5, 0.5), dtype=np.float64)
