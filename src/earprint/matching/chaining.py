"""Segments of a long query: pieces of consecutive blocks that go on from one another.

A query is searched in blocks of a few seconds. What a block finds begins or continues segments. A segment is followed into
the next blocks even where the index finds nothing there: its line is compared directly. So the evidence of a quiet
or noisy passage adds up, a drift of speed is followed piece by piece, and a jump (dropped audio, a scratch) only
costs some evidence. A segment ends when some blocks in a row say nothing for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from earprint.matching.expectation import ExpectationLaw
from earprint.matching.lines import Lines, QueryBlock
from earprint.matching.segment_search import BlockSearch, Piece, Repitch

MOST_OPEN = 48
"""Segments that are followed at a time."""

BEGINS = 6.0
"""Log expectation up to which a piece begins a segment that is followed; most such segments end at once."""

GAINS = 0.08
"""Mean score from which a followed block says something for its segment."""

SILENT_BLOCKS = 2
"""A segment ends after so many blocks in a row that say nothing for it."""

NEAR_HOPS = 5.0
"""A piece within this distance of a segment's line is on it, in query hops."""

JUMP_HOPS = 125.0
"""Longest jump within a segment, in query hops: 5 s."""

JUMP_COST = 8.0
"""By so much a piece after a jump must be less expected than one on the line."""

WINDOW_ROWS = 24.0
"""Length of a fingerprint's window, in query hops."""

FOLLOW_SHIFTS = np.array([-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0])
"""Positions beside a followed line that are compared, in query hops."""


@dataclass
class OpenSegment:
    """A segment that may go on: its pieces, with positions counted from the query's first row."""

    track: int
    pitch: float
    pieces: list[Piece] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)
    silent: int = 0
    since: int = 0

    def add(self, piece: Piece, first_row: float, centre: float) -> None:
        """Append a piece of the block that begins at ``first_row``."""
        self.pieces.append(piece)
        self.starts.append(first_row + centre)
        self.silent = 0

    @property
    def rows(self) -> float:
        """Stored fingerprints that the pieces span, weighted."""
        return sum(piece.rows for piece in self.pieces)

    @property
    def score(self) -> float:
        """Mean score over all pieces."""
        return sum(piece.rows * piece.score for piece in self.pieces) / max(self.rows, 1e-6)

    @property
    def first_row(self) -> float:
        """First query row."""
        piece = self.pieces[0]
        return piece.first

    @property
    def last_row(self) -> float:
        """Last query row."""
        return self.pieces[-1].last

    def line_at(self, row: float) -> tuple[float, float]:
        """Position and slope where the segment would go on at a query row."""
        last, centre = self.pieces[-1], self.starts[-1]
        slope = last.slope
        some = slice(max(self.since, len(self.pieces) - 4), None)
        if len(self.pieces[some]) > 1:
            # The rise over the last pieces tells the slope better than one piece does.
            slope = _rise(self.starts[some], self.pieces[some])
        return last.position + slope * (row - centre), slope


@dataclass(frozen=True)
class FoundSegment:
    """A finished segment, in query rows and track positions (query hops).

    Attributes
    ----------
    track : int
    first, last : float
        Query rows under its first and last stored fingerprint.
    knots : list of (float, float)
        Query row and position of each piece's middle: the segment's line in pieces.
    slope, pitch : float
        Mean slope; factor of the query's frequencies.
    score, rows, log_expected : float
    """

    track: int
    first: float
    last: float
    knots: list[tuple[float, float]]
    slope: float
    pitch: float
    score: float
    rows: float
    log_expected: float

    def position_at(self, row: float) -> float:
        """Track position of a query row, beyond the ends too."""
        x, y = np.array(self.knots).T
        if len(x) == 1 or row <= x[0] or row >= x[-1]:
            near = 0 if row <= x[0] else -1
            return float(y[near] + self.slope * (row - x[near]))
        return float(np.interp(row, x, y))


class SegmentTracker:
    """Follows segments from block to block.

    Parameters
    ----------
    search : BlockSearch
    law : ExpectationLaw
    """

    def __init__(self, search: BlockSearch, law: ExpectationLaw) -> None:
        self.search, self.law = search, law
        self.open: list[OpenSegment] = []
        self.done: list[FoundSegment] = []
        self._blocks = 0
        self._level = self._alike = 0.0

    def feed(self, block: QueryBlock, first_row: float, repitch: Repitch | None = None) -> None:
        """Search the next block, whose row 0 is row ``first_row`` of the query."""
        self._blocks += 1
        self._level += (block.level - self._level) / self._blocks
        self._alike += (block.self_similarity - self._alike) / self._blocks
        found = [_shifted(piece, first_row) for piece in self.search.find(block, repitch)]
        self._follow(block, first_row, found)
        for piece in found:
            if piece.log_expected > BEGINS or any(self._is_on(piece, known, first_row, block) for known in self.open):
                continue
            segment = OpenSegment(piece.track, piece.pitch)
            segment.add(piece, first_row, block.centre)
            self.open.append(segment)
        self.open.sort(key=self._log_expected)
        self.open = self.open[:MOST_OPEN]

    def finish(self) -> list[FoundSegment]:
        """End all segments and return them, best first."""
        for segment in self.open:
            self._end(segment)
        self.open = []
        return sorted(self.done, key=lambda segment: segment.log_expected)

    def _follow(self, block: QueryBlock, first_row: float, found: Sequence[Piece]) -> None:
        going = [segment for segment in self.open if segment.pitch == 1.0]
        if going:
            lines = [segment.line_at(first_row + block.centre) for segment in going]
            tracks = np.array([segment.track for segment in going])
            where = Lines(tracks, np.array([at for at, _ in lines]), np.array([slope for _, slope in lines]))
            compared = self.search.follow(block, where, FOLLOW_SHIFTS)
        else:
            compared = []
        still: list[OpenSegment] = []
        for segment in self.open:
            options = [piece for piece in found if self._is_on(piece, segment, first_row, block)]
            if segment in going:
                piece = _shifted(compared[going.index(segment)], first_row)
                if piece.score > GAINS and piece.rows > 0:
                    options.append(piece)
            jumps = [piece for piece in found if self._jumps(piece, segment, first_row, block)]
            best = min(options, key=lambda piece: piece.log_expected, default=None)
            jump = min(jumps, key=lambda piece: piece.log_expected, default=None)
            if jump is not None and (best is None or jump.log_expected < best.log_expected - JUMP_COST):
                best = jump
            if best is not None:
                if best is jump:
                    segment.since = len(segment.pieces)
                segment.add(best, first_row, block.centre)
                still.append(segment)
                continue
            segment.silent += 1
            if segment.silent >= SILENT_BLOCKS:
                self._end(segment)
            else:
                still.append(segment)
        self.open = still

    def _is_on(self, piece: Piece, segment: OpenSegment, first_row: float, block: QueryBlock) -> bool:
        if piece.track != segment.track or piece is segment.pieces[-1]:
            return piece is segment.pieces[-1]
        middle = first_row + block.centre
        if segment.starts[-1] == middle:
            return abs(piece.position - segment.pieces[-1].position) < NEAR_HOPS
        position, _ = segment.line_at(middle)
        away = abs(middle - segment.starts[-1])
        return abs(piece.position - position) < NEAR_HOPS + 0.03 * away

    def _jumps(self, piece: Piece, segment: OpenSegment, first_row: float, block: QueryBlock) -> bool:
        """Whether a piece goes on with a segment after dropped or repeated audio."""
        if piece.track != segment.track or piece.log_expected > -JUMP_COST:
            return False
        position, _ = segment.line_at(first_row + block.centre)
        return abs(piece.position - position) < JUMP_HOPS

    def _log_expected(self, segment: OpenSegment) -> float:
        own = min(piece.log_expected for piece in segment.pieces)
        whole = self.law.log_expected(
            np.array([segment.score]),
            np.array([segment.rows]),
            library_rows=self.search.library_rows,
            self_similarity=self._alike,
            level=self._level,
            trials=2.0 * (1 + self._blocks / len(segment.pieces)),
        )
        return min(own + float(np.log(1 + self._blocks)), float(whole[0]))

    def _end(self, segment: OpenSegment) -> None:
        knots = [(start, piece.position) for start, piece in zip(segment.starts, segment.pieces, strict=True)]
        some = slice(segment.since, None)
        slope = segment.pieces[-1].slope
        if len(segment.pieces[some]) > 1:
            slope = _rise(segment.starts[some], segment.pieces[some])
        self.done.append(
            FoundSegment(
                segment.track, segment.first_row, segment.last_row, knots, slope, segment.pitch,
                segment.score, segment.rows, self._log_expected(segment),
            )
        )  # fmt: skip


def _rise(rows: Sequence[float], pieces: Sequence[Piece]) -> float:
    """Slope of the straight line nearest to the positions of some pieces."""
    return float(np.polyfit(rows, [piece.position for piece in pieces], 1)[0])


def _shifted(piece: Piece, first_row: float) -> Piece:
    """The piece with query rows counted from the query's first row."""
    return replace(piece, first=piece.first + first_row, last=piece.last + first_row)


def choose(segments: Sequence[FoundSegment], most_expected: float) -> list[list[FoundSegment]]:
    """Let segments that explain the same stretch of the query compete.

    Returns
    -------
    list of list of FoundSegment
        One list for each stretch, in the order of the query: its best segment first, then the others that
        explain it, best first.
    """
    limit = float(np.log(most_expected))
    stretches: list[list[FoundSegment]] = []
    for segment in sorted(segments, key=lambda segment: segment.log_expected):
        if segment.log_expected > limit:
            continue
        for stretch in stretches:
            best = stretch[0]
            shared = min(best.last, segment.last) - max(best.first, segment.first) + WINDOW_ROWS
            if shared > 0.5 * (segment.last - segment.first + WINDOW_ROWS):
                stretch.append(segment)
                break
        else:
            stretches.append([segment])
    return sorted(stretches, key=lambda stretch: stretch[0].first)
