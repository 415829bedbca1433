"""The interface of an index, and what the indexes here share.

An index is a nearest-neighbour search over all fingerprints of a library. These form one sequence of rows,
0 to ``len(index) - 1``: the rows of one track after those of another. Similarity is the inner product,
which is the cosine, since fingerprints are unit vectors. `earprint.matching.TrackTable` maps rows to
tracks.
"""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from earprint.index.rows import Rows

Hits = tuple[NDArray[np.float32], NDArray[np.int64]]
"""Scores and rows of the hits of n query rows, shape (n, k) each; see `Index.search`."""


@runtime_checkable
class Index(Protocol):
    """The interface of an index: any object with these attributes and methods is one.

    `earprint.Library` takes a callable that makes one of `earprint.index.Rows`. `earprint.index.BaseIndex`
    implements everything but `search`; ``docs/how-to/add-an-index.md`` of the repository has a complete
    example.

    Attributes
    ----------
    max_query_rows : int
        Most rows of a query that are worth a search. They are spread evenly over the query. Their hits only
        propose positions, at which the whole query is then compared.

    Examples
    --------
    >>> import numpy as np
    >>> import earprint
    >>> from earprint.index import ExactIndex, Rows
    >>> from earprint.quantization.storage import HalfStorage
    >>> index = ExactIndex(Rows([np.eye(3, dtype=np.float16)], HalfStorage(3)))
    >>> isinstance(index, earprint.Index)
    True
    >>> scores, rows = index.search(np.array([[0.6, 0.8, 0]], dtype=np.float32), k=2)
    >>> scores, rows
    (array([[0.8, 0.6]], dtype=float32), array([[1, 0]]))
    """

    max_query_rows: int

    def __len__(self) -> int:
        """Return the number of rows."""
        ...

    def search(self, queries: NDArray[np.float32], k: int) -> Hits:
        """Find the rows with the largest inner products.

        Only inner products above 0 are hits, so silent rows (all zeros) neither find anything nor are found.

        Parameters
        ----------
        queries : ndarray of float32, shape (n, dim)
        k : int
            Number of hits per query row.

        Returns
        -------
        scores : ndarray of float32, shape (n, k)
            Inner products, largest first; 0 where there is no hit.
        rows : ndarray of int64, shape (n, k)
            Rows of the hits; -1 where there is no hit.
        """
        ...

    def vectors(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return the vectors of rows ``start`` to ``stop`` (exclusive), shape (stop - start, dim)."""
        ...

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the vectors of any rows, in the given order, shape (len(rows), dim)."""
        ...


IndexFactory = Callable[[Rows], Index]
"""Makes an index of a library's rows; an `Index` class whose constructor takes them is one."""


class BaseIndex:
    """An `Index` without `search`: keeps the rows and returns their vectors.

    Parameters
    ----------
    rows : Rows
    """

    max_query_rows: int = 512

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._rows)

    def vectors(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return the vectors of rows ``start`` to ``stop`` (exclusive), see `Rows.vectors`."""
        return self._rows.vectors(start, stop)

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the vectors of any rows, see `Rows.take`."""
        return self._rows.take(rows)


def check_queries(queries: NDArray[np.float32], k: int, dim: int) -> NDArray[np.float32]:
    """Return the query rows of a search as contiguous float32.

    Raises
    ------
    ValueError
        If their shape is not (n, dim), or ``k`` is less than 1.
    """
    if k < 1:
        raise ValueError(f"k is {k}; ask for at least one hit")
    if queries.ndim != 2 or queries.shape[1] != dim:
        raise ValueError(f"queries of shape {queries.shape} are not {dim}-d vectors")
    return np.ascontiguousarray(queries, dtype=np.float32)


def no_hits(n: int, k: int) -> Hits:
    """Return scores and rows without any hit, shape (n, k) each."""
    return np.zeros((n, k), dtype=np.float32), np.full((n, k), -1, dtype=np.int64)


def best_hits(scores: NDArray[np.float32], rows: NDArray[np.int64], k: int) -> Hits:
    """Keep the k best hits of each query row; a score of 0 or less is no hit.

    Parameters
    ----------
    scores : ndarray of float32, shape (n, m)
    rows : ndarray of int64, shape (n, m)
        -1 for none.
    k : int
        At most m.

    Returns
    -------
    scores, rows : ndarray, shape (n, k) each
        See `Index.search`.

    Examples
    --------
    >>> import numpy as np
    >>> from earprint.index.base import best_hits
    >>> best_hits(np.array([[0.2, 0.9, -0.5]], dtype=np.float32), np.array([[4, 7, 9]]), k=3)
    (array([[0.9, 0.2, 0. ]], dtype=float32), array([[ 7,  4, -1]]))
    """
    hit = (scores > 0) & (rows >= 0)
    scores = np.where(hit, scores, np.float32(0))
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return (
        np.take_along_axis(scores, order, axis=1),
        np.take_along_axis(np.where(hit, rows, -1), order, axis=1),
    )
