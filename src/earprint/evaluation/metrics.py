"""What is counted: hits, places, false accepts, with intervals.

Metrics per condition and query length, each a share of the queries put:

- top-1: the best candidate is the right recording, whatever its score (the paper's identification);
- top-5: it is among the first five;
- top-1 and 50 ms: top-1, and the start is right to 50 ms, whatever the score (the paper's equation 6);
- answered: the right recording is the answer, its score at or above the threshold;
- wrong: another recording is the answer;
- located: answered, and the start is within a tolerance;
- located or repeat: located within 100 ms, or at a place where the recording holds the very same sound
  (see `earprint.evaluation.repeats`);
- false accept: of queries whose recording is not in the library, those answered at all.

The condition ``room`` is counted once for all rooms and once for each group of reverberation times.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from earprint.dsp.rt60 import RT60_EDGES_S, rt60_range
from earprint.evaluation.outcomes import Outcome

TOLERANCES_S = (0.05, 0.1)
"""Tolerances of the located metric, in seconds; the first is the paper's."""

ROOM = "room"
"""Condition that is also counted by reverberation time."""


@dataclass(frozen=True)
class Row:
    """Counts of one condition and query length.

    Attributes
    ----------
    system : str
        Who answered.
    condition : str
    length_s : float
    present : bool
        Whether the queries' recordings are in the library.
    queries : int
        Queries put; the rest are counts of them, named as in the module's description.
    top_1, answered, wrong : int
        0 for absent recordings.
    top_5 : int or None
        None for a system that gives one answer only.
    placed, located : dict of float to int
        By tolerance, in seconds; ``placed`` whatever the score.
    repeats : int
        Answered, elsewhere in the right recording where the same sound is.
    accepted : int
        Answered at all, rightly or wrongly.
    median_error_s : float or None
        Of the absolute errors of right answers; None without any.
    """

    system: str
    condition: str
    length_s: float
    present: bool
    queries: int
    top_1: int
    top_5: int | None
    answered: int
    wrong: int
    placed: dict[float, int]
    located: dict[float, int]
    repeats: int
    accepted: int
    median_error_s: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return shares in percent with their 95 % intervals, JSON-ready."""
        counts: dict[str, int | None] = {"top_1": self.top_1, "top_5": self.top_5}
        counts |= {f"top_1_and_{1000 * t:g}_ms": count for t, count in self.placed.items()}
        counts |= {"answered": self.answered, "wrong": self.wrong}
        counts |= {f"located_{1000 * t:g}_ms": count for t, count in self.located.items()}
        counts["located_or_repeat"] = self.located[TOLERANCES_S[-1]] + self.repeats
        if not self.present:
            counts = {"false_accept": self.accepted}
        return {
            "system": self.system,
            "condition": self.condition,
            "length_s": self.length_s,
            "queries": self.queries,
            **{name: None if n is None else _percent(n, self.queries) for name, n in counts.items()},
            "median_error_ms": None if self.median_error_s is None else round(1000 * self.median_error_s, 1),
        }


def _percent(count: int, total: int) -> dict[str, float]:
    low, high = wilson(count, total)
    return {
        "percent": round(100 * count / total, 4),
        "low": round(100 * low, 4),
        "high": round(100 * high, 4),
    }


def summarise(outcomes: Sequence[Outcome]) -> list[Row]:
    """Count outcomes by system, condition, query length and presence, in order of first appearance."""
    groups: dict[tuple[str, str, float, bool], list[Outcome]] = {}
    for outcome in outcomes:
        query = outcome.query
        groups.setdefault((outcome.system, query.condition, query.length_s, query.present), []).append(
            outcome
        )
    rows = []
    for (system, condition, length_s, present), mine in groups.items():
        rows.append(_row(system, condition, length_s, present, mine))
        if condition == ROOM and present:
            rows += [_row(system, f"{ROOM}, {name}", length_s, present, part) for name, part in _by_t60(mine)]
    return rows


def _by_t60(outcomes: Sequence[Outcome]) -> Iterator[tuple[str, list[Outcome]]]:
    """Outcomes by groups of reverberation times, the shortest first; none if no time is known."""
    if all(outcome.query.t60_s is None for outcome in outcomes):
        return
    names = [rt60_range(t) for t in (0.0, *RT60_EDGES_S, None)]
    for name in names:
        part = [outcome for outcome in outcomes if rt60_range(outcome.query.t60_s) == name]
        if part:
            yield name, part


def _row(system: str, condition: str, length_s: float, present: bool, mine: Sequence[Outcome]) -> Row:
    first = [outcome for outcome in mine if outcome.right_track]
    right = [outcome for outcome in first if outcome.accepted]
    placed, errors = (
        np.abs([one.error_s for one in ones if one.error_s is not None]) for ones in (first, right)
    )
    one_answer_only = any(outcome.top_5 is None for outcome in mine)
    return Row(
        system,
        condition,
        length_s,
        present,
        queries=len(mine),
        top_1=len(first),
        top_5=None if one_answer_only else sum(bool(outcome.top_5) for outcome in mine),
        answered=len(right),
        wrong=sum(outcome.accepted and not outcome.right_track for outcome in mine) if present else 0,
        placed={t: int((placed <= t).sum()) for t in TOLERANCES_S},
        located={t: int((errors <= t).sum()) for t in TOLERANCES_S},
        repeats=sum(outcome.repeat for outcome in right),
        accepted=sum(outcome.accepted for outcome in mine),
        median_error_s=float(np.median(errors)) if len(errors) else None,
    )


def wilson(count: int, total: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson score interval of a share (Wilson 1927, "Probable inference"), 95 % by default.

    Parameters
    ----------
    count, total : int
    z : float
        Quantile of the normal distribution: 1.96 leaves 2.5 % on either side.

    Returns
    -------
    (float, float)
        Between 0 and 1; (0, 1) if nothing was counted.
    """
    if total == 0:
        return 0.0, 1.0
    share = count / total
    centre = share + z**2 / (2 * total)
    spread = z * math.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    scale = 1 + z**2 / total
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)
