"""Nearest-neighbour search over the stored fingerprints of a library."""

from earprint.index.base import BaseIndex, Index, IndexFactory, best_hits
from earprint.index.exact import ExactIndex
from earprint.index.factory import IndexChoice, index_names, make_index
from earprint.index.inverted import InvertedIndex, Span
from earprint.index.ivf_scan import SegmentLists
from earprint.index.rows import Rows

__all__ = [
    "BaseIndex",
    "ExactIndex",
    "Index",
    "IndexChoice",
    "IndexFactory",
    "InvertedIndex",
    "Rows",
    "SegmentLists",
    "Span",
    "best_hits",
    "index_names",
    "make_index",
]
