"""Chain the pieces of consecutive blocks into segments.

A long query is searched in blocks of a few seconds. The pieces found in a block begin segments or continue
them. A segment is also followed into the next blocks without the index: its line is compared directly. So the
evidence of noisy passages adds up, and a changing speed is followed piece by piece. A piece of the same track
that does not lie on the line continues a segment after a jump, such as dropped audio, if it is far less
expected by chance. A segment ends after some blocks without evidence.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Final

import numpy as np

from earprint.matching.lines import Lines, QueryBlock
from earprint.matching.segment_search import BlockSearch, Piece

MAX_OPEN: Final = 48
"""Number of segments that are followed at a time."""

MAX_LOG_EXPECTED: Final = 6.0
"""Log expectation up to which a piece begins a segment. Most such segments are chance and end at once."""

MIN_FOLLOWED_SCORE: Final = 0.08
"""Least mean score of a followed line that continues its segment."""

MAX_MISSED_BLOCKS: Final = 2
"""A segment ends after this number of blocks in a row without evidence."""

ON_LINE_HOPS: Final = 5.0
"""A piece within this distance of a segment's line is on it, in query hops."""

ON_LINE_SLOPE: Final = 0.03
"""The distance grows by this share of the query hops since the segment's last piece."""

MAX_JUMP_HOPS: Final = 125.0
"""Longest jump within a segment, in query hops: 5 s."""

JUMP_COST: Final = 8.0
"""A piece after a jump must have a log expectation lower by this than one on the line."""

MAX_JUMPING: Final = -4.0
"""Log expectation of a segment's best piece above which it cannot jump."""

FOLLOW_SHIFTS: Final = np.arange(-3.0, 4.0)
"""Positions beside a followed line that are compared, in query hops."""

SLOPE_PIECES: Final = 4
"""Number of a segment's latest pieces that give the slope of its line."""

WINDOW_HOPS: Final = 24.0
"""Length of a fingerprint's window, in query hops."""

OVERLAP: Final = 0.5
"""A segment competes with a better one that covers more than this share of it."""


@dataclass(frozen=True)
class FoundSegment:
    """A segment, in query rows and in track positions (query hops).

    Attributes
    ----------
    track : int
        Index into the `TrackTable`.
    first, last : float
        Query rows of the first and the last stored fingerprint.
    knots : tuple of (float, float)
        Query row and track position of the middle of each piece.
    slope : float
        Track hops per query hop, at the end of the segment.
    pitch : float
        Frequencies of the query divided by those of the track.
    score : float
        Mean normalised score.
    rows : float
        Number of stored fingerprints, weighted.
    log_expected : float
        Natural logarithm of the expected number of chance segments that score as high.
    """

    track: int
    first: float
    last: float
    knots: tuple[tuple[float, float], ...]
    slope: float
    pitch: float
    score: float
    rows: float
    log_expected: float

    def position_at(self, row: float) -> float:
        """Return the track position of a query row; beyond the knots the line goes on."""
        rows, positions = np.array(self.knots).T
        if row <= rows[0]:
            return float(positions[0] + self.slope_at(0) * (row - rows[0]))
        if row >= rows[-1]:
            return float(positions[-1] + self.slope_at(-1) * (row - rows[-1]))
        return float(np.interp(row, rows, positions))

    def slope_at(self, end: int) -> float:
        """Return the slope at the first (0) or the last (-1) knots."""
        some = self.knots[:3] if end == 0 else self.knots[-3:]
        jumps = any(
            abs(after[1] - before[1] - self.slope * (after[0] - before[0])) > ON_LINE_HOPS
            for before, after in pairwise(some)
        )
        return self.slope if len(some) < 2 or jumps else _slope(some)


@dataclass
class _OpenSegment:
    """A segment that may continue; its pieces' rows count from the start of the query."""

    track: int
    pitch: float
    pieces: list[Piece] = field(default_factory=list)
    knots: list[tuple[float, float]] = field(default_factory=list)
    jumped_at: int = 0
    missed: int = 0

    def add(self, piece: Piece, centre: float, *, jump: bool = False) -> None:
        """Append a piece of the block with its middle at row ``centre``."""
        if jump:
            self.jumped_at = len(self.pieces)
        self.pieces.append(piece)
        self.knots.append(_middle(piece, centre))
        self.missed = 0

    @property
    def rows(self) -> float:
        """Number of stored fingerprints, weighted."""
        return sum(piece.rows for piece in self.pieces)

    @property
    def score(self) -> float:
        """Mean score."""
        return sum(piece.rows * piece.score for piece in self.pieces) / self.rows

    @property
    def log_expected(self) -> float:
        """Log expectation of the best piece."""
        return min(piece.log_expected for piece in self.pieces)

    @property
    def slope(self) -> float:
        """Slope of the latest pieces since the last jump."""
        some = slice(max(self.jumped_at, len(self.pieces) - SLOPE_PIECES), None)
        if len(self.knots[some]) < 2:
            return self.pieces[-1].slope
        return _slope(self.knots[some], [piece.rows for piece in self.pieces[some]])

    def position_at(self, row: float) -> float:
        """Return the track position to expect at a query row."""
        last_row, position = self.knots[-1]
        return position + self.slope * (row - last_row)


class SegmentTracker:
    """Chains the pieces of a query's blocks.

    Parameters
    ----------
    search : BlockSearch
    """

    def __init__(self, search: BlockSearch) -> None:
        self._search = search
        self._open: list[_OpenSegment] = []
        self._ended: list[FoundSegment] = []
        self._blocks: list[QueryBlock] = []

    def feed(self, block: QueryBlock, first_row: float, pieces: Sequence[Piece], pitch: float = 1.0) -> None:
        """Take the next block and the pieces that were found in it.

        Parameters
        ----------
        block : QueryBlock
        first_row : float
            Row of the query at which the block begins.
        pieces : sequence of Piece
        pitch : float
            Factor that the block's frequencies were divided by.
        """
        self._blocks.append(replace(block, vectors=block.vectors[:0]))
        centre = first_row + block.centre
        found = [_moved(piece, first_row) for piece in pieces]
        used = self._continue(block, first_row, found, pitch)
        for piece in found:
            on_known = any(piece.track == one.track and self._is_on(piece, one, centre) for one in self._open)
            if piece in used or on_known or piece.log_expected > MAX_LOG_EXPECTED:
                continue
            segment = _OpenSegment(piece.track, piece.pitch)
            segment.add(piece, centre)
            self._open.append(segment)
        self._open.sort(key=self._log_expected)
        for segment in self._open[MAX_OPEN:]:
            self._end(segment)
        del self._open[MAX_OPEN:]

    def finish(self) -> list[FoundSegment]:
        """End all segments and return them, the least expected first."""
        for segment in self._open:
            self._end(segment)
        self._open = []
        return sorted(self._ended, key=lambda segment: segment.log_expected)

    def _continue(
        self, block: QueryBlock, first_row: float, found: Sequence[Piece], pitch: float
    ) -> list[Piece]:
        """Continue or end the open segments; return the pieces that continued one."""
        centre = first_row + block.centre
        used: list[Piece] = []
        still_open: list[_OpenSegment] = []
        for segment, followed in zip(self._open, self._followed(block, first_row, pitch), strict=True):
            own = [piece for piece in found if piece.track == segment.track]
            # Only a segment that is hardly chance can continue after a jump.
            can_jump = segment.log_expected < MAX_JUMPING
            on_line = [piece for piece in own if self._is_on(piece, segment, centre)]
            if followed.score > MIN_FOLLOWED_SCORE and followed.rows > 0:
                on_line.append(followed)
            best = min(on_line, key=lambda piece: piece.log_expected, default=None)
            limit = (0.0 if best is None else best.log_expected) - JUMP_COST
            jumps = [
                piece
                for piece in own
                if can_jump
                and piece.log_expected < limit
                and abs(piece.position - segment.position_at(centre)) < MAX_JUMP_HOPS
            ]
            jump = min(jumps, key=lambda piece: piece.log_expected, default=None)
            chosen = best if jump is None else jump
            if chosen is not None:
                segment.add(chosen, centre, jump=chosen is jump)
                used.append(chosen)
                still_open.append(segment)
            elif segment.missed + 1 >= MAX_MISSED_BLOCKS:
                self._end(segment)
            else:
                segment.missed += 1
                still_open.append(segment)
        self._open = still_open
        return used

    def _followed(self, block: QueryBlock, first_row: float, pitch: float) -> list[Piece]:
        """Compare the block with the line of each open segment."""
        if not self._open:
            return []
        centre = first_row + block.centre
        lines = Lines(
            np.array([segment.track for segment in self._open]),
            np.array([segment.position_at(centre) for segment in self._open]),
            np.array([segment.slope for segment in self._open]),
        )
        return [_moved(piece, first_row) for piece in self._search.follow(block, lines, FOLLOW_SHIFTS, pitch)]

    @staticmethod
    def _is_on(piece: Piece, segment: _OpenSegment, centre: float) -> bool:
        """Whether a piece of the block at row ``centre`` lies on the line of a segment of its track."""
        row, position = _middle(piece, centre)
        allowed = ON_LINE_HOPS + ON_LINE_SLOPE * abs(row - segment.knots[-1][0])
        return abs(position - segment.position_at(row)) < allowed

    def _log_expected(self, segment: _OpenSegment) -> float:
        """Log expectation of the whole segment, or of its best piece if that is lower."""
        number = len(self._blocks)
        whole = self._search.law.log_expected(
            np.array([segment.score]),
            np.array([segment.rows]),
            library_rows=self._search.library_rows,
            self_similarity=float(np.mean([block.self_similarity for block in self._blocks])),
            level=float(np.mean([block.level for block in self._blocks])),
            trials=1.0 if number == 1 else 2.0 * (1.0 + number / len(segment.pieces)),
        )
        best = segment.log_expected + float(np.log(number))
        return best if number == 1 else min(best, float(whole[0]))

    def _end(self, segment: _OpenSegment) -> None:
        self._ended.append(
            FoundSegment(
                track=segment.track,
                first=segment.pieces[0].first,
                last=segment.pieces[-1].last,
                knots=tuple(segment.knots),
                slope=segment.slope,
                pitch=segment.pitch,
                score=segment.score,
                rows=segment.rows,
                log_expected=self._log_expected(segment),
            )
        )


def choose_segments(segments: Sequence[FoundSegment], max_expected: float) -> list[FoundSegment]:
    """Choose the segments to report: those that explain the same part of the query compete.

    Parameters
    ----------
    segments : sequence of FoundSegment
    max_expected : float
        Highest expected number of chance segments.

    Returns
    -------
    list of FoundSegment
        In the order of the query.
    """
    limit = float(np.log(max_expected))
    chosen: list[FoundSegment] = []
    for segment in sorted(segments, key=lambda one: one.log_expected):
        length = segment.last - segment.first + WINDOW_HOPS
        shared = [min(one.last, segment.last) - max(one.first, segment.first) + WINDOW_HOPS for one in chosen]
        if segment.log_expected <= limit and not any(overlap > OVERLAP * length for overlap in shared):
            chosen.append(segment)
    return sorted(chosen, key=lambda one: one.first)


def _slope(knots: Sequence[tuple[float, float]], weights: Sequence[float] | None = None) -> float:
    """Slope of the straight line nearest to some knots, by least squares."""
    rows, positions = np.array(knots).T
    return float(np.polyfit(rows, positions, 1, w=None if weights is None else np.sqrt(weights))[0])


def _middle(piece: Piece, centre: float) -> tuple[float, float]:
    """Query row and track position of the middle of a piece; the middle of its block is row ``centre``."""
    row = (piece.first + piece.last) / 2
    return row, piece.position + piece.slope * (row - centre)


def _moved(piece: Piece, first_row: float) -> Piece:
    """Return the piece with query rows counted from the start of the query."""
    return replace(piece, first=piece.first + first_row, last=piece.last + first_row)
