"""Match Chromaprint's fingerprints, with the method of its library and of its service AcoustID.

A Chromaprint fingerprint is a sequence of 32-bit items, one every 124 ms. The library makes fingerprints and
compares two of them; it has no index. This module compares a query with all references at once:

1. Items whose top 12 bits agree vote for the offset between query and reference. The offset of a reference
   with the most votes is aligned if it has two or more votes.
2. The wrong bits of each aligned pair of items are counted and smoothed. The overlap is cut into segments
   where the smoothed count changes fastest.
3. Segments match if they have fewer than 10 wrong bits of 32 on average.

This is ``FingerprintMatcher::Match`` of github.com/acoustid/chromaprint, ``src/fingerprint_matcher.cpp``
(Copyright 2016 Lukas Lalinsky, MIT), in versions 1.5.1 and 1.6.1, with two differences. The noise of up to
0.001 bits that breaks ties there is left out. Segments are not merged, which changes neither their sum nor
their place. Two more choices are those of AcoustID's database functions, github.com/acoustid/pg_acoustid,
``acoustid_compare.c``: the item of digital silence does not vote (``acoustid_extract_query``), and references
are ranked by ``share of the query that matches * (1 - 2 * bit error rate)`` (``match_fingerprints2``), where
1 is identical.

Items are ``uint32`` arrays of shape (n,); offsets count items, from the start of the reference to that of
the query.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ITEM_BITS = 32
"""Bits of an item."""

ALIGN_BITS = 12
"""Leading bits of an item that vote (``ALIGN_BITS``)."""

MIN_VOTES = 2
"""Votes that an offset needs (``m_histogram[i] > 1``)."""

MAX_WRONG_BITS = 10.0
"""Mean number of wrong bits at and above which a segment does not match (``kDefaultMatchThreshold``)."""

BOX_WIDTHS = (15, 15, 17)
"""Items of the three running means that make ``GaussianFilter(..., 8.0, 3)``."""

MIN_GRADIENT = 0.15
"""Least change of the smoothed count at a cut, in bits per item."""

SILENCE = 627964279
"""The item of digital silence, from AcoustID."""


class Found(NamedTuple):
    """The best reference for a query: its number, the offset in items, and the score in (0, 1]."""

    reference: int
    offset: int
    score: float


class Matcher:
    """Compares queries with all references.

    Parameters
    ----------
    items : ndarray of uint32, shape (n,)
        The fingerprints of all references, one after the other.
    lengths : ndarray of int, shape (references,)
        Number of items of each reference.
    """

    def __init__(self, items: NDArray[np.uint32], lengths: NDArray[np.int64]) -> None:
        self._items = items
        self._lengths = lengths.astype(np.int64)
        self._firsts = np.cumsum(self._lengths) - self._lengths
        voting = np.flatnonzero(items != SILENCE)
        keys = _key(items[voting])
        order = np.argsort(keys, kind="stable")
        self._places = voting[order]
        self._bounds = np.searchsorted(keys[order], np.arange((1 << ALIGN_BITS) + 1))

    def best(self, query: NDArray[np.uint32]) -> Found | None:
        """Return the reference that matches best; None if none matches.

        Parameters
        ----------
        query : ndarray of uint32, shape (n,)

        Returns
        -------
        Found or None
            The first one of those with the best score.
        """
        references, offsets = self._alignments(query)
        query_starts = np.maximum(0, -offsets)
        starts = np.maximum(0, offsets)
        sizes = np.minimum(self._lengths[references] - starts, len(query) - query_starts)
        scores = np.zeros(len(references))
        for size in np.unique(sizes):  # most overlaps are as long as the query
            rows = np.flatnonzero(sizes == size)
            steps = np.arange(size)
            ours = self._items[(self._firsts[references[rows]] + starts[rows])[:, np.newaxis] + steps]
            theirs = query[query_starts[rows][:, np.newaxis] + steps]
            scores[rows] = matching_items(np.bitwise_count(ours ^ theirs)) / len(query)
        if not scores.any():
            return None
        row = int(np.argmax(scores))
        return Found(int(references[row]), int(offsets[row]), float(scores[row]))

    def _alignments(self, query: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the references with enough votes, and the offset of each with the most votes."""
        voting = np.flatnonzero(query != SILENCE)
        keys = _key(query[voting])
        firsts, counts = self._bounds[keys], np.diff(self._bounds)[keys]
        ranks = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        places = self._places[np.repeat(firsts, counts) + ranks]
        references = np.searchsorted(self._firsts, places, side="right") - 1
        offsets = places - self._firsts[references] - np.repeat(voting, counts)
        # One number for each pair: offsets lie above -n, and below the length of the longest reference.
        span = len(query) + int(self._lengths.max(initial=0))
        pairs, votes = np.unique(references * span + offsets + len(query), return_counts=True)
        pairs, votes = pairs[votes >= MIN_VOTES], votes[votes >= MIN_VOTES]
        references, offsets = pairs // span, pairs % span - len(query)
        order = np.lexsort((offsets, votes, references))
        last = np.append(np.diff(references[order]) > 0, True)[: len(order)]
        return references[order][last], offsets[order][last]


def matching_items(wrong_bits: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Cut aligned pairs of items into segments and sum the weights of those that match.

    Parameters
    ----------
    wrong_bits : ndarray of uint8, shape (alignments, items)
        Bits in which the two items of each pair differ, 0 to 32.

    Returns
    -------
    ndarray of float64, shape (alignments,)
        Sum over the segments that match of ``items * (1 - 2 * bit error rate)``.
    """
    rows, size = wrong_bits.shape
    cuts = _cuts(wrong_bits.astype(np.int64))
    segments = np.cumsum(cuts, axis=1) + size * np.arange(rows)[:, np.newaxis]
    items = np.bincount(segments.ravel(), minlength=rows * size)
    wrong = np.bincount(segments.ravel(), weights=wrong_bits.ravel(), minlength=rows * size)
    matches = wrong < MAX_WRONG_BITS * items
    weights = np.where(matches, items - 2 * wrong / ITEM_BITS, 0.0)
    return np.asarray(weights.reshape(rows, size).sum(axis=1))


def _cuts(wrong_bits: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return the items at which a segment begins: peaks of the gradient of the smoothed count."""
    cuts: NDArray[np.bool_] = np.zeros(wrong_bits.shape, bool)
    if wrong_bits.shape[1] < 3:
        return cuts
    sums = wrong_bits  # sums of integers, not means, so that ties stay ties
    for width in BOX_WIDTHS:
        padded = np.pad(sums, ((0, 0), (width // 2, width // 2)), mode="symmetric")
        sums = np.lib.stride_tricks.sliding_window_view(padded, width, axis=1).sum(axis=-1)
    gradient = np.abs(np.gradient(sums, axis=1))
    here = gradient[:, 1:-1]
    steep = here > MIN_GRADIENT * math.prod(BOX_WIDTHS)
    cuts[:, 1:-1] = steep & (here >= gradient[:, :-2]) & (here >= gradient[:, 2:])
    for i in range(2, cuts.shape[1]):
        cuts[:, i] &= ~cuts[:, i - 1]  # of two neighbours, the first
    return cuts


def _key(items: NDArray[np.uint32]) -> NDArray[np.int64]:
    return (items >> np.uint32(ITEM_BITS - ALIGN_BITS)).astype(np.int64)


def concatenate(fingerprints: Sequence[NDArray[np.uint32]]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Concatenate fingerprints for `Matcher`: all items, and the number of items of each."""
    items = np.concatenate([np.empty(0, np.uint32), *fingerprints])
    return items, np.array([len(one) for one in fingerprints], np.int64)
