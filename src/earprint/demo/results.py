"""Results of the demonstration: one row for each query, and a summary.

An answer is correct if it names the right recording, or none for an absent recording. It is located if, in
addition, its position is within `LOCATED_S` of the true one. Times are in seconds.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np

LOCATED_S: Final = 0.1
"""Largest error of a position that counts as located, in seconds."""


@dataclass(frozen=True)
class DemoQuery:
    """One query and its answer.

    Attributes
    ----------
    title : str
        Recording that the excerpt was cut from.
    start_s : float
        Start of the excerpt in it.
    length_s : float
        Length of the excerpt.
    condition : str
        One of `earprint.demo.excerpts.CONDITIONS`.
    absent : bool
        Whether the recording is not in the library, so that "no match" is the correct answer.
    answer : str or None
        Title of the recording that was identified; None for "no match".
    answer_start_s : float or None
        Position of the excerpt in it.
    score : float or None
        Score of the answer, or of the best candidate below the threshold; None without a candidate.
    correct, located : bool
        See the module's docstring; an absent recording is never located.
    seconds : float
        Time that identification took.
    """

    title: str
    start_s: float
    length_s: float
    condition: str
    absent: bool
    answer: str | None
    answer_start_s: float | None
    score: float | None
    correct: bool
    located: bool
    seconds: float


@dataclass(frozen=True)
class DemoSummary:
    """The demonstration in numbers.

    Attributes
    ----------
    n_tracks, audio_s : int, float
        Recordings in the library, and their total length.
    add_seconds : float
        Time that adding them took.
    present, found, located : int
        Queries of recordings in the library; how many of them were answered correctly, and how many of those
        were located.
    absent, rejected : int
        Queries of recordings not in the library, and how many of them were answered "no match".
    median_answer_s : float
        Median time of identification.
    failed : list of str
        One line for each file that could not be used.
    files_left_out : int
        Files of the folder that were not drawn.
    """

    n_tracks: int
    audio_s: float
    add_seconds: float
    present: int
    found: int
    located: int
    absent: int
    rejected: int
    median_answer_s: float
    failed: list[str] = field(default_factory=list)
    files_left_out: int = 0

    @property
    def times_real_time(self) -> float:
        """Seconds of audio added per second."""
        return self.audio_s / self.add_seconds if self.add_seconds > 0 else 0.0


@dataclass(frozen=True)
class DemoResult:
    """All queries with their answers, and the summary."""

    queries: list[DemoQuery]
    summary: DemoSummary

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain dictionaries and lists, for JSON."""
        return asdict(self)


def summarise(
    queries: Sequence[DemoQuery],
    *,
    n_tracks: int,
    audio_s: float,
    add_seconds: float,
    failed: list[str],
    files_left_out: int,
) -> DemoSummary:
    """Count correct answers; see `DemoSummary` for the parameters."""
    present = [query for query in queries if not query.absent]
    absent = [query for query in queries if query.absent]
    return DemoSummary(
        n_tracks=n_tracks,
        audio_s=audio_s,
        add_seconds=add_seconds,
        present=len(present),
        found=sum(query.correct for query in present),
        located=sum(query.located for query in present),
        absent=len(absent),
        rejected=sum(query.correct for query in absent),
        median_answer_s=float(np.median([query.seconds for query in queries])) if queries else 0.0,
        failed=failed,
        files_left_out=files_left_out,
    )
