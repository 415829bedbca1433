"""Search one block of a query for segments: straight pieces of recordings, at any tempo and pitch.

1. Vote. The nearest stored fingerprints of some query rows vote for lines (`earprint.matching.lines`). If the
   index limits the number of query rows, a third of them votes first.
2. Compare. The lines with most votes, and lines beside them, are compared with the whole block. Each line's
   best window is the one with the lowest expectation (`earprint.matching.expectation`).
3. Refine. The best line of each place gets a better position and slope.
4. If nothing is sure, count the votes again for slopes from 0.78 to 1.28.
5. If still nothing is sure, fingerprint the block again as if it had been recorded 2 or 4 semitones lower or
   higher, and repeat steps 1 to 3. Pitches between these are tried for the best piece.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from earprint.encoders.base import Fingerprints
from earprint.index.base import Index
from earprint.matching.candidates import HITS_PER_ROW, search_rounds
from earprint.matching.expectation import ExpectationLaw
from earprint.matching.lines import (
    NO_WINDOW,
    Lines,
    QueryBlock,
    Windows,
    best_windows,
    fractional_shift,
)
from earprint.matching.query_rows import row_weights
from earprint.matching.score_normalisation import cohort_level
from earprint.matching.tracks import TrackTable

MAX_LINES_FIRST_ROUND: Final = 32
"""Number of voted lines that are compared after the first of two rounds."""

MAX_LINES: Final = 96
"""Number of voted lines that are compared after the last round."""

MAX_PLACES: Final = 8
"""Number of places whose best line is refined."""

SURE: Final = -11.5
"""Log expectation (1e-5) at which no further step is needed."""

SURE_SHARE: Final = 0.8
"""Share of the block that a piece must span as well, so that no further step is needed."""

SLOPES: Final = tuple(float(slope) for slope in np.geomspace(0.78, 1.28, 9).round(4))
"""Slopes for which votes are counted in step 4."""

SEMITONE: Final = 2.0 ** (1 / 12)
"""Ratio of two frequencies that are a semitone apart."""

PITCHES: Final = (SEMITONE**2, SEMITONE**-2, SEMITONE**4, SEMITONE**-4)
"""Pitches of step 5."""

SHIFTS: Final = np.array([-4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0])
"""Positions beside a voted line that are compared, in query hops."""

FINE_SHIFTS: Final = np.arange(-3.0, 4.0)
"""Positions beside a line that refining compares, in query hops."""

FINE_TILTS: Final = (
    1.0 + np.array([-6.0, -4.5, -3.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0, 4.5, 6.0]) / 100
)
"""Factors of the slope that refining compares."""

EDGE_TILT: Final = 0.04
"""A line whose slope changes by more than this share is refined again."""

MAX_REFINEMENTS: Final = 4
"""Number of times that lines are refined."""

TILT_COST: Final = 0.7
"""Added to the log expectation of a line whose slope is changed: the change must pay."""

PLACE_HOPS: Final = 12.0
"""Lines of a track within this distance are one place, in query hops."""

SELF_SIMILARITY_HOPS: Final = 25
"""Rows that are farther apart than this, 1 s, give the self-similarity of a query."""

SELF_SIMILARITY_ROWS: Final = 32
"""Number of rows, evenly spaced, that give the self-similarity of a query."""


@dataclass(frozen=True)
class Piece:
    """A straight piece of a segment, found in one block.

    Attributes
    ----------
    track : int
        Index into the `TrackTable`.
    position : float
        Track position of the block's centre row, in query hops from the track's start.
    slope : float
        Track hops per query hop: 1.03 if the query runs 3 % faster than the track.
    log_expected : float
        Natural logarithm of the expected number of chance pieces that score as high.
    score : float
        Mean normalised score.
    rows : float
        Number of stored fingerprints that the piece spans, weighted.
    first, last : float
        Query rows of its first and last stored fingerprint.
    pitch : float
        Frequencies of the query divided by those of the track.
    """

    track: int
    position: float
    slope: float
    log_expected: float
    score: float
    rows: float
    first: float
    last: float
    pitch: float = 1.0


def make_block(
    query: Fingerprints, ratio: int, cohort: NDArray[np.float32] | None, rows: slice = slice(None)
) -> QueryBlock:
    """Make a block of some rows of a query.

    Parameters
    ----------
    query : Fingerprints
        On the query grid.
    ratio : int
        Reference hop divided by query hop.
    cohort : ndarray of float32, shape (m, dim), or None
        See `earprint.matching.score_normalisation`.
    rows : slice
        All rows by default.
    """
    weights = row_weights(query.vectors, query.hop_s, query.margin_rows)[rows]
    vectors = query.vectors[rows]
    level = cohort_level(vectors, weights, cohort)
    return QueryBlock(vectors, weights, level, self_similarity(vectors, weights), ratio)


def self_similarity(vectors: NDArray[np.float32], weights: NDArray[np.float64]) -> float:
    """Return the mean cosine of rows that are more than a second apart; 0 if there are none.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n, dim)
    weights : ndarray of float64, shape (n,)
        Rows of weight 1 are compared.
    """
    clear = np.flatnonzero(weights == 1.0)
    clear = clear[:: max(1, len(clear) // SELF_SIMILARITY_ROWS)]
    apart = np.abs(clear[:, None] - clear) > SELF_SIMILARITY_HOPS
    return float((vectors[clear] @ vectors[clear].T)[apart].mean()) if apart.any() else 0.0


class BlockSearch:
    """Searches a library for blocks of queries.

    Parameters
    ----------
    index : Index
    table : TrackTable
    law : ExpectationLaw
    cohort : ndarray of float32, shape (m, dim), or None
        See `earprint.matching.score_normalisation`.
    """

    def __init__(
        self, index: Index, table: TrackTable, law: ExpectationLaw, cohort: NDArray[np.float32] | None
    ) -> None:
        self.index, self.table, self.law, self.cohort = index, table, law, cohort
        self.library_rows = int(table.n_rows.sum())

    def search(self, block: QueryBlock, *, any_tempo: bool = True, pitch: float = 1.0) -> list[Piece]:
        """Find the best pieces of a block (steps 1 to 4), at most one for each place, best first.

        Parameters
        ----------
        block : QueryBlock
        any_tempo : bool
            Take step 4.
        pitch : float
            Factor that the block's frequencies were divided by.
        """
        votes = _Votes.none()
        pieces: list[Piece] = []
        rounds = search_rounds(block.weights, self.index.max_query_rows)
        for number, places in enumerate(rounds):
            votes = votes.add(block, places, self.index, self.table)
            most = MAX_LINES if number == len(rounds) - 1 else MAX_LINES_FIRST_ROUND
            pieces = self.compare(block, votes.lines((1.0,), most, block.centre), pitch=pitch)
            if _is_sure(pieces, block):
                return pieces
        if any_tempo:
            lines = votes.lines(SLOPES, MAX_LINES, block.centre)
            pieces = _sorted([*pieces, *self.compare(block, lines, trials=len(SLOPES), pitch=pitch)])
        return pieces

    def search_pitches(self, repitch: Callable[[float], QueryBlock]) -> list[Piece]:
        """Find the best pieces of a block at other pitches (step 5), best first.

        Parameters
        ----------
        repitch : callable
            Returns the block, fingerprinted with its frequencies divided by a factor.
        """
        pieces: list[Piece] = []
        for pitch in PITCHES:
            block = repitch(pitch)
            places = search_rounds(block.weights, self.index.max_query_rows)[0]
            votes = _Votes.none().add(block, places, self.index, self.table)
            lines = votes.lines(SLOPES, MAX_LINES_FIRST_ROUND, block.centre)
            pieces += self.compare(block, lines, trials=len(SLOPES) * len(PITCHES), pitch=pitch)
        pieces = _sorted(pieces)
        for piece in pieces[:1]:
            # A changed speed changes tempo and pitch by the same factor.
            between = {piece.pitch * SEMITONE, piece.pitch / SEMITONE, piece.slope}
            lines = Lines(np.array([piece.track]), np.array([piece.position]), np.array([piece.slope]))
            for pitch in between:
                if abs(np.log(pitch / piece.pitch)) < 1.5 * np.log(SEMITONE):
                    trials = len(SLOPES) * len(PITCHES) * len(between)
                    pieces += self.compare(repitch(pitch), lines, trials=trials, pitch=pitch)
        return _sorted(pieces)

    def compare(
        self, block: QueryBlock, lines: Lines, *, trials: float = 1.0, pitch: float = 1.0
    ) -> list[Piece]:
        """Compare lines and those beside them, and refine the best of each place (steps 2 and 3)."""
        if not len(lines):
            return []
        near = lines.fan_out(SHIFTS, np.ones(1), np.full(len(lines), block.centre), block.centre)
        windows = self._windows(block, near, trials)
        kept: list[int] = []
        taken: set[tuple[int, int]] = set()
        for number in np.argsort(windows.log_expected, kind="stable").tolist():
            if windows.log_expected[number] >= NO_WINDOW or len(kept) == MAX_PLACES:
                break
            track, cell = int(near.tracks[number]), int(near.positions[number] // PLACE_HOPS)
            if not taken & {(track, cell + step) for step in (-1, 0, 1)}:
                kept.append(number)
                taken.add((track, cell))
        if not kept:
            return []
        chosen = near.only(np.array(kept))
        first, last = windows.first[kept], windows.last[kept]
        tilts = np.tile(np.repeat(FINE_TILTS, len(FINE_SHIFTS)), len(kept))
        for _ in range(MAX_REFINEMENTS):
            fan = chosen.fan_out(FINE_SHIFTS, FINE_TILTS, (first + last) / 2, block.centre)
            fine = self._windows(block, fan, trials)
            best = _best_of_each(fine.log_expected + TILT_COST * (tilts != 1.0), len(kept))
            if not (np.abs(tilts[best] - 1.0) > EDGE_TILT).any():
                break
            chosen, first, last = fan.only(best), fine.first[best], fine.last[best]
        return self._pieces(block, fan, fine, best, pitch)

    def follow(
        self, block: QueryBlock, lines: Lines, shifts: NDArray[np.float64], pitch: float
    ) -> list[Piece]:
        """Compare a block with lines that are expected there and with lines beside them: a piece per line."""
        tilts = 1.0 + np.array([-1.0, 0.0, 1.0]) / 100
        fan = lines.fan_out(shifts, tilts, np.full(len(lines), block.centre), block.centre)
        windows = self._windows(block, fan, 1.0)
        return self._pieces(
            block, fan, windows, _best_of_each(windows.log_expected, len(lines)), pitch, sort=False
        )

    def _windows(self, block: QueryBlock, lines: Lines, trials: float) -> Windows:
        return best_windows(
            block, lines, self.index, self.table, self.law, library_rows=self.library_rows, trials=trials
        )

    def _pieces(
        self,
        block: QueryBlock,
        lines: Lines,
        windows: Windows,
        chosen: NDArray[np.int64],
        pitch: float,
        *,
        sort: bool = True,
    ) -> list[Piece]:
        """Make pieces of some windows; their positions get fractions of a hop."""
        some = lines.only(chosen)
        positions = some.positions + fractional_shift(block, some, self.index, self.table)
        pieces = [
            Piece(
                track=int(lines.tracks[number]),
                position=float(position),
                slope=float(lines.slopes[number]),
                log_expected=float(windows.log_expected[number]),
                score=float(windows.scores[number]),
                rows=float(windows.rows[number]),
                first=float(windows.first[number]),
                last=float(windows.last[number]),
                pitch=pitch,
            )
            for number, position in zip(chosen.tolist(), positions.tolist(), strict=True)
        ]
        return _sorted(pieces) if sort else pieces


def _sorted(pieces: Iterable[Piece]) -> list[Piece]:
    return sorted(pieces, key=lambda piece: piece.log_expected)


def _is_sure(pieces: Sequence[Piece], block: QueryBlock) -> bool:
    """Whether the best piece is no chance and explains the block."""
    return bool(pieces) and pieces[0].log_expected < SURE and pieces[0].rows > SURE_SHARE * block.full_rows


def _best_of_each(log_expected: NDArray[np.float64], groups: int) -> NDArray[np.int64]:
    """Index of the least value of each of some equally large groups."""
    least = np.argmin(log_expected.reshape(groups, -1), axis=1)
    return np.asarray(least + np.arange(groups) * (len(log_expected) // groups), dtype=np.int64)


@dataclass(frozen=True)
class _Votes:
    """One vote for each hit, in no order: a track, the query row, the position of the hit in query hops."""

    tracks: NDArray[np.int64]
    rows: NDArray[np.int64]
    positions: NDArray[np.int64]
    weights: NDArray[np.float64]

    @classmethod
    def none(cls) -> "_Votes":
        return cls(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))

    def add(self, block: QueryBlock, places: NDArray[np.int64], index: Index, table: TrackTable) -> "_Votes":
        """Return these votes and those of further query rows."""
        if not len(places):
            return self
        similarities, found = index.search(block.vectors[places], HITS_PER_ROW)
        track, place = table.locate(found)
        hit = track >= 0
        rows = np.broadcast_to(places[:, None], hit.shape)[hit]
        return _Votes(
            np.concatenate((self.tracks, track[hit])),
            np.concatenate((self.rows, rows)),
            np.concatenate((self.positions, place[hit] * block.ratio)),
            np.concatenate((self.weights, similarities[hit] * block.weights[rows])),
        )

    def lines(self, slopes: Sequence[float], most: int, centre: float) -> Lines:
        """Return the lines with most votes; adjacent positions, two query hops apart, count together."""
        found: list[Lines] = [Lines.none()]
        counts: list[NDArray[np.float64]] = [np.empty(0)]
        for slope in slopes if len(self.tracks) else ():
            # One integer per line; the margin keeps neighbours of different tracks apart.
            pairs = np.rint((self.positions - slope * (self.rows - centre)) / 2).astype(np.int64)
            low = int(pairs.min()) - 2
            span = int(pairs.max()) - low + 3
            keys, which = np.unique(self.tracks * span + (pairs - low), return_inverse=True)
            votes = np.bincount(which, weights=self.weights)
            pooled = votes.copy()
            adjacent = np.flatnonzero(np.diff(keys) == 1)
            pooled[adjacent] += votes[adjacent + 1]
            pooled[adjacent + 1] += votes[adjacent]
            best = np.argsort(-pooled, kind="stable")[:most]
            positions = 2.0 * (keys[best] % span + low)
            found.append(Lines(keys[best] // span, positions, np.full(len(best), slope)))
            counts.append(np.asarray(pooled[best], dtype=np.float64))
        lines = Lines(
            np.concatenate([one.tracks for one in found]),
            np.concatenate([one.positions for one in found]),
            np.concatenate([one.slopes for one in found]),
        )
        return lines.only(np.argsort(-np.concatenate(counts), kind="stable")[:most])
