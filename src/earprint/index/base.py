"""What every index answers: which stored rows lie nearest to each query row.

All fingerprints of a library that may be answered form one *row space*: row 0 to ``len(index) -
1``, one track's rows after another. An index finds rows; which track a row belongs to is the
business of `earprint.matching.TrackTable`. Similarity is the inner product, the cosine for unit
vectors.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Index(Protocol):
    """A searchable row space of fingerprints.

    Attributes
    ----------
    proposing_rows : int
        Query rows, evenly spread over a query, that are worth a search at most. What they hit only proposes
        places; the whole query is compared there.
    """

    proposing_rows: int

    def __len__(self) -> int:
        """Rows in the row space."""
        ...

    def search(self, queries: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Find the rows with the largest inner products.

        Only rows with a product above zero are hits, so silent rows (all zeros) neither find
        anything nor are found.

        Parameters
        ----------
        queries : ndarray of float32, shape (n, dim)
        k : int
            Hits wanted per query row.

        Returns
        -------
        scores : ndarray of float32, shape (n, k)
            Inner products, largest first; 0 where there is no hit.
        rows : ndarray of int64, shape (n, k)
            Rows hit; -1 where there is no hit.
        """
        ...

    def vectors(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return the vectors of rows ``start`` to ``stop`` (exclusive), (stop - start, dim)."""
        ...

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the vectors of any rows, in the order asked for, (len(rows), dim)."""
        ...
