"""From nearest fingerprints to an answer: which track, and where in it the query begins.

Two methods share one shape of question and answer: `search_aligned`, the default, and
`search_paper`, the paper's sequence search. Both are pure functions over the query's
fingerprints, an `earprint.index.Index` and the `TrackTable` that says which rows are whose.
"""

from earprint.matching.aligned import search_aligned
from earprint.matching.paper import AGREEMENT, search_paper
from earprint.matching.tracks import Alignment, TrackTable, leads

__all__ = ["AGREEMENT", "Alignment", "TrackTable", "leads", "search_aligned", "search_paper"]
