"""Finding the stored fingerprints nearest to a query's."""

from earprint.index.base import Index
from earprint.index.exact import ExactIndex
from earprint.index.factory import IndexName, make_index
from earprint.index.inverted import InvertedIndex, Span
from earprint.index.ivf_scan import SegmentLists
from earprint.index.rows import Rows

__all__ = [
    "ExactIndex",
    "Index",
    "IndexName",
    "InvertedIndex",
    "Rows",
    "SegmentLists",
    "Span",
    "make_index",
]
