"""Commits of `add`: finished tracks are collected and stored in batches."""

from collections.abc import Callable, Sequence

from earprint.quantization.storage import Stored
from earprint.store.catalogue import NewTrack
from earprint.store.results import Track
from earprint.store.store import Settings

Encoded = tuple[NewTrack, Stored]
"""A track and its stored rows, shape (n_rows, width)."""

Commit = Callable[[Sequence[Encoded]], tuple[list[Track], list[Track]]]
"""Stores a batch; returns the tracks added and the tracks replaced."""


class CommitBuffer:
    """Collects finished tracks and commits them in batches.

    A batch is committed after ``commit_rows`` rows, or after some seconds. The interval doubles from
    ``first_commit_s`` to ``longest_commit_s``: a short run loses little when it is killed, and a long one
    makes few segments.

    Parameters
    ----------
    commit : callable
        Stores a batch.
    settings : Settings

    Attributes
    ----------
    added, replaced : list of Track
        Of all commits.
    """

    def __init__(self, commit: Commit, settings: Settings) -> None:
        self.added: list[Track] = []
        self.replaced: list[Track] = []
        self._commit = commit
        self._settings = settings
        self._batch: list[Encoded] = []
        self._committed_at = settings.clock()
        self._interval_s = settings.first_commit_s

    def add(self, encoded: Encoded) -> None:
        """Add a finished track to the batch."""
        self._batch.append(encoded)

    def due_in_s(self) -> float:
        """Return the time until a batch is due, in seconds; 0 or less if it is due."""
        interval_s = min(self._interval_s, self._settings.longest_commit_s)
        return interval_s - (self._settings.clock() - self._committed_at)

    def flush_if_due(self) -> None:
        """Commit the batch if it is large or old enough."""
        rows = sum(len(vectors) for _, vectors in self._batch)
        if rows >= self._settings.commit_rows or self.due_in_s() <= 0:
            self.flush()

    def flush(self) -> None:
        """Commit the batch."""
        batch, self._batch = self._batch, []
        if batch:
            added, replaced = self._commit(batch)
            self.added.extend(added)
            self.replaced.extend(replaced)
            self._interval_s *= 2
            self._committed_at = self._settings.clock()
