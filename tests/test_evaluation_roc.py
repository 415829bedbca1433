"""ROC curves against counts threshold by threshold."""

from pathlib import Path

import numpy as np
import pytest

from earprint.evaluation.outcomes import Outcome
from earprint.evaluation.query import Query
from earprint.evaluation.roc import POINTS, compute_roc, compute_rocs, suggest_thresholds


def outcome(score, *, present=True, right=True, condition="clean", length_s=5.0, system="s"):
    query = Query(Path("a"), 0.0, length_s, condition, None, None, 0.0, None, phone=False, present=present)
    return Outcome(query, right and present, score, 0.0, True, None, 0.0, system=system)


@pytest.fixture
def mixed():
    rng = np.random.default_rng(0)
    present = [outcome(round(s, 2), right=s > 0.3) for s in rng.uniform(0.2, 1.0, 300)]
    return present + [outcome(round(s, 2), present=False) for s in rng.uniform(0.0, 0.6, 250)]


def test_every_point_is_what_counting_gives(mixed):
    curve = compute_roc(mixed, "s", 5.0, "all")
    absent = np.array([o.score for o in mixed if not o.query.present])
    right = np.array([o.score for o in mixed if o.right_track])
    for score, false_accepts, share in zip(curve.scores, curve.false_accepts, curve.right, strict=True):
        assert false_accepts == np.mean(absent >= score)
        assert share == np.sum(right >= score) / 300
    assert (curve.false_accepts[0], curve.right[0]) == (0, 0)
    assert curve.false_accepts[-1] == 1
    assert curve.right[-1] == len(right) / 300 < 1  # wrong recordings never count


@pytest.mark.parametrize("allowed", [0.0, 0.004, 0.01, 0.1, 1.0])
def test_operating_point(mixed, allowed):
    curve = compute_roc(mixed, "s", 5.0, "all")
    share, score = curve.right_at(allowed)
    best = max(
        np.mean([o.right_track and o.score >= t for o in mixed if o.query.present])
        for t in np.arange(0, 1.01, 0.01)
        if np.mean([o.score >= t - 1e-9 for o in mixed if not o.query.present]) <= allowed
    )
    assert share == pytest.approx(best)
    assert np.mean([o.score >= score for o in mixed if not o.query.present]) <= allowed


def test_no_threshold_keeps_all_absent_ones_out():
    curve = compute_roc([outcome(0.5), outcome(0.9, present=False)], "s", 5.0, "all")
    share, score = curve.right_at(0.0)
    assert share == 0.0
    assert score == np.inf
    assert curve.to_dict()["threshold_at_1_percent_false_accepts"] is None


def test_groups():
    outcomes = [
        outcome(0.5, present=present, condition=condition, length_s=length_s, system=system)
        for present in (True, False)
        for condition in ("clean", "room + noise 0 dB", "room + noise 10 dB", "noise 0 dB")
        for length_s in (1.0, 5.0)
        for system in ("a", "b")
    ]
    outcomes.append(outcome(0.5, condition="phone"))  # present only: no curve
    curves = compute_rocs(outcomes)
    keys = {(curve.system, curve.length_s, curve.group) for curve in curves}
    assert keys == {
        (system, length_s, group)
        for system in "ab"
        for length_s in (1.0, 5.0)
        for group in ("all", "clean", "room-noise", "noise")
    }
    sizes = {curve.group: curve.absent for curve in curves}
    assert sizes == {"all": 4, "clean": 1, "room-noise": 2, "noise": 1}
    assert compute_rocs([outcome(0.5)]) == []


def test_json_is_thinned():
    outcomes = [outcome(n / 5000, present=n % 2 == 0) for n in range(5000)]
    made = compute_roc(outcomes, "s", 5.0, "all").to_dict()
    assert len(made["right_percent"]) == len(made["false_accepts_percent"]) <= POINTS
    assert made["false_accepts_percent"][0] == 0.0
    assert made["false_accepts_percent"][-1] == 100.0
    assert made["present_queries"] == made["absent_queries"] == 2500


def test_thresholds_let_one_percent_of_the_absent_through():
    absent = [outcome(n / 1000, present=False) for n in range(1000)]
    present = [outcome(score) for score in (0.5, 0.992, 1.0, 1.0)] + [outcome(1.0, right=False)]
    (threshold,) = suggest_thresholds(compute_rocs(absent + present))
    assert sum(o.score >= threshold.score for o in absent) <= 10
    assert threshold.score == pytest.approx(0.99, abs=0.003)
    assert threshold.right == pytest.approx(3 / 5)
    assert "60.0 % right answers at 1 % false accepts" in threshold.describe()
    assert "1,000 of them absent" in threshold.describe()
    assert suggest_thresholds(compute_rocs(present)) == []
