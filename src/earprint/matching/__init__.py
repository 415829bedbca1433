"""From nearest fingerprints to an answer: which track, and where in it the query begins.

Two methods share one shape of question and answer: `search_aligned`, the default, and
`search_paper`, the paper's sequence search; `search` takes either by name. All are pure functions over the
query's fingerprints, an `earprint.index.Index` and the `TrackTable` that says which rows are whose.
"""

from earprint.matching.aligned import search_aligned
from earprint.matching.paper import AGREEMENT, search_paper
from earprint.matching.search import Method, search
from earprint.matching.tracks import Alignment, TrackTable, leads

__all__ = [
    "AGREEMENT",
    "Alignment",
    "Method",
    "TrackTable",
    "leads",
    "search",
    "search_aligned",
    "search_paper",
]
