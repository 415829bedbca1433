"""Metrics: hit rates, time accuracy and false accepts, with intervals by recording.

Metrics of one condition and query length, each a share of the queries:

- ``top_1``: the best candidate is the right recording, whatever its score (the paper's identification);
- ``top_5``: the right recording is among the first five candidates;
- ``top_1_and_50_ms``: top-1, and the start is right to 50 ms, whatever the score (the paper's equation 6);
- ``answered``: the right recording is the answer, with a score at or above the threshold;
- ``wrong``: another recording is the answer;
- ``located_50_ms``: answered, and the start is right to 50 ms; likewise with 100 ms;
- ``located_or_repeat``: located within 100 ms, or at a place where the recording holds exactly the same sound
  (see `earprint.evaluation.repeats`);
- ``false_accept``: of queries of absent recordings, those with any answer.

The condition ``room`` is counted once for all rooms and once for each group of reverberation times.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from earprint.dsp.rt60 import RT60_EDGES_S, rt60_range
from earprint.evaluation.intervals import cluster_bootstrap
from earprint.evaluation.outcomes import Outcome

TOLERANCES_S: Final = (0.05, 0.1)
"""Tolerances of the start, in seconds; the first is the paper's."""

ROOM: Final = "room"
"""Condition that is also counted by reverberation time."""


@dataclass(frozen=True)
class MetricsRow:
    """The metrics of a system in one condition, for queries of one length.

    Attributes
    ----------
    system : str
    condition : str
    length_s : float
    present : bool
        Whether the library holds the queries' recordings.
    queries, recordings : int
        Number of queries, and of the recordings that they come from.
    counts : dict of str to int or None
        Queries that count for each metric. ``top_5`` is None for a system that gives one answer only.
    intervals : dict of str to (float, float)
        95 % intervals of the shares, from 0 to 1.
    median_error_s : float or None
        Median of the absolute time errors of right answers; None without any.
    """

    system: str
    condition: str
    length_s: float
    present: bool
    queries: int
    recordings: int
    counts: Mapping[str, int | None]
    intervals: Mapping[str, tuple[float, float]]
    median_error_s: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return shares in percent with their 95 % intervals, JSON-ready."""
        return {
            "system": self.system,
            "condition": self.condition,
            "length_s": self.length_s,
            "queries": self.queries,
            "recordings": self.recordings,
            **{name: self.percent(name) for name in self.counts},
            "median_error_ms": None if self.median_error_s is None else round(1000 * self.median_error_s, 1),
        }

    def percent(self, metric: str) -> dict[str, float] | None:
        """Return a share and its interval in percent, with the keys percent, low and high."""
        count = self.counts[metric]
        return None if count is None else to_percent(count / self.queries, *self.intervals[metric])


def to_percent(share: float, low: float, high: float) -> dict[str, float]:
    """Return a share and its interval in percent, JSON-ready."""
    shares = {"percent": share, "low": low, "high": high}
    return {key: round(100 * value, 4) for key, value in shares.items()}


def compute_metrics(outcomes: Iterable[Outcome]) -> list[MetricsRow]:
    """Count outcomes by system, condition, query length and presence, in order of first appearance."""
    groups: dict[tuple[str, str, float, bool], list[Outcome]] = {}
    for outcome in outcomes:
        query = outcome.query
        key = outcome.system, query.condition, query.length_s, query.present
        groups.setdefault(key, []).append(outcome)
    rows = []
    for (system, condition, length_s, present), group in groups.items():
        rows.append(_row(system, condition, length_s, present, group))
        if condition == ROOM and present:
            rows += [
                _row(system, f"{ROOM}, {name}", length_s, present, part) for name, part in _by_rt60(group)
            ]
    return rows


def _by_rt60(outcomes: Sequence[Outcome]) -> Iterator[tuple[str, list[Outcome]]]:
    """Group outcomes by reverberation time, the shortest first; no groups if no time is known."""
    if all(outcome.query.rt60_s is None for outcome in outcomes):
        return
    for name in [rt60_range(rt60_s) for rt60_s in (0.0, *RT60_EDGES_S, None)]:
        part = [outcome for outcome in outcomes if rt60_range(outcome.query.rt60_s) == name]
        if part:
            yield name, part


def count_for(outcome: Outcome, metric: str) -> bool:
    """Whether a query counts for a metric; see the list at the head of this module."""
    return _hits(outcome)[metric]


def _hits(outcome: Outcome) -> dict[str, bool]:
    """Return for each metric whether a query counts for it."""
    if not outcome.query.present:
        return {"false_accept": outcome.accepted}
    top_1 = outcome.right_track
    answered = top_1 and outcome.accepted
    within = {
        f"{1000 * tolerance_s:g}_ms": outcome.error_s is not None and abs(outcome.error_s) <= tolerance_s
        for tolerance_s in TOLERANCES_S
    }
    located = {f"located_{name}": answered and near for name, near in within.items()}
    return {
        "top_1": top_1,
        "top_5": bool(outcome.top_5),
        **{f"top_1_and_{name}": top_1 and near for name, near in within.items()},
        "answered": answered,
        "wrong": outcome.accepted and not top_1,
        **located,
        "located_or_repeat": answered and (outcome.repeat or list(located.values())[-1]),
    }


def _row(system: str, condition: str, length_s: float, present: bool, group: Sequence[Outcome]) -> MetricsRow:
    hits = [_hits(outcome) for outcome in group]
    names = list(hits[0])
    recordings = [outcome.query.path for outcome in group]
    values = np.array([[hit[name] for name in names] for hit in hits], dtype=np.float64)
    intervals = cluster_bootstrap(values, recordings)
    counts: dict[str, int | None] = dict(zip(names, values.sum(axis=0).astype(int).tolist(), strict=True))
    if any(outcome.top_5 is None for outcome in group) and present:
        counts["top_5"] = None
    errors = [abs(outcome.error_s) for outcome in group if outcome.accepted and outcome.error_s is not None]
    return MetricsRow(
        system,
        condition,
        length_s,
        present,
        queries=len(group),
        recordings=len(set(recordings)),
        counts=counts,
        intervals={
            name: (float(low), float(high)) for name, (low, high) in zip(names, intervals.T, strict=True)
        },
        median_error_s=float(np.median(errors)) if errors else None,
    )
