"""Compare a query with the tracks of an index, by either method.

`search` is what `earprint.library` and `earprint.evaluation` call. It takes the fingerprints of a recording
and passes them to `search_aligned` or to `search_paper`. The BLAS library uses one thread meanwhile, because
the matrices are small.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from earprint.encoders.base import Fingerprints
from earprint.index.base import Index
from earprint.matching.aligned import search_aligned
from earprint.matching.paper import search_paper
from earprint.matching.tracks import Alignment, TrackTable
from earprint.parallel.blas_threads import one_thread_for_products

Method = Literal["aligned", "paper"]
"""Name of a method: `search_aligned` or `search_paper`."""


def search(
    query: Fingerprints,
    index: Index,
    table: TrackTable,
    *,
    ratio: int,
    method: Method = "aligned",
    cohort: NDArray[np.float32] | None = None,
) -> list[Alignment]:
    """Find the alignments of a query with the tracks of an index.

    Parameters
    ----------
    query : Fingerprints
        At the query hop.
    index : Index
    table : TrackTable
    ratio : int
        Reference hop divided by query hop.
    method : {"aligned", "paper"}
        "paper" returns an alignment for any share of votes. The caller compares its score with
        `earprint.matching.MIN_VOTE_SHARE`.
    cohort : ndarray of float32, shape (m, dim), optional
        Unit vectors that normalise scores, see `earprint.matching.score_normalisation`. "paper" does not use
        them.

    Returns
    -------
    list of Alignment
        Best first, at most one per track.
    """
    with one_thread_for_products():
        if method == "paper":
            rows = query.vectors[query.margin_rows : len(query.vectors) - query.margin_rows]
            return search_paper(rows, index, table, query_hop_s=query.hop_s, ratio=ratio, min_vote_share=0.0)
        return search_aligned(
            query.vectors,
            index,
            table,
            query_hop_s=query.hop_s,
            ratio=ratio,
            margin_rows=query.margin_rows,
            cohort=cohort,
        )
