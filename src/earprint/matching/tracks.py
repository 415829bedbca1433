"""The tracks of an index, and the alignments of a query with them.

An index numbers the rows of all tracks consecutively. `TrackTable` maps such a row to its track and to its
position in that track. `Alignment` is a result of either method. `leads` compares each score with the next
one.

Times are in seconds from the beginning of a track. If a query begins at time s of a track, the window of its
row i begins at ``s + i * query_hop_s``; rows before the query (margin rows) have negative i.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Alignment:
    """A position of the query in a track.

    Attributes
    ----------
    track : int
        Position of the track in the `TrackTable`.
    start_s : float
        Time in the track at which the query begins, in seconds; negative if the query begins
        before the track.
    score : float
        At most 1. `search_aligned` returns a normalised similarity, `search_paper` a share of votes.
    speed : float
        Playback speed of the query. At 1.03 it is played 3 % faster than the recording.
    level : float
        Cohort level of the query; 0 for `search_paper`.
    """

    track: int
    start_s: float
    score: float
    speed: float = 1.0
    level: float = 0.0


class TrackTable:
    """The rows of an index that belong to each track.

    Parameters
    ----------
    first_row : array_like of int, shape (tracks,)
        First row of each track, ascending.
    n_rows : array_like of int, shape (tracks,)
        Number of rows of each track. Tracks must not overlap; rows between them belong to none.

    Raises
    ------
    ValueError
        If the tracks are not in order or overlap.

    Examples
    --------
    >>> import numpy as np
    >>> from earprint.matching import TrackTable
    >>> table = TrackTable(first_row=[0, 100], n_rows=[100, 50])
    >>> tracks, track_rows = table.locate(np.array([7, 120, 150]))
    >>> tracks.tolist(), track_rows.tolist()
    ([0, 1, -1], [7, 20, -1])
    """

    def __init__(self, first_row: Sequence[int], n_rows: Sequence[int]) -> None:
        self.first_row: NDArray[np.int64] = np.asarray(first_row, dtype=np.int64)
        self.n_rows: NDArray[np.int64] = np.asarray(n_rows, dtype=np.int64)
        if self.first_row.ndim != 1 or self.first_row.shape != self.n_rows.shape:
            raise ValueError("first_row and n_rows are one number per track each")
        if np.any(self.n_rows < 0) or np.any(self.first_row[1:] < self.first_row[:-1] + self.n_rows[:-1]):
            raise ValueError("tracks overlap or are not in the order of their rows")

    def __len__(self) -> int:
        """Return the number of tracks."""
        return len(self.first_row)

    def locate(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the track of each row, and the row's position in it.

        Parameters
        ----------
        rows : ndarray of int64, any shape
            Rows of the index, or -1 for none.

        Returns
        -------
        tracks, track_rows : ndarray of int64, same shape
            Both -1 where the row belongs to no track.
        """
        if not len(self):
            return np.full_like(rows, -1), np.full_like(rows, -1)
        tracks = np.searchsorted(self.first_row, rows, side="right") - 1
        track_rows = rows - self.first_row[tracks]
        located = (tracks >= 0) & (rows >= 0) & (track_rows < self.n_rows[tracks])
        return np.where(located, tracks, -1), np.where(located, track_rows, -1)


def leads(alignments: Sequence[Alignment]) -> list[float]:
    """Return the lead of each alignment: its score minus that of the next one, or minus 0 for the last one.

    Parameters
    ----------
    alignments : sequence of Alignment
        One per track, best first.

    Returns
    -------
    list of float

    Examples
    --------
    >>> from earprint.matching import Alignment, leads
    >>> leads([Alignment(0, 0.0, score=0.75), Alignment(1, 0.0, score=0.5)])
    [0.25, 0.5]
    """
    scores = [alignment.score for alignment in alignments]
    return [score - following for score, following in zip(scores, [*scores[1:], 0.0], strict=False)]
