"""Compare the fingerprints of a query with those of stored tracks.

The input is a query's fingerprints, an index (`earprint.index.Index`) and a `TrackTable`, which says which
rows of the index belong to which track. The output is a list of `Alignment`: a track, the time in it at which
the query begins, and a score.

There are two methods. `search_aligned` is the default; `earprint.matching.aligned` explains it step by step.
`search_paper` is the sequence search of the paper. `search` calls either one by name. All three are pure
functions.
"""

from earprint.matching.aligned import SearchLimits, search_aligned
from earprint.matching.paper import MIN_VOTE_SHARE, search_paper
from earprint.matching.search import Method, search
from earprint.matching.tracks import Alignment, TrackTable, leads

__all__ = [
    "MIN_VOTE_SHARE",
    "Alignment",
    "Method",
    "SearchLimits",
    "TrackTable",
    "leads",
    "search",
    "search_aligned",
    "search_paper",
]
