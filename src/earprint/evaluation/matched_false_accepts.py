"""Systems at the same rate of false accepts.

Each system has its own threshold, and some accept far more wrong answers than others. Here each system's
threshold is set so that 1 % of the queries of absent recordings are accepted, and the right answers are
counted at that threshold.

A threshold must not be tested on the queries that it was set on. So recordings are split into two halves by a
hash of their file names, and the threshold that was set on one half of the absent recordings is applied to
the other half of the absent recordings and of the present ones (two-fold cross-fitting). Every query counts
once. The false accepts that are counted therefore differ from 1 % as they would on new recordings.

A peer's score is known only for recordings that it names, so its threshold can only be raised above its own.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from earprint.evaluation.comparison import ALL_CONDITIONS
from earprint.evaluation.intervals import cluster_bootstrap
from earprint.evaluation.metrics import to_percent
from earprint.evaluation.outcomes import Outcome
from earprint.evaluation.roc import FALSE_ACCEPT_RATE

Interval = tuple[float, float, float]
"""A share and its 95 % interval, from 0 to 1."""


@dataclass(frozen=True)
class MatchedRow:
    """A system at its own threshold and at matched false accepts.

    Attributes
    ----------
    system : str
    condition : str
        Title of the condition, or ``all``.
    length_s : float
    present, absent : int
        Number of queries.
    own_right, own_false_accepts : (float, float, float)
        At the system's own threshold: share of the present queries with a right answer, share of the absent
        queries with any answer; each with its interval by recording.
    right, false_accepts : (float, float, float)
        The same at the thresholds that were set here. The intervals take the thresholds as given.
    thresholds : (float, float)
        Scores above which an answer is accepted: that of the first half of the absent recordings, applied to
        the second half, and the reverse.
    """

    system: str
    condition: str
    length_s: float
    present: int
    absent: int
    own_right: Interval
    own_false_accepts: Interval
    right: Interval
    false_accepts: Interval
    thresholds: tuple[float, float]

    def to_dict(self) -> dict[str, Any]:
        """Return the row as JSON-ready data, shares in percent."""
        return {
            "system": self.system,
            "condition": self.condition,
            "length_s": self.length_s,
            "present_queries": self.present,
            "absent_queries": self.absent,
            "own_right": to_percent(*self.own_right),
            "own_false_accepts": to_percent(*self.own_false_accepts),
            "right": to_percent(*self.right),
            "false_accepts": to_percent(*self.false_accepts),
            "thresholds": list(self.thresholds),
        }


def split_in_halves(recordings: Iterable[Path]) -> dict[Path, int]:
    """Assign recordings to the halves 0 and 1 by a hash of their names; the halves differ by one at most."""

    def key(path: Path) -> tuple[str, str]:
        return hashlib.blake2b(path.name.encode(errors="replace")).hexdigest(), str(path)

    return {path: number % 2 for number, path in enumerate(sorted(set(recordings), key=key))}


def set_threshold(absent_scores: Sequence[float], rate: float = FALSE_ACCEPT_RATE) -> float:
    """Return the lowest score such that at most a share of the absent queries has a higher one.

    Parameters
    ----------
    absent_scores : sequence of float
        Not empty.
    rate : float
    """
    descending = np.sort(absent_scores)[::-1]
    return float(descending[int(rate * len(descending) + 1e-9)])


def compare_at_matched_rate(outcomes: Iterable[Outcome], rate: float = FALSE_ACCEPT_RATE) -> list[MatchedRow]:
    """Count right answers of each system where its false accepts have the same rate.

    Parameters
    ----------
    outcomes : iterable of Outcome
    rate : float
        Rate of false accepts, over all conditions of a query length together.

    Returns
    -------
    list of MatchedRow
        By query length and system: all conditions together, then each condition. Nothing for query lengths
        without present queries or with fewer than two absent recordings.
    """
    groups: dict[float, dict[str, list[Outcome]]] = {}
    for outcome in outcomes:
        groups.setdefault(outcome.query.length_s, {}).setdefault(outcome.system, []).append(outcome)
    rows = []
    for length_s, by_system in groups.items():
        everything = [outcome.query for system in by_system.values() for outcome in system]
        absent = {query.path for query in everything if not query.present}
        present = {query.path for query in everything if query.present}
        if len(absent) < 2 or not present:
            continue
        halves = split_in_halves(absent) | split_in_halves(present)
        for system, group in by_system.items():
            rows += _rows(system, length_s, group, halves, rate)
    return rows


def _rows(
    system: str, length_s: float, group: Sequence[Outcome], halves: Mapping[Path, int], rate: float
) -> list[MatchedRow]:
    scores: tuple[list[float], list[float]] = [], []
    for outcome in group:
        if not outcome.query.present:
            scores[halves[outcome.query.path]].append(outcome.score)
    if not all(scores):
        return []
    thresholds = set_threshold(scores[0], rate), set_threshold(scores[1], rate)
    by_condition: dict[str, list[Outcome]] = {ALL_CONDITIONS: list(group)}
    for outcome in group:
        by_condition.setdefault(outcome.query.condition, []).append(outcome)
    rows = []
    for condition, outcomes in by_condition.items():
        present = [outcome for outcome in outcomes if outcome.query.present]
        absent = [outcome for outcome in outcomes if not outcome.query.present]
        if not present or not absent:
            continue
        # A recording's threshold is that of the other half.
        passing = {id(one): one.score > thresholds[1 - halves[one.query.path]] for one in outcomes}
        rows.append(
            MatchedRow(
                system,
                condition,
                length_s,
                len(present),
                len(absent),
                own_right=_share(present, [one.right_track and one.accepted for one in present]),
                own_false_accepts=_share(absent, [one.accepted for one in absent]),
                right=_share(present, [one.right_track and passing[id(one)] for one in present]),
                false_accepts=_share(absent, [passing[id(one)] for one in absent]),
                thresholds=thresholds,
            )
        )
    return rows


def _share(outcomes: Sequence[Outcome], hits: Sequence[bool]) -> Interval:
    low, high = cluster_bootstrap(hits, [outcome.query.path for outcome in outcomes])
    return float(np.mean(hits)), float(low), float(high)
