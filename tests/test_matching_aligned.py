import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earprint.index import ExactIndex, Rows
from earprint.matching import SearchLimits, TrackTable, aligned, scoring, search_aligned
from earprint.matching import candidates as candidates_module
from earprint.matching.query_rows import COVERAGE_POWER, QueryRows, peak_of_parabola, row_weights
from earprint.quantization.storage import HalfStorage

DIM = 48
HOP = 0.04


class Curve:
    """A smooth random walk over the unit sphere, which can be sampled at any time."""

    def __init__(self, seed, dim=DIM):
        rng = np.random.default_rng(seed)
        self.frequency = rng.uniform(0.1, 1.2, (8, dim))
        self.phase = rng.uniform(0, 2 * np.pi, (8, dim))

    def __call__(self, times):
        angles = 2 * np.pi * self.frequency * np.asarray(times)[:, None, None] + self.phase
        rows = np.cos(angles).sum(axis=1)
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def exact_index(parts, dim):
    return ExactIndex(Rows(parts, HalfStorage(dim)))


def library(curves, ratio, n_rows=300):
    parts = [curve(np.arange(n_rows) * ratio * HOP).astype(np.float16) for curve in curves]
    table = TrackTable(np.arange(len(parts)) * n_rows, [n_rows] * len(parts))
    return exact_index(parts, parts[0].shape[1]), table


def noisy(rows, seed, share):
    noise = np.random.default_rng(seed).standard_normal(rows.shape) * share / rows.shape[1] ** 0.5
    rows = rows + noise.astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("ratio", [1, 2, 3])
@pytest.mark.parametrize("hops", [0, 1, 37, 38, 39, 150])
def test_whole_hops_are_found_exactly(ratio, hops):
    curves = [Curve(seed) for seed in range(4)]
    index, table = library(curves, ratio)
    query = curves[2]((np.arange(60) + hops) * HOP)
    found = search_aligned(query, index, table, query_hop_s=HOP, ratio=ratio)
    assert found[0].track == 2
    assert found[0].score == pytest.approx(1, abs=1e-3)
    assert found[0].start_s == pytest.approx(hops * HOP, abs=0.002)
    assert [a.score for a in found] == sorted((a.score for a in found), reverse=True)
    assert len({a.track for a in found}) == len(found)
    assert found[1].score < 0.6


@pytest.mark.parametrize("ratio", [1, 2])
@pytest.mark.parametrize("shift", [0.003, 0.011, 0.0199, 0.027, 0.036])
def test_parabola_finds_shifts_within_a_hop(ratio, shift):
    curves = [Curve(seed) for seed in range(3)]
    index, table = library(curves, ratio)
    start = 3.2 + shift
    query = curves[1](start + np.arange(80) * HOP)
    (best, *_) = search_aligned(query, index, table, query_hop_s=HOP, ratio=ratio)
    assert best.track == 1
    assert best.start_s == pytest.approx(start, abs=0.003)


def test_a_noisy_query_is_found_where_its_rows_alone_are_not():
    curves = [Curve(seed) for seed in range(20)]
    index, table = library(curves, 2)
    query = noisy(curves[7](5.0 + np.arange(100) * HOP), 1, 2.5)
    _, rows = index.search(query, 1)
    assert np.mean(table.locate(rows)[0] == 7) < 0.9
    (best, second, *_) = search_aligned(query, index, table, query_hop_s=HOP, ratio=2)
    assert best.track == 7
    assert best.start_s == pytest.approx(5.0, abs=HOP)
    assert best.score - second.score > 0.1


@pytest.mark.parametrize("ratio", [1, 2])
@pytest.mark.parametrize("start", [-1.2, -0.04, 0.0])
def test_excerpts_that_begin_before_the_track(ratio, start):
    curves = [Curve(seed) for seed in range(3)]
    index, table = library(curves, ratio)
    times = start + np.arange(80) * HOP
    query = np.where((times < -1e-9)[:, None], Curve(99)(times), curves[1](times))
    (best, *_) = search_aligned(query, index, table, query_hop_s=HOP, ratio=ratio)
    assert best.track == 1
    assert best.start_s == pytest.approx(start, abs=0.003)
    assert best.score == pytest.approx(np.sqrt(np.mean(times >= -1e-9)), abs=0.02)


@pytest.mark.parametrize("ratio", [1, 2])
@pytest.mark.parametrize("over", [1, 20, 39])
def test_excerpts_that_run_past_the_end(ratio, over):
    curves = [Curve(seed) for seed in range(3)]
    index, table = library(curves, ratio)
    begin = 300 * ratio - 80 + over
    times = (begin + np.arange(80)) * HOP
    query = np.where((np.arange(80) >= 80 - over)[:, None], Curve(99)(times), curves[1](times))
    (best, *_) = search_aligned(query, index, table, query_hop_s=HOP, ratio=ratio)
    assert best.track == 1
    assert best.start_s == pytest.approx(begin * HOP, abs=0.004)
    assert best.score == pytest.approx(np.sqrt((80 - over) / 80), abs=0.02)


def test_at_least_half_of_the_query_must_lie_inside():
    curves = [Curve(seed) for seed in range(2)]
    index, table = library(curves, 1)
    times = np.arange(80) * HOP - 60 * HOP
    query = np.where((times < -1e-9)[:, None], 0, curves[1](times)).astype(np.float32)
    # Silent rows do not count, and all others are inside.
    (best, *_) = search_aligned(query, index, table, query_hop_s=HOP)
    assert best.track == 1
    assert best.start_s == pytest.approx(-60 * HOP, abs=0.003)
    query[:60] = Curve(99)(times[:60])
    for found in search_aligned(query, index, table, query_hop_s=HOP):
        assert found.score < 0.6
        assert found.start_s > -41 * HOP


def test_a_recording_held_twice_gives_two_equal_answers():
    index, table = library([Curve(0), Curve(1), Curve(0)], 2)
    found = search_aligned(Curve(0)(4 + np.arange(50) * HOP), index, table, query_hop_s=HOP, ratio=2)
    assert {found[0].track, found[1].track} == {0, 2}
    assert found[0].score == found[1].score
    assert found[0].start_s == found[1].start_s


def test_tracks_that_are_not_in_the_table_are_never_found():
    curves = [Curve(seed) for seed in range(3)]
    index, _ = library(curves, 1)
    table = TrackTable([0, 600], [300, 300])  # the second track's rows belong to none
    query = curves[1](2 + np.arange(50) * HOP)
    for found in search_aligned(query, index, table, query_hop_s=HOP):
        assert found.score < 0.7


def test_silent_query_empty_query_and_empty_library():
    index, table = library([Curve(0)], 1)
    assert search_aligned(np.zeros((50, DIM), np.float32), index, table, query_hop_s=HOP) == []
    assert search_aligned(np.zeros((0, DIM), np.float32), index, table, query_hop_s=HOP) == []
    nothing = exact_index([], DIM)
    rows = Curve(0)(np.arange(5.0))
    assert search_aligned(rows, nothing, TrackTable([], []), query_hop_s=HOP) == []


@pytest.mark.parametrize("n", [1, 2])
def test_a_query_of_one_window_is_found(n):
    index, table = library([Curve(0), Curve(1)], 2)
    query = Curve(1)((50 + np.arange(n)) * HOP)
    (best, *_) = search_aligned(query, index, table, query_hop_s=HOP, ratio=2)
    assert best.track == 1
    assert best.start_s == pytest.approx(50 * HOP, abs=HOP)


def test_silent_rows_keep_their_place():
    curves = [Curve(seed) for seed in range(3)]
    index, table = library(curves, 2)
    query = curves[0]((31 + np.arange(90)) * HOP)
    query[10:50] = 0
    (best, *_) = search_aligned(query, index, table, query_hop_s=HOP, ratio=2)
    assert best.track == 0
    assert best.start_s == pytest.approx(31 * HOP, abs=0.003)
    assert best.score == pytest.approx(1, abs=1e-3)


def test_a_bounded_number_of_rows_of_a_long_query_is_searched(monkeypatch):
    curves = [Curve(seed) for seed in range(2)]
    index, table = library(curves, 2, n_rows=6000)
    asked = []
    search = index.search
    monkeypatch.setattr(index, "search", lambda q, k: asked.append(len(q)) or search(q, k))
    query = noisy(curves[1]((777 + np.arange(8000)) * HOP), 3, 1.0)  # over five minutes
    (best, *_) = search_aligned(query, index, table, query_hop_s=HOP, ratio=2)
    assert 0 < sum(asked) <= index.max_query_rows
    assert best.track == 1
    assert best.start_s == pytest.approx(777 * HOP, abs=0.004)


@pytest.mark.parametrize(
    ("share", "copies", "asked"),
    [(0.0, 1, [8]), (0.3, 1, [8]), (1.5, 1, [8, 16]), (0.0, 2, [8])],
    ids=["clean", "a little noise", "much noise", "two recordings of the same"],
)
def test_a_confident_first_round_ends_the_search(share, copies, asked, monkeypatch):
    curves = [Curve(seed) for seed in range(6)] + [Curve(4)] * (copies - 1)
    index, table = library(curves, 2)
    query = noisy(curves[4]((77 + np.arange(75)) * HOP), 3, share)
    at_once = search_aligned(query, index, table, query_hop_s=HOP, ratio=2)
    index.max_query_rows = 24
    searched = []
    search = index.search
    monkeypatch.setattr(index, "search", lambda q, k: searched.append(len(q)) or search(q, k))
    in_rounds = search_aligned(query, index, table, query_hop_s=HOP, ratio=2)
    assert searched == asked
    assert in_rounds[0] == at_once[0]
    assert [found.track for found in in_rounds[:copies]] == [found.track for found in at_once[:copies]]
    assert in_rounds[0].start_s == pytest.approx(77 * HOP, abs=0.51 * HOP)


@pytest.mark.parametrize("ratio", [1, 2, 5])
@pytest.mark.parametrize("margin_rows", [0, 12])
def test_best_offsets_of_a_track_have_the_largest_mean_cosines(ratio, margin_rows):
    curves = [Curve(seed) for seed in range(3)]
    index, table = library(curves, ratio, n_rows=90)
    queries = noisy(curves[0]((31 + np.arange(60)) * HOP), 3, 2.0)
    queries[7] = 0.0
    weights = row_weights(queries, HOP, margin_rows)
    rows_of_query = QueryRows.from_fingerprints(queries, ratio, weights)
    stored = index.vectors(90, 180)
    means = {}
    for offset in range(-59, 90 * ratio + 1):
        under = [i for i in range(60) if (offset + i) % ratio == 0]
        total = sum(
            weights[i] * float(queries[i] @ stored[(offset + i) // ratio])
            for i in under if 0 <= (offset + i) // ratio < 90
        )  # fmt: skip
        means[offset] = total / sum(weights[i] for i in under)
    peaks = [o for o in means if means[o] > max(means.get(o - 1, -9), means.get(o + 1, -9))]
    best = sorted(peaks, key=means.__getitem__)[-4:]
    expected = sorted({o + d for o in best for d in range(-2, 3)})
    assert candidates_module.best_offsets_of_track(rows_of_query, index, table, 1, 4).tolist() == expected


def test_all_offsets_of_the_best_track_are_compared_only_if_that_is_cheap(monkeypatch):
    curves = [Curve(seed) for seed in range(2)]
    index, table = library(curves, 2)
    compared = []

    def counted(*given):
        compared.append(1)
        return candidates_module.best_offsets_of_track(*given)

    monkeypatch.setattr(aligned, "best_offsets_of_track", counted)
    for rows, times in ((60, 1), (61, 0)):
        limits = SearchLimits(max_full_track_products=60 * 300)
        compared.clear()
        query = curves[1]((130 + np.arange(rows)) * HOP)
        best = search_aligned(query, index, table, query_hop_s=HOP, ratio=2, limits=limits)[0]
        assert (len(compared), best.track) == (times, 1)
        assert best.start_s == pytest.approx(130 * HOP, abs=0.002)


def test_the_right_repeat_is_found_if_all_hits_are_in_others(monkeypatch):
    """A loop of two seconds is repeated forty times, with slight changes."""
    rng = np.random.default_rng(8)
    loop = Curve(1)(np.arange(25) * 2 * HOP)
    track = np.concatenate([noisy(loop, repeat, 0.25) for repeat in range(40)])
    table = TrackTable([0], [len(track)])
    index = exact_index([track.astype(np.float16)], DIM)
    right = int(rng.integers(5, 35)) * 25
    query = np.repeat(track[right : right + 25], 2, axis=0)  # two query rows for each stored row
    elsewhere = np.zeros(1, np.int64), np.array([2 * (right + 75)])
    monkeypatch.setattr(aligned.Votes, "candidates", lambda *_args: elsewhere)
    (found,) = search_aligned(query, index, table, query_hop_s=HOP, ratio=2)
    assert found.start_s == pytest.approx(2 * right * HOP, abs=HOP)


def unit_rows(rng, n, dim):
    rows = rng.standard_normal((n, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def slow_weight(i, n, margin_rows, hop_s):
    """Share of row i's window that lies within the query, to a power."""
    begin, end = (i - margin_rows) * hop_s, (i - margin_rows) * hop_s + 0.96
    length = (n - 1 - 2 * margin_rows) * hop_s + 0.96
    coverage = max(0.0, min(end, length) - max(begin, 0.0)) / 0.96
    return coverage**COVERAGE_POWER


def slow_score(query, stored, offset, ratio, margin_rows=0, hop_s=1.0):
    """Compute the similarity from its definition, row by row."""
    total, weight_sum, inside, there = 0.0, 0.0, 0, 0
    weights = [slow_weight(i, len(query), margin_rows, hop_s) * row.any() for i, row in enumerate(query)]
    some_interior = any(w > 1 - 1e-9 for w in weights)
    for i, row in enumerate(query):
        j, left = divmod(offset + i, ratio)
        if weights[i] > (1 - 1e-9 if some_interior else 0):
            there += 1
            inside += 0 <= offset + i < len(stored) * ratio
        if left == 0 and 0 <= j < len(stored):
            weight_sum += weights[i]
            total += weights[i] * float(row @ stored[j])
    if not inside or not weight_sum or 2 * inside < there:
        return np.nan
    return total / weight_sum * np.sqrt(inside / there)


def read(rows_of_query, index, table, tracks, offsets, margin=0):
    tracks, offsets = np.array(tracks), np.array(offsets)
    low, high = scoring.rows_needed(rows_of_query, table, tracks, offsets - margin, offsets + margin)
    return scoring.TrackSpans.read(index, table, tracks, low, high)


def small_case(n, sizes, ratio, margin_rows, hop_s, seed):
    """Random tracks and a query with silent rows; rows between the tracks belong to none."""
    rng = np.random.default_rng(seed)
    parts = [unit_rows(rng, size, 4).astype(np.float16) for size in sizes]
    gaps = [unit_rows(rng, int(rng.integers(0, 3)), 4).astype(np.float16) for _ in sizes]
    query = unit_rows(rng, n + 2 * margin_rows, 4)
    query[rng.random(len(query)) < 0.3] = 0
    stored = [array for pair in zip(parts, gaps, strict=True) for array in pair]
    bounds = np.cumsum([0, *(len(array) for array in stored)])
    table = TrackTable(bounds[:-1:2], sizes)
    weights = row_weights(query, hop_s, margin_rows)
    rows_of_query = QueryRows.from_fingerprints(query, ratio, weights)
    return query, [part.astype(np.float32) for part in parts], exact_index(stored, 4), table, rows_of_query


CASES = {
    "n": st.integers(1, 12),
    "sizes": st.lists(st.integers(0, 15), min_size=1, max_size=4),
    "ratio": st.sampled_from([1, 2, 3, 8]),
    "grid": st.sampled_from([(0, 0.12), (4, 0.12), (0, 0.04), (12, 0.04)]),
    "seed": st.integers(0, 999),
    "draw": st.data(),
}


def draw_alignments(draw, sizes, ratio, n):
    """Tracks and offsets, ascending. At some of them little or nothing of the query is inside."""
    pairs = [
        (track, draw.draw(st.integers(-n - 2, size * ratio + 2)))
        for track, size in enumerate(sizes)
        for _ in range(draw.draw(st.integers(0, 3)))
    ]
    return sorted(pairs) or [(0, 0)]


@settings(max_examples=150, deadline=None)
@given(**CASES)
def test_similarities_follow_their_definition(n, sizes, ratio, grid, seed, draw):
    margin_rows, hop_s = grid
    query, parts, index, table, rows_of_query = small_case(n, sizes, ratio, margin_rows, hop_s, seed)
    tracks, offsets = zip(*draw_alignments(draw, sizes, ratio, len(query)), strict=True)
    spans = read(rows_of_query, index, table, tracks, offsets, margin=draw.draw(st.integers(0, 9)))
    got = scoring.alignment_similarities(rows_of_query, spans, np.arange(len(tracks)), np.array(offsets))
    expected = [
        slow_score(query, parts[track], offset, ratio, margin_rows, hop_s)
        for track, offset in zip(tracks, offsets, strict=True)
    ]
    assert np.allclose(got, expected, atol=1e-5, equal_nan=True)


def slow_cosine(query, stored, offset, ratio, margin_rows, hop_s, inside_at):
    """Mean cosine over the query rows that are inside the track at all of some offsets, row by row."""
    total, weight_sum = 0.0, 0.0
    for i, row in enumerate(query):
        j, left = divmod(offset + i, ratio)
        if left == 0 and all(0 <= o + i < len(stored) * ratio for o in inside_at):
            weight = slow_weight(i, len(query), margin_rows, hop_s) * row.any()
            weight_sum += weight
            total += weight * float(row @ stored[j])
    return total / weight_sum if weight_sum else np.nan


@settings(max_examples=100, deadline=None)
@given(**CASES)
def test_neighbours_are_compared_over_the_same_rows(n, sizes, ratio, grid, seed, draw):
    margin_rows, hop_s = grid
    query, parts, index, table, rows_of_query = small_case(n, sizes, ratio, margin_rows, hop_s, seed)
    tracks, offsets = zip(*draw_alignments(draw, sizes, ratio, len(query)), strict=True)
    spans = read(rows_of_query, index, table, tracks, offsets, margin=1)
    got = scoring.mean_cosines_around(rows_of_query, spans, np.arange(len(tracks)), np.array(offsets))
    for cosines, track, offset in zip(got, tracks, offsets, strict=True):
        around = [offset - 1, offset, offset + 1]
        expected = [slow_cosine(query, parts[track], o, ratio, margin_rows, hop_s, around) for o in around]
        assert np.allclose(cosines, expected, atol=1e-5, equal_nan=True)


@pytest.mark.parametrize(
    ("enters", "leaves", "share"),
    [(0, 10, 1.0), (0, 6, 1.0), (0, 5, 0.75), (4, 10, 0.5), (5, 10, 0.0), (3, 3, 0.0)],
)
def test_share_inside_counts_interior_rows_and_is_0_below_a_half(enters, leaves, share):
    weights = np.array([0.1, 0.5, 1, 1, 1, 1, 0, 0.5, 0, 0])
    query = QueryRows.from_fingerprints(np.ones((10, 2), np.float32), 2, weights)
    assert query.share_inside(np.array([enters]), np.array([leaves])).tolist() == [share]
    silent = QueryRows.from_fingerprints(np.zeros((10, 2), np.float32), 2, np.zeros(10))
    assert silent.share_inside(np.array([enters]), np.array([leaves])).tolist() == [0.0]


@settings(max_examples=80, deadline=None)
@given(sizes=st.lists(st.integers(0, 5), min_size=1, max_size=4), seed=st.integers(0, 99), draw=st.data())
def test_spans_hold_the_rows_asked_for_in_any_order(sizes, seed, draw):
    _, parts, index, table, _ = small_case(3, sizes, 1, 0, 0.12, seed)
    asked = [
        (track, low, draw.draw(st.integers(low, sizes[track])))
        for track in draw.draw(st.lists(st.integers(0, len(sizes) - 1), min_size=1, max_size=6))
        for low in [draw.draw(st.integers(0, sizes[track]))]
    ]
    tracks, low, high = (np.array(column) for column in zip(*asked, strict=True))
    got = scoring.TrackSpans.read(index, table, tracks, low, high)
    for (track, begin, end), shift, n_rows in zip(asked, got.shift, got.n_rows, strict=True):
        assert n_rows == sizes[track]
        assert np.array_equal(got.rows[begin + shift : end + shift], parts[track][begin:end])


@pytest.mark.parametrize("ratio", [1, 2, 8])
@pytest.mark.parametrize("place", [0, 61, 540])
@pytest.mark.parametrize("off", [-10, -8, -3, 0, 1, 8, 9])
def test_refinement_moves_a_wrong_candidate_to_the_right_offset(ratio, place, off, monkeypatch):
    curves = [Curve(seed) for seed in range(2)]
    index, table = library(curves, ratio, n_rows=600 // ratio)
    query = curves[1]((place + np.arange(60)) * HOP)
    proposed = np.array([1]), np.array([place + off])
    monkeypatch.setattr(aligned.Votes, "candidates", lambda *_args: proposed)
    # Otherwise all offsets of the track are compared, which finds the right one without refinement.
    limits = SearchLimits(max_speed_tracks=0, max_full_track_products=0)
    (found,) = search_aligned(query, index, table, query_hop_s=HOP, ratio=ratio, limits=limits)
    reached = off - int(np.clip(off, -aligned.MAX_REFINEMENT_HOPS, aligned.MAX_REFINEMENT_HOPS))
    stored = curves[1](np.arange(600 // ratio) * ratio * HOP)
    assert found.score == pytest.approx(slow_score(query, stored, place + reached, ratio, 0, HOP), abs=1e-3)
    assert found.start_s == pytest.approx((place + reached) * HOP, abs=0.51 * HOP)


@pytest.mark.parametrize("ratio", [1, 2, 8])
@pytest.mark.parametrize("margin_rows", [0, 12])
def test_answers_do_not_depend_on_how_many_rows_are_read_at_a_time(ratio, margin_rows, monkeypatch):
    curves = [Curve(seed) for seed in range(12)]
    index, table = library(curves, ratio, n_rows=600 // ratio)
    query = noisy(curves[5]((70 + np.arange(60)) * HOP), 2, 2.0)
    asked, answers = [], []
    take = index.take
    monkeypatch.setattr(index, "take", lambda rows: asked.append(rows) or take(rows))
    options = {"query_hop_s": HOP, "ratio": ratio, "margin_rows": margin_rows}
    for rows in (SearchLimits().chunk_rows, 150, 1):
        limits = SearchLimits(max_speed_tracks=0, chunk_rows=rows)
        asked.clear()
        answers.append(search_aligned(query, index, table, **options, limits=limits))
        assert max(len(rows_asked) for rows_asked in asked) < rows + 600 // ratio
    assert len(answers[0]) > 6
    assert answers[0][0].track == 5
    assert answers[1] == answers[2] == answers[0]


def test_stored_rows_are_read_together_and_once(monkeypatch):
    """An index may have to decode rows, at some cost for each call."""
    curves = [Curve(seed) for seed in range(12)]
    index, table = library(curves, 2)
    asked = []
    take = index.take
    monkeypatch.setattr(index, "take", lambda rows: asked.append(rows) or take(rows))
    query = noisy(curves[5]((70 + np.arange(60)) * HOP), 2, 2.0)
    found = search_aligned(query, index, table, query_hop_s=HOP, ratio=2)
    assert len(found) > 6
    assert len(asked) == 3  # for candidates, for candidates of the best track, for speeds
    assert all(len(np.unique(rows)) == len(rows) for rows in asked)


def test_a_row_of_nan_changes_no_other_alignment():
    curves = [Curve(seed) for seed in range(3)]
    index, table = library(curves, 2)
    parts = [curve(np.arange(300) * 2 * HOP).astype(np.float16) for curve in curves]
    parts[1][40] = np.nan  # candidates before it are scored together with the best one
    query = noisy(curves[1]((130 + np.arange(60)) * HOP), 2, 1.0)
    best, damaged = (
        search_aligned(query, stored, table, query_hop_s=HOP, ratio=2)[0]
        for stored in (index, exact_index(parts, DIM))
    )
    assert best.track == 1
    assert damaged == best


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 8),
    sizes=st.lists(st.integers(1, 10), min_size=1, max_size=3),
    ratio=st.integers(1, 2),
    seed=st.integers(0, 999),
)
def test_small_libraries_give_the_best_of_all_alignments(n, sizes, ratio, seed):
    """With so few rows each alignment with a positive similarity is a candidate."""
    rng = np.random.default_rng(seed)
    parts = [unit_rows(rng, size, 6).astype(np.float16) for size in sizes]
    query = unit_rows(rng, n, 6)
    index, table = exact_index(parts, 6), TrackTable(np.cumsum([0, *sizes[:-1]]), sizes)
    limits = SearchLimits(max_speed_tracks=0)
    found = search_aligned(query, index, table, query_hop_s=1.0, ratio=ratio, limits=limits)
    for alignment in found:
        stored = parts[alignment.track].astype(np.float32)
        near = (np.floor(alignment.start_s), np.ceil(alignment.start_s))
        scores = [slow_score(query, stored, int(o), ratio) for o in near]
        assert any(alignment.score == pytest.approx(score, abs=1e-4) for score in scores)
    if sum(sizes) > candidates_module.HITS_PER_ROW:
        return
    got = {alignment.track: alignment.score for alignment in found}
    for track, part in enumerate(parts):
        offsets = np.arange(-n, len(part) * ratio + n)
        scores = [slow_score(query, part.astype(np.float32), o, ratio) for o in offsets]
        if np.isnan(scores).all() or not np.nanmax(scores) > 0:
            continue
        best = offsets[np.nanargmax(scores)]
        # At the ends of a track the refinement compares over fewer rows and may prefer a neighbour.
        if 1 <= best <= len(part) * ratio - n - 1:
            assert got[track] == pytest.approx(np.nanmax(scores), abs=1e-4)


@pytest.mark.parametrize("ratio", [2, 8])
@pytest.mark.parametrize("place", [50, 51, 53, 54, 0, 199 * 8])
def test_margin_rows_find_a_short_query_on_a_sparse_grid(ratio, place):
    """Two windows lie within the query. Twelve on either side extend past it and are partly noise."""
    curves = [Curve(seed) for seed in range(6)]
    index, table = library(curves, ratio, n_rows=1600 // ratio)
    place = min(place, 1600 - 2)
    rows = np.arange(-12, 14)
    query = curves[4]((place + rows) * HOP)
    coverage = np.clip(1 - np.maximum(0, 12 - np.minimum(rows + 12, 13 - rows)) / 24, 0, 1)
    rng = np.random.default_rng(place)
    query += (1 - coverage[:, None]) * unit_rows(rng, 26, query.shape[1])
    query /= np.linalg.norm(query, axis=1, keepdims=True)
    best, second = search_aligned(
        query.astype(np.float32), index, table, query_hop_s=HOP, ratio=ratio, margin_rows=12
    )[:2]
    assert best.track == 4
    assert best.start_s == pytest.approx(place * HOP, abs=HOP)
    assert best.score > second.score + 0.2


def test_parabola():
    def values(peak):
        return [5 - 3 * (x - peak) ** 2 for x in (-1, 0, 1)]

    for peak in (-0.5, -0.2, 0.0, 0.31, 0.5):
        assert peak_of_parabola(*values(peak)) == pytest.approx(peak)
    assert peak_of_parabola(*values(0.8)) == 0.5
    assert peak_of_parabola(np.nan, 1.0, 0.5) == 0
    assert peak_of_parabola(1.0, 1.0, 1.0) == 0
    assert peak_of_parabola(1.0, 0.0, 1.0) == 0
