"""Find the segments of one block of a query: the plain search, then other tempi, then other pitches.

1. The nearest stored fingerprints of some query rows vote for lines (`earprint.matching.lines`). A few rows vote first.
2. The lines with most votes, and lines beside them, are compared with the whole block. The best window of each line is the
   one with the lowest expectation (`earprint.matching.expectation`).
3. The best of each place is refined: its position, its slope, and fractions of a hop.
4. Only while nothing is sure: the votes are counted again for slopes from 0.78 to 1.28, and the block is
   fingerprinted again as if it were recorded up to 4 semitones lower or higher.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from earprint.encoders.base import Fingerprints
from earprint.index.base import Index
from earprint.matching.expectation import ExpectationLaw
from earprint.matching.lines import NOTHING, Agreement, Lines, QueryBlock, best_windows
from earprint.matching.query_rows import row_weights
from earprint.matching.score_normalisation import level_of
from earprint.matching.tracks import TrackTable

Repitch = Callable[[float], Fingerprints]
"""Fingerprints the block again, with all frequencies read as if divided by a factor."""

HITS_PER_ROW = 16
"""Nearest stored fingerprints that each query row votes for."""

FIRST_EVERY = 3
"""Every third of the rows that vote does so in the first round."""

FIRST_CANDIDATES, CANDIDATES = 32, 96
"""Lines that are compared after the first round, and after the second."""

KEPT = 8
"""Lines whose position and slope are refined."""

SURE = -11.5
"""Log expectation (1e-5) from which no further round is needed."""

SLOPES = tuple(float(slope) for slope in np.geomspace(0.78, 1.28, 9).round(4))
"""Slopes for which votes are counted where the recording's own tempo gives nothing sure."""

SEMITONE = 2.0 ** (1 / 12)

PITCHES = (SEMITONE**2, SEMITONE**-2, SEMITONE**4, SEMITONE**-4)
"""Pitches that are tried; the network itself bears a semitone and more."""

SHIFTS = np.array([-4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0])
"""Positions beside a voted line that are compared, in query hops."""

FINE_SHIFTS = np.arange(-3.0, 4.0)
FINE_TILTS = 1.0 + np.array([-6.0, -4.5, -3.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0, 4.5, 6.0]) / 100
"""Positions and slopes tried when a line is refined."""

TILT_COST = 0.7
"""Added to the log expectation of a tilted line: it must agree clearly better."""

SAME_PLACE = 12.0
"""Lines of a track that are nearer than this, in query hops, are one place."""

APART_ROWS = 25
"""Rows that are farther apart than this, 1 s, tell how much a query resembles itself."""


@dataclass(frozen=True)
class Piece:
    """One straight piece of a segment, found in one block.

    Attributes
    ----------
    track : int
        Position of the track in the `TrackTable`.
    position, slope : float
        See `Lines`; the position has a fraction.
    log_expected, score, rows, first, last : float
        See `Agreement`.
    pitch : float
        Factor of the query's frequencies over the recording's.
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
    query: Fingerprints, ratio: int, cohort: NDArray[np.float32] | None, rows: slice | None = None
) -> QueryBlock:
    """Weigh a query's rows, or some of them, and measure its level and self-similarity."""
    weights = row_weights(query.vectors, query.hop_s, query.margin_rows)
    vectors = query.vectors
    if rows is not None:
        vectors, weights = vectors[rows], weights[rows]
    clear = np.flatnonzero(weights > 0.9)
    clear = clear[:: max(1, len(clear) // 32)]
    apart = np.abs(clear[:, None] - clear) > APART_ROWS
    alike = float((vectors[clear] @ vectors[clear].T)[apart].mean()) if apart.any() else 0.0
    weighted = np.asarray(vectors * weights[:, None], dtype=np.float32)
    return QueryBlock(vectors, weighted, weights, level_of(vectors, weights, cohort), alike, ratio)


class BlockSearch:
    """Searches one library for blocks of queries.

    Parameters
    ----------
    index : Index
    table : TrackTable
    law : ExpectationLaw
    cohort : ndarray of float32, shape (m, dim), optional
    """

    def __init__(
        self, index: Index, table: TrackTable, law: ExpectationLaw, cohort: NDArray[np.float32] | None = None
    ) -> None:
        self.index, self.table, self.law, self.cohort = index, table, law, cohort
        self.library_rows = int(table.n_rows.sum())

    def find(self, block: QueryBlock, repitch: Repitch | None = None) -> list[Piece]:
        """Find the block's best pieces, at most one for each place, best first.

        Parameters
        ----------
        block : QueryBlock
        repitch : callable, optional
            Without it no other pitch is tried.
        """
        votes = _Votes.none()
        pieces: list[Piece] = []
        rounds = _rounds(block, self.index.max_query_rows)
        for number, places in enumerate(rounds):
            votes = votes.cast(block, places, self.index, self.table)
            most = CANDIDATES if number == len(rounds) - 1 else FIRST_CANDIDATES
            pieces = self._best(block, votes.lines((1.0,), most, block.centre))
            if _is_sure(pieces):
                return pieces
        pieces += self._best(block, votes.lines(SLOPES, CANDIDATES, block.centre), trials=len(SLOPES))
        if not _is_sure(pieces) and repitch is not None:
            pieces += self._other_pitches(block, repitch)
        return sorted(pieces, key=lambda piece: piece.log_expected)

    def follow(self, block: QueryBlock, lines: Lines, shifts: NDArray[np.float64]) -> list[Piece]:
        """Compare a block with lines that are expected there, and with lines beside them; one piece for each."""
        tilts = 1.0 + np.array([-1.0, 0.0, 1.0]) / 100
        about = np.full(len(lines), block.centre)
        agreement = self._agreement(block, fan := lines.fanned(shifts, tilts, about, block.centre), trials=1.0)
        best = np.argmin(agreement.log_expected.reshape(len(lines), -1), axis=1)
        best += np.arange(len(lines)) * (len(shifts) * len(tilts))
        return [_piece(fan, agreement, number, 1.0) for number in best.tolist()]

    def _other_pitches(self, block: QueryBlock, repitch: Repitch) -> list[Piece]:
        pieces: list[Piece] = []
        for pitch in PITCHES:
            other = make_block(repitch(pitch), block.ratio, self.cohort)
            votes = _Votes.none().cast(other, _rounds(other, self.index.max_query_rows)[0], self.index, self.table)
            lines = votes.lines(SLOPES, CANDIDATES, other.centre)
            pieces += self._best(other, lines, trials=len(SLOPES) * len(PITCHES), pitch=pitch)
        pieces.sort(key=lambda piece: piece.log_expected)
        return pieces + self._polished(pieces[:2], block, repitch)

    def _polished(self, pieces: Sequence[Piece], block: QueryBlock, repitch: Repitch) -> list[Piece]:
        """Compare again with pitches between those tried; speed changes tempo and pitch by the same factor."""
        out = []
        for piece in pieces:
            pitches = {piece.pitch * SEMITONE, piece.pitch / SEMITONE}
            if abs(np.log(piece.slope / piece.pitch)) < 1.5 * np.log(SEMITONE):
                pitches.add(piece.slope)
            lines = Lines(np.array([piece.track]), np.array([piece.position]), np.array([piece.slope]))
            for pitch in pitches:
                other = make_block(repitch(pitch), block.ratio, self.cohort)
                trials = len(SLOPES) * len(PITCHES) * len(pitches)
                out += self._best(other, lines, trials=trials, pitch=pitch)
        return out

    def _agreement(self, block: QueryBlock, lines: Lines, trials: float) -> Agreement:
        return best_windows(
            block, lines, self.index, self.table, self.law, library_rows=self.library_rows, trials=trials
        )

    def _best(self, block: QueryBlock, lines: Lines, *, trials: float = 1.0, pitch: float = 1.0) -> list[Piece]:
        """Compare lines and those beside them; refine the best of each place."""
        if not len(lines):
            return []
        near = lines.fanned(SHIFTS, np.ones(1), np.full(len(lines), block.centre), block.centre)
        agreement = self._agreement(block, near, trials)
        kept: list[int] = []
        places: set[tuple[int, int]] = set()
        for number in np.argsort(agreement.log_expected, kind="stable").tolist():
            place = (int(near.tracks[number]), int(near.positions[number] // SAME_PLACE))
            around = {(place[0], place[1] + step) for step in (-1, 0, 1)}
            if agreement.log_expected[number] >= NOTHING or len(kept) == KEPT:
                break
            if not around & places:
                kept.append(number)
                places.add(place)
        if not kept:
            return []
        chosen = near.only(np.array(kept))
        about = (agreement.first[kept] + agreement.last[kept]) / 2
        fan = chosen.fanned(FINE_SHIFTS, FINE_TILTS, about, block.centre)
        fine = self._agreement(block, fan, trials)
        tilted = np.tile(np.repeat(FINE_TILTS != 1.0, len(FINE_SHIFTS)), len(kept))
        fine = replace(fine, log_expected=fine.log_expected + TILT_COST * tilted)
        best = np.argmin(fine.log_expected.reshape(len(kept), -1), axis=1)
        best += np.arange(len(kept)) * len(FINE_SHIFTS) * len(FINE_TILTS)
        pieces = [_piece(fan, fine, number, pitch) for number in best.tolist()]
        return sorted(pieces, key=lambda piece: piece.log_expected)


def _piece(lines: Lines, agreement: Agreement, number: int, pitch: float) -> Piece:
    return Piece(
        track=int(lines.tracks[number]),
        position=float(lines.positions[number]),
        slope=float(lines.slopes[number]),
        log_expected=float(agreement.log_expected[number]),
        score=float(agreement.scores[number]),
        rows=float(agreement.rows[number]),
        first=float(agreement.first[number]),
        last=float(agreement.last[number]),
        pitch=pitch,
    )


def _is_sure(pieces: Sequence[Piece]) -> bool:
    return bool(pieces) and min(piece.log_expected for piece in pieces) < SURE


def _rounds(block: QueryBlock, most: int) -> list[NDArray[np.int64]]:
    """The rows that vote, in rounds; all at once if there are no more than ``most``."""
    places = np.flatnonzero(block.weights)
    if len(places) <= most:
        return [places]
    places = places[np.linspace(0, len(places) - 1, most).round().astype(np.int64)]
    first = np.zeros(most, dtype=np.bool_)
    first[FIRST_EVERY // 2 :: FIRST_EVERY] = True
    return [places[first], places[~first]]


@dataclass(frozen=True)
class _Votes:
    """Votes for (track, position of a query row), one for each stored fingerprint found, in no order."""

    tracks: NDArray[np.int64]
    rows: NDArray[np.int64]
    positions: NDArray[np.int64]
    weights: NDArray[np.float64]

    @classmethod
    def none(cls) -> "_Votes":
        return cls(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))

    def cast(
        self, block: QueryBlock, places: NDArray[np.int64], index: Index, table: TrackTable
    ) -> "_Votes":
        """These and the votes of further rows of the block."""
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
        """The lines with most votes; votes for positions next to each other count together."""
        tracks, positions, tilts, counts = [], [], [], []
        for slope in slopes if len(self.tracks) else ():
            # One whole number per line, in pairs of hops; the margin keeps different tracks apart.
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
            tracks.append(keys[best] // span)
            positions.append(2.0 * (keys[best] % span + low))
            tilts.append(np.full(len(best), slope))
            counts.append(pooled[best])
        if not tracks:
            return Lines(np.empty(0, np.int64), np.empty(0), np.empty(0))
        order = np.argsort(-np.concatenate(counts), kind="stable")[:most]
        lines = Lines(np.concatenate(tracks), np.concatenate(positions), np.concatenate(tilts))
        return lines.only(order)
