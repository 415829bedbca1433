"""Finding the stored fingerprints nearest to a query's."""

from earprint.index.base import Index
from earprint.index.exact import ExactIndex

__all__ = ["ExactIndex", "Index"]
