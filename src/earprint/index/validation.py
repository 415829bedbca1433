"""Checks of an index of another program, and of what it returns."""

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from earprint.errors import EarprintError, LibraryError
from earprint.index.base import Hits, Index

if TYPE_CHECKING:
    from collections.abc import Callable

OWN_PACKAGE: Final = "earprint."
"""How the modules of indexes begin that need no check."""


def check_index(made: Any, maker: object, n_rows: int) -> Index:
    """Return an index that another program made, in a `CheckedIndex`; those of this package as they are.

    Parameters
    ----------
    made : object
    maker : object
        What made it, for messages.
    n_rows : int
        Number of rows that it must have.

    Raises
    ------
    LibraryError
        If it is no `Index`, or has another number of rows.
    """
    if type(made).__module__.startswith(OWN_PACKAGE) and isinstance(made, Index):
        return made
    name = name_of(maker)
    if not isinstance(made, Index) or isinstance(made, type):
        kind = f"the class {made.__name__}" if isinstance(made, type) else f"a {type(made).__name__}"
        raise LibraryError(f"the index that {name} returned is {kind}, not an Index; mend {name}")
    index = CheckedIndex(made)
    if len(index) != n_rows:
        raise LibraryError(
            f"the index that {name} returned has {len(index)} rows instead of {n_rows}; mend {name}"
        )
    return index


class CheckedIndex:
    """An index of another program, whose errors and results are checked.

    Parameters
    ----------
    index : Index

    Raises
    ------
    LibraryError
        From every method, if the index raises an error or returns something else than `Index` promises.
    """

    def __init__(self, index: Index) -> None:
        self._index = index
        self._name = name_of(type(index))
        self._n_rows = int(self._call("__len__"))
        rows: Any = index.max_query_rows
        if isinstance(rows, bool) or not isinstance(rows, (int, np.integer)) or rows < 1:
            raise self._fault(f"has a max_query_rows of {rows!r}, not a whole number of at least 1")
        self.max_query_rows = int(rows)

    def __len__(self) -> int:
        """Return the number of rows."""
        return self._n_rows

    def search(self, queries: NDArray[np.float32], k: int) -> Hits:
        """Find the rows with the largest inner products, see `Index.search`."""
        hits = self._call("search", queries, k)
        if not isinstance(hits, (tuple, list)) or len(hits) != 2:
            raise self._fault(f"returned a {type(hits).__name__} from search, not scores and rows")
        scores = self._array(hits[0], "scores of search", "fiu", (len(queries), None))
        rows = self._array(hits[1], "rows of search", "iu", (len(queries), None))
        if scores.shape != rows.shape or scores.shape[1] > k:  # fewer are those of a small library
            shapes = f"scores of shape {scores.shape} and rows of shape {rows.shape}"
            raise self._fault(f"returned {shapes} from search instead of ({len(queries)}, {k})")
        if rows.size and not (rows.min() >= -1 and rows.max() < self._n_rows):
            wrong = rows[(rows < -1) | (rows >= self._n_rows)][0]
            raise self._fault(f"returned row {wrong} from search, and there are {self._n_rows} rows")
        return scores.astype(np.float32, copy=False), rows.astype(np.int64, copy=False)

    def vectors(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return the vectors of rows ``start`` to ``stop`` (exclusive), see `Index.vectors`."""
        return self._vectors("vectors", max(0, min(stop, self._n_rows) - start), start, stop)

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the vectors of any rows, see `Index.take`."""
        return self._vectors("take", len(rows), rows)

    def _vectors(self, method: str, count: int, *arguments: object) -> NDArray[np.float32]:
        found = self._array(self._call(method, *arguments), f"result of {method}", "f", (count, None))
        return found.astype(np.float32, copy=False)

    def _call(self, method: str, *arguments: object) -> Any:
        called: Callable[..., Any] = getattr(self._index, method)
        try:
            return called(*arguments)
        except EarprintError:
            raise
        except Exception as error:
            cause = " ".join(f"{type(error).__name__}: {error}".split())
            raise self._fault(f"failed in {method.strip('_')} ({cause})") from error

    def _array(self, value: Any, what: str, kinds: str, shape: tuple[int, int | None]) -> NDArray[Any]:
        array = np.asarray(value) if isinstance(value, (np.ndarray, list)) else None
        if array is None or array.dtype.kind not in kinds:
            kind = type(value).__name__ if array is None else f"array of {array.dtype}"
            wanted = "numbers" if "f" in kinds else "whole numbers"
            raise self._fault(f"returned {what} of type {kind}, not an array of {wanted}")
        if len(array.shape) != len(shape) or any(
            wanted not in (None, found) for found, wanted in zip(array.shape, shape, strict=True)
        ):
            raise self._fault(f"returned {what} of shape {array.shape} instead of ({shape[0]}, ...)")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise self._fault(f"returned {what} that are NaN or infinite")
        return array

    def _fault(self, fault: str) -> LibraryError:
        return LibraryError(f"the index {self._name} {fault}; mend it")


def name_of(maker: object) -> str:
    """Return the name of a class, a function, or an object's class."""
    kind = maker if hasattr(maker, "__qualname__") else type(maker)
    return str(kind.__qualname__)
