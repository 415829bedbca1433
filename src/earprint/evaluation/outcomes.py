"""The outcome of a query: which system answered, what, and how accurately. Times are in seconds."""

from dataclasses import dataclass
from typing import Any

from earprint.evaluation.query import Query

TOP = 5
"""Candidates that the top-5 metric looks at."""


@dataclass(frozen=True)
class Outcome:
    """A query and its answer.

    Attributes
    ----------
    query : Query
    right_track : bool
        The best candidate is the query's recording.
    score : float
        Score of the best candidate; 0 if there is none.
    lead : float
        That score minus the score of the next candidate.
    accepted : bool
        The score is at or above the system's threshold.
    error_s : float or None
        Answered minus true start, if the track is right.
    seconds : float
        Time to answer; the mean of a batch for queries that were answered together.
    repeat : bool
        The answer is another place of the right recording that holds the same sound.
    system : str
        Name of the system.
    top_5 : bool or None
        The query's recording is among the first five candidates; None if the system gives only one.
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
    top_5: bool | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON-ready data."""
        return {
            **self.query.to_dict(),
            "right_track": self.right_track,
            "top_5": self.top_5,
            "score": round(self.score, 4),
            "lead": round(self.lead, 4),
            "accepted": self.accepted,
            "error_s": None if self.error_s is None else round(self.error_s, 4),
            "seconds": round(self.seconds, 4),
            "repeat": self.repeat,
            "system": self.system,
        }
