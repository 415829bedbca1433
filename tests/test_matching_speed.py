"""Queries that run faster or slower than the recording."""

import numpy as np
import pytest

from earprint.matching import search_aligned, speed
from test_matching_aligned import HOP, Curve, library, noisy


def played(curve, start, seconds, rate):
    """Query rows of a stretch that begins at hop ``start``, at another speed."""
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


def test_the_recordings_own_speed_is_kept_where_it_fits():
    curves = [Curve(seed) for seed in range(4)]
    index, table = library(curves, 2)
    for seed in range(20):
        query = noisy(played(curves[1], 40 + seed, 5.0, 1.0), seed, 1.5)
        best = search_aligned(query, index, table, query_hop_s=HOP, ratio=2)[0]
        assert (best.track, best.speed) == (1, 1.0)


@pytest.mark.parametrize("seconds", [1.0, speed.LONGEST_S + 1])
def test_short_and_long_queries_are_left_alone(seconds, monkeypatch):
    def never(*_args):
        raise AssertionError

    monkeypatch.setattr("earprint.matching.aligned.find_speed", never)
    curves = [Curve(0), Curve(1)]
    index, table = library(curves, 2, n_rows=600)
    best = search_aligned(played(curves[1], 100, seconds, 1.0), index, table, query_hop_s=HOP, ratio=2)[0]
    assert (best.track, best.speed) == (1, 1.0)


def test_a_query_that_hangs_over_the_end_of_a_track():
    curves = [Curve(seed) for seed in range(3)]
    index, table = library(curves, 2, n_rows=300)
    query = played(curves[2], 540, 5.0, 1.03)
    query[58:] = Curve(9)(np.arange(len(query) - 58) * HOP)  # the track ends at hop 600
    best = search_aligned(query, index, table, query_hop_s=HOP, ratio=2)[0]
    assert best.track == 2
    assert best.start_s == pytest.approx(540 * HOP, abs=0.08)
