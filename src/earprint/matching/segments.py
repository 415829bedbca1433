"""Find the segments of a query: which recordings it contains, from when to when, at which speed and pitch.

A short query is one block. A long one is searched in blocks (`earprint.matching.segment_search`) whose
pieces are chained (`earprint.matching.chaining`). If nothing is sure at the query's own pitch, other
pitches are tried: on the whole query if it is short, else on a few blocks. Then the whole query is searched
at the pitch that fits best.
"""

from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import Final

import numpy as np

from earprint.encoders.base import Fingerprints
from earprint.matching.chaining import FoundSegment, SegmentTracker
from earprint.matching.lines import QueryBlock
from earprint.matching.segment_search import SURE, BlockSearch, make_block

MAX_BLOCK_S: Final = 12.0
"""Longest query that is one block, in seconds."""

BLOCK_S: Final = 5.0
"""Length of the blocks of longer queries, in seconds."""

PITCH_BLOCKS: Final = 3
"""Number of blocks of a long query on which other pitches are tried."""

MAX_UNCORRECTED: Final = 0.025
"""Largest change of speed, as a share, at which a segment is kept as the query's own pitch finds it."""

MAX_PITCH_S: Final = 300.0
"""Longest query for which other pitches are tried, in seconds."""

Repitch = Callable[[float], Fingerprints]
"""Returns the query's fingerprints, made as if all its frequencies were divided by a factor."""


def find_segments(
    query: Fingerprints, search: BlockSearch, ratio: int, repitch: Repitch | None = None
) -> list[FoundSegment]:
    """Find all segments of a query, the least expected by chance first.

    Parameters
    ----------
    query : Fingerprints
        On the query grid.
    search : BlockSearch
    ratio : int
        Reference hop divided by query hop.
    repitch : callable, optional
        Without it, no other pitch is tried.

    Returns
    -------
    list of FoundSegment
        Most of those at the end are chance, see `earprint.matching.chaining.choose_segments`.
    """
    blocks = _block_rows(query)
    found = _search_blocks(query, blocks, search, ratio)
    if repitch is None or query.duration_s > MAX_PITCH_S:
        return found
    if found and found[0].log_expected < SURE:
        pitch = found[0].slope if abs(found[0].slope - 1.0) > MAX_UNCORRECTED else 1.0
    else:
        pitch = _best_pitch(blocks, search, ratio, cache(repitch))
    if pitch != 1.0:
        found += _search_blocks(repitch(pitch), blocks, search, ratio, pitch)
    return sorted(found, key=lambda segment: segment.log_expected)


def _best_pitch(blocks: list[slice], search: BlockSearch, ratio: int, repitch: Repitch) -> float:
    """Return the pitch at which some block fits a track best; 1 if none fits."""
    best = None
    for rows in blocks[:: max(1, len(blocks) // PITCH_BLOCKS)]:

        def block_at(pitch: float, rows: slice = rows) -> QueryBlock:
            return make_block(repitch(pitch), ratio, search.cohort, rows)

        pieces = search.search_pitches(block_at)
        if pieces and (best is None or pieces[0].log_expected < best.log_expected):
            best = pieces[0]
    return 1.0 if best is None else best.pitch


def _block_rows(query: Fingerprints) -> list[slice]:
    """Cut a query's rows into blocks."""
    count = len(query.vectors)
    if query.duration_s <= MAX_BLOCK_S:
        return [slice(0, count)]
    edges = np.linspace(0, count, round(query.duration_s / BLOCK_S) + 1).round().astype(int).tolist()
    return [slice(start, stop) for start, stop in pairwise(edges)]


def _search_blocks(
    query: Fingerprints, blocks: list[slice], search: BlockSearch, ratio: int, pitch: float = 1.0
) -> list[FoundSegment]:
    tracker = SegmentTracker(search)
    for rows in blocks:
        block = make_block(query, ratio, search.cohort, rows)
        tracker.feed(block, float(rows.start), search.search(block, pitch=pitch), pitch)
    return tracker.finish()
