"""The demonstration's answers: one row per question, and their tally.

Conventions: times in seconds. An answer is right if it names the right recording (or none, for an
absent one), and located if in addition its position is within `LOCATED_S`.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np

LOCATED_S: Final = 0.1
"""Largest error of a position that counts as located, in seconds."""


@dataclass(frozen=True)
class Row:
    """One question and its answer.

    Attributes
    ----------
    asked : str
        Title of the recording the excerpt is from.
    asked_s : float
        Where in it the excerpt begins.
    length_s : float
        Length of the excerpt.
    condition : str
        One of `earprint.demo.excerpts.CONDITIONS`.
    absent : bool
        Whether the recording is not in the library, so that "no match" is the right answer.
    answered : str or None
        Title of the answer; None is "no match".
    answered_s : float or None
        Where in the answer the excerpt is said to begin.
    score : float or None
        Score of the answer, or of the best guess that was not good enough; None without a guess.
    right, located : bool
        See the module's conventions; an absent recording is never located.
    seconds : float
        Time the library took to answer.
    """

    asked: str
    asked_s: float
    length_s: float
    condition: str
    absent: bool
    answered: str | None
    answered_s: float | None
    score: float | None
    right: bool
    located: bool
    seconds: float


@dataclass(frozen=True)
class Tally:
    """The demonstration in numbers.

    Attributes
    ----------
    tracks, audio_s : int, float
        Recordings in the library, and their length together.
    add_seconds : float
        Time that adding them took.
    present, found, located : int
        Questions about recordings in the library; how many were answered with the right recording,
        and how many of those within `LOCATED_S`.
    absent, refused : int
        Questions about recordings not in the library, and how many were answered "no match".
    median_answer_s : float
        Median time of an answer.
    failed : list of str
        One line for each file that could not take part.
    files_left_out : int
        Files of the folder beyond `MOST_FILES`.
    """

    tracks: int
    audio_s: float
    add_seconds: float
    present: int
    found: int
    located: int
    absent: int
    refused: int
    median_answer_s: float
    failed: list[str] = field(default_factory=list)
    files_left_out: int = 0

    @property
    def times_real_time(self) -> float:
        """Seconds of audio added per second."""
        return self.audio_s / self.add_seconds if self.add_seconds > 0 else 0.0


@dataclass(frozen=True)
class Demonstration:
    """All questions and answers, and their tally."""

    rows: list[Row]
    tally: Tally

    def to_dict(self) -> dict[str, Any]:
        """Give plain dictionaries and lists, for JSON."""
        return asdict(self)


def count(
    rows: Sequence[Row],
    tracks: int,
    audio_s: float,
    add_seconds: float,
    failed: list[str],
    left_out: int,
) -> Tally:
    """Count right answers; ``left_out`` are the files of the folder that did not take part."""
    present = [row for row in rows if not row.absent]
    absent = [row for row in rows if row.absent]
    return Tally(
        tracks=tracks,
        audio_s=audio_s,
        add_seconds=add_seconds,
        present=len(present),
        found=sum(row.right for row in present),
        located=sum(row.located for row in present),
        absent=len(absent),
        refused=sum(row.right for row in absent),
        median_answer_s=float(np.median([row.seconds for row in rows])) if rows else 0.0,
        failed=failed,
        files_left_out=left_out,
    )
