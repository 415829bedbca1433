"""Whose row is it: the table from rows of an index to tracks, and the shape of an answer.

Times are in seconds from the beginning of a track. A query row ``i`` speaks for the window that
begins ``i * query_hop_s`` into the query, so a query that begins at time s of a track has its row
i at ``s + i * query_hop_s``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Alignment:
    """One way of laying the query over a track.

    Attributes
    ----------
    track : int
        Position of the track in the `TrackTable`.
    start_s : float
        Time in the track at which the query begins, in seconds; negative if the query begins
        earlier.
    score : float
        How well they agree, 1 at best; its meaning is the method's, see `search_aligned` and
        `search_paper`.
    speed : float
        Of the query: at 1.03 it runs 3 % faster than the recording.
    """

    track: int
    start_s: float
    score: float
    speed: float = 1.0


class TrackTable:
    """Which rows of an index belong to which track.

    Parameters
    ----------
    first_row : array_like of int, shape (tracks,)
        First row of each track, ascending.
    n_rows : array_like of int, shape (tracks,)
        Rows of each track. Tracks must not overlap; rows between them belong to none.

    Raises
    ------
    ValueError
        If the tracks are not in order or overlap.
    """

    def __init__(self, first_row: Sequence[int], n_rows: Sequence[int]) -> None:
        self.first_row: NDArray[np.int64] = np.asarray(first_row, dtype=np.int64)
        self.n_rows: NDArray[np.int64] = np.asarray(n_rows, dtype=np.int64)
        if self.first_row.ndim != 1 or self.first_row.shape != self.n_rows.shape:
            raise ValueError("first_row and n_rows are one number per track each")
        if np.any(self.n_rows < 0) or np.any(self.first_row[1:] < self.first_row[:-1] + self.n_rows[:-1]):
            raise ValueError("tracks overlap or are not in the order of their rows")

    def __len__(self) -> int:
        """Tracks in the table."""
        return len(self.first_row)

    def locate(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Find the track of each row, and the row's place in it.

        Parameters
        ----------
        rows : ndarray of int64, any shape
            Rows of the index; -1 for none.

        Returns
        -------
        track, place : ndarray of int64, same shape
            Both -1 where the row belongs to no track.
        """
        if not len(self):
            return np.full_like(rows, -1), np.full_like(rows, -1)
        track = np.searchsorted(self.first_row, rows, side="right") - 1
        place = rows - self.first_row[track]
        owned = (track >= 0) & (rows >= 0) & (place < self.n_rows[track])
        return np.where(owned, track, -1), np.where(owned, place, -1)


def leads(alignments: Sequence[Alignment]) -> list[float]:
    """Lead of each alignment's score over that of the next track; of the last one, over 0.

    Parameters
    ----------
    alignments : sequence of Alignment
        One per track, best first.

    Returns
    -------
    list of float
    """
    scores = [alignment.score for alignment in alignments]
    return [score - following for score, following in zip(scores, [*scores[1:], 0.0], strict=False)]
