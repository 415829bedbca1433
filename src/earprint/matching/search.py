"""A recording's fingerprints in, alignments out, by either method."""

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
"""Every alignment re-scored, or as in the paper."""


def search(
    query: Fingerprints,
    index: Index,
    table: TrackTable,
    *,
    ratio: int,
    method: Method = "aligned",
    sounds: NDArray[np.float32] | None = None,
) -> list[Alignment]:
    """Find the alignments of a query with the tracks of an index, best first, at most one per track.

    Parameters
    ----------
    query : Fingerprints
        On the query grid.
    index : Index
    table : TrackTable
    ratio : int
        Reference hop divided by query hop.
    method : {"aligned", "paper"}
        For "paper" any agreement counts: its rule that half must agree is left to the caller.
    sounds : ndarray of float32, shape (m, dim), optional
        What scores are set against, see `earprint.matching.score_normalisation`: those of the model's codebook.
        The paper's method does not use them.

    Returns
    -------
    list of Alignment
    """
    with one_thread_for_products():
        if method == "paper":
            rows = query.vectors[query.margin_rows : len(query.vectors) - query.margin_rows]
            return search_paper(rows, index, table, query_hop_s=query.hop_s, ratio=ratio, agreement=0.0)
        return search_aligned(
            query.vectors,
            index,
            table,
            query_hop_s=query.hop_s,
            ratio=ratio,
            beyond=query.margin_rows,
            sounds=sounds,
        )
