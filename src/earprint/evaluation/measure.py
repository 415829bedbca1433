"""What is counted: hits, places, false accepts, with intervals.

Metrics per condition and query length, each a share of the queries put:

- top-1: the best candidate is the right recording, whatever its score (the paper's identification);
- answered: the right recording is the answer, its score at or above the threshold;
- wrong: another recording is the answer;
- located: answered, and the start is within a tolerance (50 ms is the paper's equation 6);
- located or repeat: located within 100 ms, or at a place where the recording holds the very same sound
  (see `earprint.evaluation.repeats`);
- false accept: of queries whose recording is not in the library, those answered at all.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from earprint.evaluation.queries import Query
from earprint.library import Library

TOLERANCES_S = (0.05, 0.1)
"""Tolerances of the located metric, in seconds."""

FALSE_ACCEPT_SHARE = 0.01
"""Share of absent queries that may reach the score that `thresholds` gives."""


@dataclass(frozen=True)
class Outcome:
    """A query and its answer.

    Attributes
    ----------
    query : Query
    right_track : bool
        The best candidate is the query's recording.
    score : float
        The best candidate's; 0 if there was none.
    lead : float
        Over the next candidate.
    accepted : bool
        At or above the threshold.
    error_s : float or None
        Answered minus true start, if the track is right.
    seconds : float
        Time to answer.
    repeat : bool
        The answer is another place of the right recording with the same sound.
    system : str
        Who answered.
    """

    query: Query
    right_track: bool
    score: float
    lead: float
    accepted: bool
    error_s: float | None
    seconds: float
    repeat: bool = False
    system: str = "earprint"

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON-ready data."""
        return {
            **self.query.to_dict(),
            "right_track": self.right_track,
            "score": round(self.score, 4),
            "lead": round(self.lead, 4),
            "accepted": self.accepted,
            "error_s": None if self.error_s is None else round(self.error_s, 4),
            "seconds": round(self.seconds, 4),
            "repeat": self.repeat,
            "system": self.system,
        }


def ask(
    library: Library,
    queries: Iterable[tuple[Query, NDArray[np.float32]]],
    expected: Mapping[Path, int],
    method: Literal["aligned", "paper"] = "aligned",
) -> Iterator[Outcome]:
    """Identify rendered queries against a library, yielding outcomes one by one.

    Parameters
    ----------
    library : Library
    queries : iterable of (Query, ndarray of float32, shape (n,))
        As `earprint.evaluation.queries.render` gives them.
    expected : mapping of Path to int
        The track of each recording; absent recordings have none.
    method : {"aligned", "paper"}

    Yields
    ------
    Outcome
    """
    for query, audio in queries:
        answer = library.identify(audio, top=2, method=method)
        best = answer.candidates[0] if answer.candidates else None
        right = best is not None and best.track.id == expected.get(query.path)
        yield Outcome(
            query,
            right_track=right,
            score=best.score if best else 0.0,
            lead=best.lead if best else 0.0,
            accepted=answer.match is not None,
            error_s=best.start_s - query.start_s if best is not None and right else None,
            seconds=answer.seconds,
        )


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
    located : dict of float to int
        By tolerance, in seconds.
    repeats : int
        Answered, elsewhere in the right recording where the same sound is.
    accepted : int
        Answered at all, rightly or wrongly.
    median_error_s : float or None
        Of the absolute errors of right answers; None without any.
    median_seconds : float
        Time to answer.
    """

    system: str
    condition: str
    length_s: float
    present: bool
    queries: int
    top_1: int
    answered: int
    wrong: int
    located: dict[float, int]
    repeats: int
    accepted: int
    median_error_s: float | None
    median_seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return shares in percent with their 95 % intervals, JSON-ready."""
        counts = {"top_1": self.top_1, "answered": self.answered, "wrong": self.wrong}
        counts |= {f"located_{1000 * t:g}_ms": count for t, count in self.located.items()}
        counts["located_or_repeat"] = self.located[TOLERANCES_S[-1]] + self.repeats
        if not self.present:
            counts = {"false_accept": self.accepted}
        shares = {name: _percent(count, self.queries) for name, count in counts.items()}
        return {
            "system": self.system,
            "condition": self.condition,
            "length_s": self.length_s,
            "queries": self.queries,
            **shares,
            "median_error_ms": None if self.median_error_s is None else round(1000 * self.median_error_s, 1),
            "median_ms_per_query": round(1000 * self.median_seconds, 1),
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
        right = [outcome for outcome in mine if outcome.right_track and outcome.accepted]
        errors = np.abs([outcome.error_s for outcome in right if outcome.error_s is not None])
        rows.append(
            Row(
                system,
                condition,
                length_s,
                present,
                queries=len(mine),
                top_1=sum(outcome.right_track for outcome in mine),
                answered=len(right),
                wrong=sum(outcome.accepted and not outcome.right_track for outcome in mine) if present else 0,
                located={t: int((errors <= t).sum()) for t in TOLERANCES_S},
                repeats=sum(outcome.repeat for outcome in right),
                accepted=sum(outcome.accepted for outcome in mine),
                median_error_s=float(np.median(errors)) if len(errors) else None,
                median_seconds=float(np.median([outcome.seconds for outcome in mine])),
            )
        )
    return rows


@dataclass(frozen=True)
class Threshold:
    """A score that few absent recordings reach, for queries of one length.

    Attributes
    ----------
    system : str
    length_s : float
    score : float
        What `FALSE_ACCEPT_SHARE` of the absent queries score or more, all conditions together.
    absent : int
        Absent queries that it was read from.
    right : float
        Share of the present queries whose recording is best and scores as much.
    """

    system: str
    length_s: float
    score: float
    absent: int
    right: float

    def describe(self) -> str:
        """Say it in one line."""
        return (
            f"{self.system}, {self.length_s:g} s: {100 * FALSE_ACCEPT_SHARE:g} % of {self.absent:,} absent "
            f"queries score {self.score:.3f} or more, and so do the right answers to "
            f"{100 * self.right:.1f} % of the present ones"
        )


def thresholds(outcomes: Sequence[Outcome]) -> list[Threshold]:
    """Read off, for each system and query length, the score that keeps false accepts rare.

    Returns
    -------
    list of Threshold
        None for lengths without absent queries.
    """
    found = []
    for system, length_s in dict.fromkeys((o.system, o.query.length_s) for o in outcomes):
        mine = [o for o in outcomes if o.system == system and o.query.length_s == length_s]
        absent = [o.score for o in mine if not o.query.present]
        present = [o for o in mine if o.query.present]
        if not absent:
            continue
        score = float(np.quantile(absent, 1 - FALSE_ACCEPT_SHARE))
        right = np.mean([o.right_track and o.score >= score for o in present]) if present else 0.0
        found.append(Threshold(system, length_s, score, len(absent), float(right)))
    return found


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
