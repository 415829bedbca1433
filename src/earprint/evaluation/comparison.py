"""Compare systems in pairs on the same queries.

The table of a pair has the number of queries that only one of the two gets right, the difference of the two
shares with a 95 % interval, and the p-value of McNemar's exact test ("Note on the sampling error of the
difference between correlated proportions or percentages", Psychometrika 12, 1947). The interval resamples
recordings. The test counts queries as independent, so where a recording has several queries its p-value is
too small, and the interval is the one to trust.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, Final

from earprint.evaluation.intervals import cluster_bootstrap, load_scipy
from earprint.evaluation.metrics import count_for, to_percent
from earprint.evaluation.outcomes import Outcome

if TYPE_CHECKING:
    from earprint.evaluation.query import Query

ALL_CONDITIONS: Final = "all"
"""Name of all conditions together."""

COMPARED_METRICS: Final = {True: ("top_1_and_50_ms", "answered"), False: ("false_accept",)}
"""Metrics that are compared, for present and for absent recordings."""


@dataclass(frozen=True)
class Comparison:
    """Two systems on the same queries.

    Attributes
    ----------
    first, second : str
        Names of the systems.
    condition : str
        Title of the condition, or ``all``.
    length_s : float
    metric : str
        See `earprint.evaluation.metrics`.
    queries, recordings : int
    only_first, only_second : int
        Queries that count for the metric with one system and not with the other.
    interval : (float, float)
        95 % interval of the first system's share minus the second system's.
    p_value : float
        Of McNemar's exact test, two-sided; 1 without discordant queries.
    """

    first: str
    second: str
    condition: str
    length_s: float
    metric: str
    queries: int
    recordings: int
    only_first: int
    only_second: int
    interval: tuple[float, float]
    p_value: float

    @property
    def difference(self) -> float:
        """The first system's share minus the second system's, from -1 to 1."""
        return (self.only_first - self.only_second) / self.queries

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as JSON-ready data; the difference is in percentage points."""
        return {
            "first": self.first,
            "second": self.second,
            "condition": self.condition,
            "length_s": self.length_s,
            "metric": self.metric,
            "queries": self.queries,
            "recordings": self.recordings,
            "only_first": self.only_first,
            "only_second": self.only_second,
            "difference": to_percent(self.difference, *self.interval),
            "mcnemar_p": self.p_value,
        }


def compare_systems(outcomes: Iterable[Outcome]) -> list[Comparison]:
    """Compare each pair of systems: all conditions together, then each condition.

    Parameters
    ----------
    outcomes : iterable of Outcome

    Returns
    -------
    list of Comparison
        By pair, query length, metric and condition. Empty with fewer than two systems.
    """
    by_system: dict[str, dict[Query, Outcome]] = {}
    for outcome in outcomes:
        by_system.setdefault(outcome.system, {})[outcome.query] = outcome
    comparisons = []
    for first, second in combinations(by_system, 2):
        groups: dict[tuple[float, str, str], list[tuple[Outcome, Outcome]]] = {}
        for query, outcome in by_system[first].items():
            other = by_system[second].get(query)
            if other is None:
                continue
            for metric in COMPARED_METRICS[query.present]:
                for condition in (ALL_CONDITIONS, query.condition):
                    groups.setdefault((query.length_s, metric, condition), []).append((outcome, other))
        comparisons += [_compare(pairs, *key) for key, pairs in groups.items()]
    return comparisons


def _compare(
    pairs: Sequence[tuple[Outcome, Outcome]], length_s: float, metric: str, condition: str
) -> Comparison:
    hits = [(count_for(first, metric), count_for(second, metric)) for first, second in pairs]
    recordings = [first.query.path for first, _ in pairs]
    low, high = cluster_bootstrap([int(a) - int(b) for a, b in hits], recordings, bounds=(-1.0, 1.0))
    only_first, only_second = sum(a and not b for a, b in hits), sum(b and not a for a, b in hits)
    return Comparison(
        pairs[0][0].system,
        pairs[0][1].system,
        condition,
        length_s,
        metric,
        queries=len(pairs),
        recordings=len(set(recordings)),
        only_first=only_first,
        only_second=only_second,
        interval=(float(low), float(high)),
        p_value=mcnemar(only_first, only_second),
    )


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the two-sided p-value of McNemar's exact test.

    Parameters
    ----------
    only_first, only_second : int
        Discordant queries.
    """
    discordant = only_first + only_second
    if not discordant:
        return 1.0
    return float(load_scipy().binomtest(only_first, discordant, 0.5).pvalue)
