"""Queries that are played faster or slower than the recording."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earprint.matching import search_aligned, tempo
from test_matching_aligned import CASES, HOP, Curve, library, noisy, slow_weight, small_case


def played(curve, start, seconds, rate):
    """Query rows from hop ``start`` on, at another speed."""
    n = round((seconds - 0.96) / HOP) + 1
    return curve((start + rate * np.arange(n)) * HOP)


@pytest.mark.parametrize("ratio", [1, 2, 8])
@pytest.mark.parametrize("rate", [0.96, 0.97, 1.0, 1.03, 1.05])
def test_speed_and_start_are_found(ratio, rate):
    curves = [Curve(seed) for seed in range(5)]
    index, table = library(curves, ratio, n_rows=2000 // ratio)
    query = noisy(played(curves[3], 331.0, 8.0, rate), 7, 0.7)
    best, second = search_aligned(query, index, table, query_hop_s=HOP, ratio=ratio)[:2]
    assert best.track == 3
    assert best.speed == pytest.approx(rate, abs=0.0101)
    assert best.start_s == pytest.approx(331 * HOP, abs=0.045)
    assert best.score > second.score + 0.2


def test_speed_1_is_kept_if_it_fits():
    curves = [Curve(seed) for seed in range(4)]
    index, table = library(curves, 2)
    for seed in range(20):
        query = noisy(played(curves[1], 40 + seed, 5.0, 1.0), seed, 1.0)
        best = search_aligned(query, index, table, query_hop_s=HOP, ratio=2)[0]
        assert (best.track, best.speed) == (1, 1.0)


@pytest.mark.parametrize("seconds", [1.0, tempo.MAX_QUERY_S + 1])
def test_other_speeds_are_not_tried_for_short_and_long_queries(seconds, monkeypatch):
    def never(*_args):
        raise AssertionError

    monkeypatch.setattr("earprint.matching.aligned.find_playback_speeds", never)
    curves = [Curve(0), Curve(1)]
    index, table = library(curves, 2, n_rows=600)
    best = search_aligned(played(curves[1], 100, seconds, 1.0), index, table, query_hop_s=HOP, ratio=2)[0]
    assert (best.track, best.speed) == (1, 1.0)


def test_a_faster_query_that_ends_after_the_track():
    curves = [Curve(seed) for seed in range(3)]
    index, table = library(curves, 2, n_rows=300)
    query = played(curves[2], 540, 5.0, 1.03)
    query[58:] = Curve(9)(np.arange(len(query) - 58) * HOP)  # the track ends at hop 600
    best = search_aligned(query, index, table, query_hop_s=HOP, ratio=2)[0]
    assert best.track == 2
    assert best.start_s == pytest.approx(540 * HOP, abs=0.08)


def slow_score(query, stored, offset, rate, ratio, margin_rows, hop_s):
    """Compute the similarity from its definition, row by row; -1 if too little is inside."""
    weights = [slow_weight(i, len(query), margin_rows, hop_s) * row.any() for i, row in enumerate(query)]
    interior = [w > (1 - 1e-9 if max(weights) > 1 - 1e-9 else 0) for w in weights]
    enters, leaves = round(-offset / rate), round((len(stored) * ratio - offset) / rate)
    inside = sum(counts and enters <= i < leaves for i, counts in enumerate(interior))
    total, weight_sum = 0.0, 0.0
    for j, row in enumerate(stored):
        i = round((j * ratio - offset) / rate)
        if 0 <= i < len(query):
            weight_sum += weights[i]
            total += weights[i] * float(query[i] @ row)
    if not weight_sum or not inside or 2 * inside < sum(interior):
        return -1.0
    return total / weight_sum * np.sqrt(inside / sum(interior))


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(**CASES)
def test_the_best_speed_follows_from_the_definition(n, sizes, ratio, grid, seed, draw):
    margin_rows, hop_s = grid
    query, parts, index, table, rows_of_query = small_case(8 * n, sizes, ratio, margin_rows, hop_s, seed)
    track = draw.draw(st.integers(0, len(sizes) - 1))
    offset = draw.draw(st.integers(-2 * len(query), 2 * sizes[track] * ratio)) / 2 + 0.013
    # Two tracks do not affect each other, even if their rows are adjacent.
    other = draw.draw(st.integers(0, len(sizes) - 1))
    first, found = tempo.find_playback_speeds(
        rows_of_query, index, table, np.array([other, track]), np.array([3.017, offset])
    )
    (alone,) = tempo.find_playback_speeds(rows_of_query, index, table, np.array([other]), np.array([3.017]))
    assert first == alone

    def score(start, rate):
        return slow_score(query, parts[track], start, rate, ratio, margin_rows, hop_s)

    middle, steps = len(query) / 2, range(-tempo.OFFSET_STEPS, tempo.OFFSET_STEPS + 1)
    starts = [(offset + (1 - rate) * middle + step, rate) for rate in tempo.SPEEDS for step in steps]
    best, own = max(score(*tried) for tried in starts), score(offset, 1.0)
    accepted = own + max(tempo.MIN_RELATIVE_GAIN * (1 - own), tempo.MIN_GAIN)
    if found is None:
        assert best < accepted + 1e-5
        return
    assert best > accepted - 1e-5
    assert found.similarity == pytest.approx(best, abs=1e-5)
    at_best = [tried for tried in starts if score(*tried) > best - 1e-5]
    assert any(rate == found.speed and abs(start - found.offset) <= 0.5001 for start, rate in at_best)
