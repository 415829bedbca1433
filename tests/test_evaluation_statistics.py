"""Intervals by recording, paired comparisons and matched false accepts: slow references and known cases."""

import sys
from pathlib import Path

import numpy as np
import pytest

stats = pytest.importorskip("scipy.stats", reason="needs scipy: pip install 'earprint[evaluate]'")
from earprint.errors import EvaluationError  # noqa: E402
from earprint.evaluation.comparison import ALL_CONDITIONS, compare_systems, mcnemar  # noqa: E402
from earprint.evaluation.intervals import cluster_bootstrap  # noqa: E402
from earprint.evaluation.matched_false_accepts import (  # noqa: E402
    compare_at_matched_rate,
    set_threshold,
    split_in_halves,
)
from earprint.evaluation.metrics import compute_metrics  # noqa: E402
from earprint.evaluation.outcomes import Outcome  # noqa: E402
from earprint.evaluation.query import Query  # noqa: E402
from earprint.evaluation.tables import comparison_table, matched_table  # noqa: E402


def clustered(rng, recordings, per_recording, share, correlation):
    """Hits whose chance is drawn for each recording (beta-binomial), and their recordings."""
    if correlation:
        scale = 1 / correlation - 1
        chances = rng.beta(share * scale, (1 - share) * scale, recordings)
    else:
        chances = np.full(recordings, share)
    hits = rng.random((recordings, per_recording)) < chances[:, None]
    return hits.ravel(), np.repeat(np.arange(recordings), per_recording)


# intervals


@pytest.mark.parametrize(("recordings", "per_recording"), [(40, 5), (15, 3)])
def test_interval_is_scipys_bootstrap_over_recordings(recordings, per_recording):
    rng = np.random.default_rng(2)
    sizes = rng.integers(1, 2 * per_recording, recordings)
    chances = rng.beta(2, 1, recordings)
    sums = rng.binomial(sizes, chances)
    hits = np.concatenate([np.arange(size) < hit for size, hit in zip(sizes, sums, strict=True)])
    expected = stats.bootstrap(
        (sums, sizes),
        lambda s, n, axis=-1: s.sum(axis=axis) / n.sum(axis=axis),
        paired=True,
        n_resamples=20_000,
        method="BCa",
        rng=np.random.default_rng(1),
    ).confidence_interval
    got = cluster_bootstrap(hits, np.repeat(np.arange(recordings), sizes), resamples=20_000)
    assert got == pytest.approx([expected.low, expected.high], abs=0.01)


@pytest.mark.parametrize(("hits", "n"), [(50, 100), (300, 400), (37, 40)])
def test_one_query_for_each_recording_is_a_binomial(hits, n):
    got = cluster_bootstrap(np.arange(n) < hits, range(n))
    expected = stats.binomtest(hits, n).proportion_ci(method="wilson")
    assert got == pytest.approx([expected.low, expected.high], abs=0.035 if n < 50 else 0.01)


def test_copies_of_queries_add_nothing():
    """Twenty identical excerpts of a recording say as much as one."""
    hits = np.arange(60) % 3 > 0
    once = cluster_bootstrap(hits, range(60))
    np.testing.assert_allclose(cluster_bootstrap(np.repeat(hits, 20), np.repeat(range(60), 20)), once)


@pytest.mark.parametrize("per_recording", [1, 20])
def test_no_hit_is_bounded_by_the_number_of_recordings(per_recording):
    recordings = np.repeat(range(46), per_recording)
    expected = stats.binomtest(0, 46).proportion_ci(method="exact").high
    none = cluster_bootstrap(np.zeros(len(recordings)), recordings)
    every = cluster_bootstrap(np.ones(len(recordings)), recordings)
    assert none == pytest.approx([0, expected])
    assert every == pytest.approx([1 - expected, 1])
    assert expected == pytest.approx(3.69 / 46, rel=0.05)


def test_few_recordings_and_none():
    assert cluster_bootstrap([1, 0, 1], ["a"] * 3).tolist() == [0, 1]
    assert cluster_bootstrap([], []).tolist() == [0, 1]
    low, high = cluster_bootstrap([1, 0, 1, 0], ["a", "a", "b", "b"])
    assert 0 <= low < 0.5 < high <= 1


def test_columns_and_seeds():
    rng = np.random.default_rng(0)
    values = rng.random((80, 3)) < (0.2, 0.5, 0.9)
    recordings = rng.integers(0, 30, 80)
    together = cluster_bootstrap(values, recordings)
    assert together.shape == (2, 3)
    for number in range(3):
        np.testing.assert_array_equal(together[:, number], cluster_bootstrap(values[:, number], recordings))
    assert not np.array_equal(together, cluster_bootstrap(values, recordings, seed=1))


def coverage(share, correlation, per_recording, runs=150, recordings=46):
    """How often the interval by recording, and Wilson's over queries, hold the true share."""
    rng = np.random.default_rng(7)
    held = np.zeros(2)
    for _ in range(runs):
        hits, names = clustered(rng, recordings, per_recording, share, correlation)
        wilson = stats.binomtest(int(hits.sum()), len(hits)).proportion_ci(method="wilson")
        for number, (low, high) in enumerate([cluster_bootstrap(hits, names), wilson]):
            held[number] += low <= share <= high
    return held / runs


def test_intervals_hold_the_truth_where_recordings_differ():
    by_recording, by_query = coverage(0.5, 0.3, 10, runs=60)
    assert by_recording > 0.87
    assert by_query < 0.8


@pytest.mark.slow
@pytest.mark.parametrize(
    ("share", "correlation", "per_recording", "least"),
    [
        (0.5, 0.3, 20, 0.92),
        (0.1, 0.3, 20, 0.9),
        (0.9, 0.1, 5, 0.91),
        (0.02, 0.05, 20, 0.87),
        (0.8, 0, 1, 0.92),
    ],
)
def test_coverage(share, correlation, per_recording, least):
    by_recording, by_query = coverage(share, correlation, per_recording, runs=500)
    assert by_recording >= least
    if correlation * per_recording >= 1:  # what counting queries as independent would give
        assert by_query < least - 0.03


def test_without_scipy(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.stats", None)  # so that importing it fails
    with pytest.raises(EvaluationError, match=r"needs scipy.*pip install 'earprint\[evaluate\]'"):
        cluster_bootstrap([1, 0], ["a", "b"])


# outcomes


def outcome(
    recording, number=0, *, right=True, accepted=True, score=0.8, present=True, system="a", condition="clean"
):
    query = Query(
        Path(f"{recording}.wav"), float(number), 5.0, condition, None, None, 0.0, None, False, present
    )
    right = right and present
    return Outcome(query, right, score, 0.1, accepted, 0.0 if right else None, 0.0, system=system)


def test_metrics_are_by_recording():
    """100 excerpts of 5 recordings: half of the recordings' worth of certainty, not of the excerpts'."""
    outcomes = [outcome(n % 5, n, right=n % 5 < 3) for n in range(100)]
    outcomes += [outcome(f"absent {n % 5}", n, present=False, accepted=False) for n in range(100)]
    present, absent = compute_metrics(outcomes)
    assert (present.queries, present.recordings) == (100, 5)
    low, high = present.intervals["top_1"]
    assert low <= 0.3
    assert high >= 0.8
    assert absent.percent("false_accept")["high"] == pytest.approx(100 * (1 - 0.025 ** (1 / 5)), abs=1e-3)


# comparisons


@pytest.mark.parametrize(("b", "c", "p"), [(0, 0, 1.0), (10, 0, 2 / 1024), (1, 9, 22 / 1024), (4, 4, 1.0)])
def test_mcnemar_is_exact(b, c, p):
    """Analytic: two-sided binomial tail at one half."""
    assert mcnemar(b, c) == pytest.approx(p)


def test_systems_are_compared_on_the_same_queries():
    outcomes = []
    for number in range(60):
        recording, condition = number % 20, ("clean", "room")[number % 2]
        outcomes += [
            outcome(recording, number, right=number % 3 > 0, system="a", condition=condition),
            outcome(
                recording,
                number,
                right=number % 6 > 0,
                accepted=number % 5 > 0,
                system="b",
                condition=condition,
            ),
        ]
    outcomes.append(outcome("only a", system="a"))
    outcomes += [outcome("absent", present=False, accepted=s == "b", system=s) for s in "ab"]
    made = {(one.metric, one.condition): one for one in compare_systems(outcomes)}
    assert set(made) == {
        (metric, condition)
        for metric in ("top_1_and_50_ms", "answered")
        for condition in (ALL_CONDITIONS, "clean", "room")
    } | {("false_accept", ALL_CONDITIONS), ("false_accept", "clean")}
    both = made["top_1_and_50_ms", ALL_CONDITIONS]
    assert (both.first, both.second, both.queries, both.recordings) == ("a", "b", 60, 20)
    assert (both.only_first, both.only_second) == (0, 10)
    assert both.difference == pytest.approx(-10 / 60)
    assert both.p_value == pytest.approx(2 / 1024)
    assert both.interval[0] < both.difference < both.interval[1] <= 0
    assert made["false_accept", ALL_CONDITIONS].difference == -1.0
    text = comparison_table(list(made.values()))
    assert text.count("\n") == 2 + 3
    assert "| a | b | all | 5 s | top-1 & 50 ms | 60 | 20 | 0 | 10 | -16.7 (" in text
    assert comparison_table(list(made.values()), each_condition=True).count("\n") == 2 + 5
    assert compare_systems(outcome(n) for n in range(3)) == []
    assert comparison_table([]) == ""


def test_a_difference_of_nothing_is_no_certainty():
    (answered,) = [
        one
        for one in compare_systems(outcome(n, system=s) for s in "ab" for n in range(30))
        if (one.metric, one.condition) == ("answered", ALL_CONDITIONS)
    ]
    spread = stats.binomtest(0, 30).proportion_ci(method="exact").high
    assert answered.interval == pytest.approx((-spread, spread))
    assert answered.p_value == 1


# matched false accepts


def test_halves_depend_on_names_alone():
    paths = [Path(f"/music/{n}.mp3") for n in range(101)]
    halves = split_in_halves(paths)
    assert sorted(np.bincount(list(halves.values()))) == [50, 51]
    elsewhere = split_in_halves(Path("/other") / path.name for path in reversed(paths))
    assert {path.name: half for path, half in halves.items()} == {
        path.name: half for path, half in elsewhere.items()
    }


@pytest.mark.parametrize("n", [1, 20, 99, 100, 250])
@pytest.mark.parametrize("rate", [0.0, 0.01, 0.3])
def test_threshold_is_the_lowest_at_the_rate(n, rate):
    scores = np.random.default_rng(n).random(n)
    threshold = set_threshold(scores, rate)
    assert np.mean(scores > threshold) <= rate
    assert np.mean(scores >= threshold) > rate  # any lower one lets more through


def matched_outcomes(system, shift, rng, recordings=200):
    """Scores of absent queries are uniform from 0 to 1, those of present ones from 0.5 to 1.5."""
    outcomes = []
    for number in range(recordings):
        for present in (True, False):
            score = shift + rng.random() + (0.5 if present else 0.0)
            name = f"{'present' if present else 'absent'} {number}"
            outcomes.append(outcome(name, score=score, accepted=score > 0.9, present=present, system=system))
    return outcomes


def test_systems_are_matched():
    """Two systems that differ only in their scale of scores are equal at matched false accepts."""
    strict, lax = (
        matched_outcomes(system, shift, np.random.default_rng(3))
        for system, shift in (("s", 0.0), ("l", 5.0))
    )
    rows = {row.system: row for row in compare_at_matched_rate(strict + lax, 0.1) if row.condition == "all"}
    s, l = rows["s"], rows["l"]  # noqa: E741
    assert s.own_right[0] < l.own_right[0] == 1.0
    assert s.own_false_accepts[0] < l.own_false_accepts[0] == 1.0
    assert s.right == l.right
    assert s.false_accepts == l.false_accepts
    # At a rate of 10 % the threshold is 0.9, which 60 % of the present queries exceed.
    assert s.thresholds == pytest.approx((0.9, 0.9), abs=0.06)
    assert s.right[0] == pytest.approx(0.6, abs=0.08)
    assert s.false_accepts[1] < 0.1 < s.false_accepts[2]
    assert (s.present, s.absent) == (200, 200)
    text = matched_table([s, l])
    assert text.count("\n") == 4
    assert f"| l | all | 5 s | 200 | 200 | {100 * l.own_right[0]:.1f} (" in text
    assert matched_table([s, l], each_condition=True) == ""


def test_thresholds_come_from_the_other_half():
    """One half has high scores when it is absent: only the other half suffers from its threshold."""
    names = [Path(f"{n}.wav") for n in range(40)]
    halves = split_in_halves(names)
    outcomes = [
        outcome(path.stem, score=0.9 if half == 0 else 0.1, present=False, accepted=True)
        for path, half in halves.items()
    ]
    present = [Path(f"p{n}.wav") for n in range(40)]
    outcomes += [outcome(path.stem, score=0.5) for path in present]
    row = compare_at_matched_rate(outcomes)[0]
    assert row.thresholds == (0.9, 0.1)
    # Half 0 is measured at 0.1 and half 1 at 0.9.
    assert row.false_accepts[0] == 0.5
    assert row.right[0] == 0.5


def test_nothing_to_match():
    one_absent = [outcome("x"), outcome("y", present=False)]
    assert compare_at_matched_rate(one_absent) == []
    assert compare_at_matched_rate([outcome("x")]) == []
    assert compare_at_matched_rate([outcome(n, present=False) for n in range(9)]) == []
    assert matched_table([]) == ""
