"""Search in Chromaprint's fingerprints, as its own matcher and its service AcoustID compare them.

A fingerprint of Chromaprint is a row of 32-bit items, one each 124 ms. The library makes fingerprints and
compares two; it has no index. This module is its comparison, run against all references at once:

1. Items whose top 12 bits agree vote for the offset between query and reference; the offset of a reference
   with the most votes is aligned, if it has two or more.
2. The wrong bits of each aligned pair of items are counted and smoothed. Where the smoothed count changes
   fastest, the overlap is cut into segments.
3. Segments with fewer than 10 wrong bits of 32 on average match; the others do not.

That is ``FingerprintMatcher::Match`` of github.com/acoustid/chromaprint, ``src/fingerprint_matcher.cpp``
(Copyright 2016 Lukas Lalinsky, MIT), at version 1.5.1, the same in 1.6.1. Two things differ: the noise of up
to 0.001 bits that breaks ties there is left out, and segments are not merged, which changes neither their
sum nor their place. Two choices that it leaves open are taken from AcoustID's own database functions,
github.com/acoustid/pg_acoustid, ``acoustid_compare.c``: the item of digital silence does not vote
(``acoustid_extract_query``), and references are ranked by ``share of the query that matches * (1 - 2 * bit
error rate)`` (``match_fingerprints2``), where 1 is identical.

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
"""Mean of wrong bits of an item from which on a segment does not match (``kDefaultMatchThreshold``)."""

BOX_WIDTHS = (15, 15, 17)
"""Items of the three running means that make ``GaussianFilter(..., 8.0, 3)``."""

MIN_GRADIENT = 0.15
"""Change of the smoothed count, in bits per item, below which nothing is cut."""

SILENCE = 627964279
"""The item of digital silence, as AcoustID names it."""


class Found(NamedTuple):
    """The best reference for a query: its number, the offset in items, and the score in (0, 1]."""

    reference: int
    offset: int
    score: float


class Matcher:
    """References to compare queries with.

    Parameters
    ----------
    items : ndarray of uint32, shape (n,)
        The fingerprints of all references, one after the other.
    lengths : ndarray of int, shape (references,)
        Items of each.
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
        """Find the reference that matches best; None if none matches.

        Parameters
        ----------
        query : ndarray of uint32, shape (n,)

        Returns
        -------
        Found or None
            The first of those that match equally well.
        """
        references, offsets = self._alignments(query)
        query_starts = np.maximum(0, -offsets)
        starts = np.maximum(0, offsets)
        sizes = np.minimum(self._lengths[references] - starts, len(query) - query_starts)
        scores = np.zeros(len(references))
        for size in np.unique(sizes):  # nearly all overlaps are as long as the query
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
        """References with enough votes, and the offset of each that has the most (the last of several)."""
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
    """Cut aligned pairs of items into segments, and weigh those that match.

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
    """Items at which a new segment begins: peaks of the gradient of the smoothed count."""
    cuts: NDArray[np.bool_] = np.zeros(wrong_bits.shape, bool)
    if wrong_bits.shape[1] < 3:
        return cuts
    sums = wrong_bits  # not means: of whole numbers, equal ones stay equal
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


def joined(fingerprints: Sequence[NDArray[np.uint32]]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Lay fingerprints one after the other, as `Matcher` takes them: all items, and the number of each."""
    items = np.concatenate([np.empty(0, np.uint32), *fingerprints])
    return items, np.array([len(one) for one in fingerprints], np.int64)
