"""Indexes by name, by size, or of other packages."""

from collections.abc import Mapping, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Final, cast

from earprint import plugins
from earprint.errors import EarprintError, LibraryError
from earprint.index.base import Index, IndexFactory
from earprint.index.exact import ExactIndex
from earprint.index.inverted import InvertedIndex, Span
from earprint.index.ivf_scan import SegmentLists
from earprint.index.rows import Rows, release_pages
from earprint.index.validation import name_of
from earprint.parallel.cores import usable_cores
from earprint.quantization.codebook import Codebook
from earprint.quantization.storage import CompactStorage, Stored

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NAMES: Final = ("auto", "exact", "inverted", "lsh")
"""Names of the indexes of this package."""

IndexChoice = str | IndexFactory
"""One of `NAMES`, the name of another package's index, or a callable that makes an index of `Rows`."""


EXACT_ROWS: Final = 20_000
"""Most rows of a compact library that "auto" searches exactly: nearly two hours at three rows a second."""


def index_names() -> list[str]:
    """Return the names of all installed indexes, sorted, with "auto".

    Examples
    --------
    >>> from earprint.index import index_names
    >>> {"auto", "exact", "inverted", "lsh"} <= set(index_names())
    True
    """
    return sorted({*NAMES, *plugins.plugin_names(plugins.INDEXES)})


def check_choice(choice: object) -> None:
    """Check that there is such an index, without importing another package's.

    Raises
    ------
    LibraryError
        If no index of this name is installed.
    TypeError
        If it is neither a name nor a callable.
    """
    if callable(choice) or choice in NAMES:
        return
    if not isinstance(choice, str):
        raise TypeError(
            f"index is of type {type(choice).__name__}; give one of {', '.join(index_names())}, or a callable"
        )
    if choice not in index_names():
        raise _unknown(choice)


def _unknown(name: str) -> LibraryError:
    return LibraryError(f"{name}: no index of this name is installed; use one of {', '.join(index_names())}")


def make_index(
    choice: IndexChoice,
    rows: Rows,
    spans: Sequence[Span],
    segments: Mapping[int, Stored],
    inverted_lists: MutableMapping[int, SegmentLists],
    *,
    exact_rows: int | None = None,
) -> Index:
    """Make an index.

    Parameters
    ----------
    choice : str or callable
        "exact": compares every row. "lsh": the paper's hash tables, see `earprint.index.lsh`. "inverted":
        inverted lists, for compact storage only, see `earprint.index.inverted`. "auto": "inverted" for more
        than `exact_rows` rows in compact storage, else "exact". Another name: the entry point of another
        package in the group ``earprint.indexes``. A callable: is called with ``rows``.
    rows : Rows
    spans : sequence of Span
        The parts of the segments that `rows` consists of, in order. Used by "inverted".
    segments : mapping of int to ndarray
        All rows of each segment. Used by "inverted".
    inverted_lists : mutable mapping of int to SegmentLists
        Inverted lists of segments. Missing ones are built and added. Used by "inverted".
    exact_rows : int, optional
        Most rows in compact storage for which "auto" is "exact"; `EXACT_ROWS` by default.

    Raises
    ------
    LibraryError
        If there is no such index, it needs another storage, or another package's index fails.
    """
    storage = rows.storage
    if choice == "auto":
        largest = EXACT_ROWS if exact_rows is None else exact_rows
        choice = "inverted" if isinstance(storage, CompactStorage) and len(rows) > largest else "exact"
    if choice == "exact":
        return ExactIndex(rows)
    if choice == "lsh":
        from earprint.index.lsh import LshIndex

        return LshIndex(rows)
    if choice != "inverted":
        return _from_callable(choice, rows) if callable(choice) else _from_plugin(choice, rows)
    if not isinstance(storage, CompactStorage):
        raise LibraryError(
            "the index 'inverted' needs a compact library, and this one stores half precision; choose "
            "another index, or run `earprint rebuild --storage compact`"
        )
    missing = sorted({span.segment for span in spans} - inverted_lists.keys())
    _build_lists(missing, segments, storage.codebook, inverted_lists)
    return InvertedIndex(rows, storage.codebook, spans, dict(inverted_lists))


def _from_callable(factory: IndexFactory, rows: Rows) -> Index:
    """Make an index with a callable."""
    try:
        return factory(rows)
    except EarprintError:
        raise
    except Exception as error:
        cause = " ".join(f"{type(error).__name__}: {error}".split())
        raise LibraryError(f"the index {name_of(factory)} cannot be made ({cause}); mend it") from error


def _from_plugin(name: str, rows: Rows) -> Index:
    """Make the index of another package."""
    factory = plugins.load_plugin(plugins.INDEXES, name, LibraryError)
    if factory is None:
        raise _unknown(name)
    try:
        index = cast("IndexFactory", factory)(rows)
    except EarprintError:
        raise
    except (Exception, SystemExit) as error:
        raise LibraryError(f"{name}: {plugins.broken_plugin(plugins.INDEXES, name, error)}") from error
    if not isinstance(index, Index) or isinstance(index, type):
        fault = f"it gives a {type(index).__name__}, not an Index"
        raise LibraryError(f"{name}: {plugins.broken_plugin(plugins.INDEXES, name, fault)}")
    return index


def _build_lists(
    numbers: list[int],
    segments: Mapping[int, Stored],
    codebook: Codebook,
    inverted_lists: MutableMapping[int, SegmentLists],
) -> None:
    """Build the inverted lists of some segments on one thread per core, and add them."""

    def build(number: int, like: SegmentLists | None) -> SegmentLists:
        codes = cast("NDArray[np.uint8]", segments[number])
        built = SegmentLists(codes, codebook, like=like)
        release_pages(codes)
        return built

    if numbers and not inverted_lists:  # the others share what the first derives from the codebook
        inverted_lists[numbers[0]] = build(numbers[0], None)
        numbers = numbers[1:]
    if not numbers:
        return
    like = next(iter(inverted_lists.values()))
    with ThreadPoolExecutor(min(len(numbers), usable_cores())) as threads:
        inverted_lists.update(zip(numbers, threads.map(partial(build, like=like), numbers), strict=True))
