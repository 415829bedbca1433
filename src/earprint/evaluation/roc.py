"""Receiver operating characteristic (ROC): right answers against false accepts, over all thresholds.

A threshold on the score accepts some present queries whose recording scores highest ("right answers"), and
some queries of absent recordings ("false accepts"). The curve of both shares over all thresholds is the ROC
of open-set identification (Grother et al., "Handbook of Face Recognition", 2011, chapter 21). A wrong
recording never counts as right, so the curve need not reach 100 %.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from earprint.evaluation.comparison import ALL_CONDITIONS
from earprint.evaluation.conditions import condition_class
from earprint.evaluation.outcomes import Outcome

FALSE_ACCEPT_RATE: Final = 0.01
"""Share of the absent queries that may be accepted at the operating point."""

POINTS: Final = 200
"""Points of a curve that reports keep."""


@dataclass(frozen=True)
class Roc:
    """An ROC curve.

    Attributes
    ----------
    system : str
    length_s : float
    group : str
        Name of a condition, whatever its level, or ``all``.
    present, absent : int
        Number of queries.
    false_accepts, right : ndarray of float64, shape (n,)
        Shares from 0 to 1, ascending.
    scores : ndarray of float64, shape (n,)
        Thresholds, descending; the first is infinite. A score at or above the threshold is accepted.
    """

    system: str
    length_s: float
    group: str
    present: int
    absent: int
    false_accepts: NDArray[np.float64]
    right: NDArray[np.float64]
    scores: NDArray[np.float64]

    def right_at(self, false_accepts: float = FALSE_ACCEPT_RATE) -> tuple[float, float]:
        """Return the largest share of right answers at a rate of false accepts, and its threshold."""
        last = int(np.searchsorted(self.false_accepts, false_accepts, side="right")) - 1
        return float(self.right[last]), float(self.scores[last])

    def to_dict(self) -> dict[str, Any]:
        """Return `POINTS` points of the curve as JSON-ready data, shares in percent."""
        kept = np.unique(np.linspace(0, len(self.right) - 1, POINTS).round().astype(int))
        right, score = self.right_at()
        return {
            "system": self.system, "length_s": self.length_s, "conditions": self.group,
            "present_queries": self.present, "absent_queries": self.absent,
            "right_at_1_percent_false_accepts": round(100 * right, 4),
            "threshold_at_1_percent_false_accepts": round(score, 4) if np.isfinite(score) else None,
            "false_accepts_percent": np.round(100 * self.false_accepts[kept], 4).tolist(),
            "right_percent": np.round(100 * self.right[kept], 4).tolist(),
        }  # fmt: skip


def compute_rocs(outcomes: Sequence[Outcome]) -> list[Roc]:
    """Compute the curves of each system and query length: all conditions together, then each by its name.

    Returns
    -------
    list of Roc
        Groups without absent or without present queries have no curve.
    """
    groups: dict[tuple[str, float, str], list[Outcome]] = {}
    for outcome in outcomes:
        system, length_s = outcome.system, outcome.query.length_s
        groups.setdefault((system, length_s, ALL_CONDITIONS), []).append(outcome)
    for outcome in outcomes:
        name = condition_class(outcome.query.condition).name
        groups.setdefault((outcome.system, outcome.query.length_s, name), []).append(outcome)
    curves = [compute_roc(group, *key) for key, group in groups.items()]
    return [curve for curve in curves if curve is not None]


def compute_roc(outcomes: Sequence[Outcome], system: str, length_s: float, group: str) -> Roc | None:
    """Compute one curve; None without absent or without present queries."""
    present = [o for o in outcomes if o.query.present]
    absent = np.sort([o.score for o in outcomes if not o.query.present])
    if not present or not len(absent):
        return None
    right = np.sort([o.score for o in present if o.right_track])
    scores = np.unique(np.concatenate([right, absent]))[::-1]
    # How many scores are at or above each threshold.
    accepted = [len(group) - np.searchsorted(group, scores, side="left") for group in (absent, right)]
    return Roc(
        system,
        length_s,
        group,
        len(present),
        len(absent),
        false_accepts=np.concatenate([[0.0], accepted[0] / len(absent)]),
        right=np.concatenate([[0.0], accepted[1] / len(present)]),
        scores=np.concatenate([[np.inf], scores]),
    )


@dataclass(frozen=True)
class Threshold:
    """A threshold that few queries of absent recordings reach, for queries of one length.

    Attributes
    ----------
    system : str
    length_s : float
    score : float or None
        At most `FALSE_ACCEPT_RATE` of the absent queries reach it, all conditions together. None if an
        absent query has the highest score of all.
    absent : int
        Number of absent queries.
    right : float
        Share of the present queries whose recording is the best candidate and reaches it.
    """

    system: str
    length_s: float
    score: float | None
    absent: int
    right: float

    def describe(self) -> str:
        """Return the threshold and its effect in one line of text."""
        threshold = "no threshold" if self.score is None else f"threshold {self.score:.3f}"
        return (
            f"{self.system}, {self.length_s:g} s: {100 * self.right:.1f} % right answers at "
            f"{100 * FALSE_ACCEPT_RATE:g} % false accepts ({threshold}, "
            f"set on the same queries, {self.absent:,} of them absent)"
        )


def suggest_thresholds(curves: Sequence[Roc]) -> list[Threshold]:
    """Suggest a threshold for each system and query length.

    The shares that it names are those of the queries that it was set on.
    `earprint.evaluation.matched_false_accepts` counts on other ones. With fewer than 100 absent
    queries all of them must be refused.
    """
    found = []
    for curve in curves:
        if curve.group == ALL_CONDITIONS:
            right, score = curve.right_at()
            known = score if np.isfinite(score) else None
            found.append(Threshold(curve.system, curve.length_s, known, curve.absent, right))
    return found
