"""Open-set behaviour: how many right answers a threshold lets through, and how many false ones.

A threshold on the score accepts present queries whose recording scores highest ("right"), and accepts some
queries of absent recordings ("false accepts"). The curve of both shares over all thresholds is the ROC of the
detection-and-identification task (Grother et al., "Handbook of Face Recognition", 2011, chapter 21); a wrong
recording never counts as right, so it need not reach 100 %.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from earprint.evaluation.conditions import kind_of
from earprint.evaluation.outcomes import Outcome

FALSE_ACCEPT_SHARE: Final = 0.01
"""Share of absent queries that may be answered at the operating point."""

POINTS: Final = 200
"""Points kept of a curve."""

ALL = "all"
"""Name of the group of all conditions."""


@dataclass(frozen=True)
class Roc:
    """One curve.

    Attributes
    ----------
    system : str
    length_s : float
    group : str
        Family of conditions, or ``all``.
    present, absent : int
        Queries that it was read from.
    false_accepts, right : ndarray of float64, shape (n,)
        Shares from 0 to 1, ascending.
    scores : ndarray of float64, shape (n,)
        The thresholds: descending, accepted is what scores as much or more; the first is infinite.
    """

    system: str
    length_s: float
    group: str
    present: int
    absent: int
    false_accepts: NDArray[np.float64]
    right: NDArray[np.float64]
    scores: NDArray[np.float64]

    def right_at(self, false_accepts: float = FALSE_ACCEPT_SHARE) -> tuple[float, float]:
        """Largest share of right answers that keeps false accepts at or below a share, and its threshold."""
        last = int(np.searchsorted(self.false_accepts, false_accepts, side="right")) - 1
        return float(self.right[last]), float(self.scores[last])

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready data, shares in percent, thinned to `POINTS` points."""
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


def rocs(outcomes: Sequence[Outcome]) -> list[Roc]:
    """Make the curves of each system and query length: all conditions together, then each family.

    Returns
    -------
    list of Roc
        None for groups without absent or without present queries.
    """
    groups: dict[tuple[str, float, str], list[Outcome]] = {}
    for outcome in outcomes:
        system, length_s = outcome.system, outcome.query.length_s
        groups.setdefault((system, length_s, ALL), []).append(outcome)
    for outcome in outcomes:
        family = kind_of(outcome.query.condition).value
        groups.setdefault((outcome.system, outcome.query.length_s, family), []).append(outcome)
    curves = [roc(mine, *key) for key, mine in groups.items()]
    return [curve for curve in curves if curve is not None]


def roc(outcomes: Sequence[Outcome], system: str, length_s: float, group: str) -> Roc | None:
    """Make one curve of outcomes; None without absent or without present queries."""
    present = [o for o in outcomes if o.query.present]
    absent = np.sort([o.score for o in outcomes if not o.query.present])
    if not present or not len(absent):
        return None
    right = np.sort([o.score for o in present if o.right_track])
    scores = np.unique(np.concatenate([right, absent]))[::-1]
    # How many score as much or more than each threshold.
    reached = [len(ones) - np.searchsorted(ones, scores, side="left") for ones in (absent, right)]
    return Roc(
        system,
        length_s,
        group,
        len(present),
        len(absent),
        false_accepts=np.concatenate([[0.0], reached[0] / len(absent)]),
        right=np.concatenate([[0.0], reached[1] / len(present)]),
        scores=np.concatenate([[np.inf], scores]),
    )


@dataclass(frozen=True)
class Threshold:
    """A score that few absent recordings reach, for queries of one length.

    Attributes
    ----------
    system : str
    length_s : float
    score : float or None
        At most `FALSE_ACCEPT_SHARE` of the absent queries score as much, all conditions together; None if
        an absent query has the highest score of all.
    absent : int
        Absent queries that it was read from.
    right : float
        Share of the present queries whose recording is best and scores as much.
    """

    system: str
    length_s: float
    score: float | None
    absent: int
    right: float

    def describe(self) -> str:
        """Say it in one line."""
        threshold = "no threshold" if self.score is None else f"threshold {self.score:.3f}"
        return (
            f"{self.system}, {self.length_s:g} s: {100 * self.right:.1f} % right answers at "
            f"{100 * FALSE_ACCEPT_SHARE:g} % false accepts ({threshold}, "
            f"{self.absent:,} absent queries)"
        )


def thresholds(curves: Sequence[Roc]) -> list[Threshold]:
    """Read off, for each system and query length, the score that keeps false accepts rare.

    With less than 100 absent queries, 1 % of them is none: all must be refused.
    """
    found = []
    for curve in curves:
        if curve.group == ALL:
            right, score = curve.right_at()
            known = score if np.isfinite(score) else None
            found.append(Threshold(curve.system, curve.length_s, known, curve.absent, right))
    return found
