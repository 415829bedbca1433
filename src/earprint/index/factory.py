"""Indexes by name, and the one that suits a library's size."""

from collections.abc import Mapping, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Final, Literal, cast

from earprint.errors import LibraryError
from earprint.index.base import Index
from earprint.index.exact import ExactIndex
from earprint.index.inverted import InvertedIndex, Span
from earprint.index.ivf_scan import SegmentLists
from earprint.index.rows import Rows, let_go
from earprint.parallel.cores import usable_cores
from earprint.quantization.codebook import Codebook
from earprint.quantization.storage import CompactStorage, Stored

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

IndexName = Literal["auto", "exact", "lsh", "inverted"]

EXACT_ROWS: Final = 20_000
"""Up to so many rows a compact library is searched exactly: nearly two hours at three rows a second."""


def make_index(
    name: IndexName,
    rows: Rows,
    spans: Sequence[Span],
    opened: Mapping[int, Stored],
    lists: MutableMapping[int, SegmentLists],
) -> Index:
    """Make an index of a row space.

    Parameters
    ----------
    name : {"auto", "exact", "lsh", "inverted"}
        exact: every row is compared. lsh: the paper's hash tables, see `earprint.index.lsh`. inverted: lists
        of codes, for compact rows only, see `earprint.index.inverted`. auto: inverted for more than
        `EXACT_ROWS` compact rows, else exact.
    rows : Rows
    spans : sequence of Span
        What the row space is made of, in its order.
    opened : mapping of int to ndarray
        All rows of each segment.
    lists : mutable mapping of int to SegmentLists
        Inverted lists made before; those needed besides are made and entered.

    Raises
    ------
    LibraryError
        If the rows have no such index.
    """
    storage = rows.storage
    compact = isinstance(storage, CompactStorage)
    if name == "auto":
        name = "inverted" if compact and len(rows) > EXACT_ROWS else "exact"
    if name == "exact":
        return ExactIndex(rows)
    if name == "lsh":
        from earprint.index.lsh import LshIndex

        return LshIndex(rows)
    if not isinstance(storage, CompactStorage):
        raise LibraryError(
            "the index 'inverted' needs a compact library, and this one stores half precision; choose "
            "another index, or run `earprint rebuild --storage compact`"
        )
    _make_lists(sorted({span.segment for span in spans} - lists.keys()), opened, storage.codebook, lists)
    return InvertedIndex(rows, storage.codebook, spans, dict(lists))


def _make_lists(
    numbers: list[int],
    opened: Mapping[int, Stored],
    codebook: Codebook,
    lists: MutableMapping[int, SegmentLists],
) -> None:
    """Make the lists of some segments and enter them, as many at a time as there are cores."""

    def make(number: int, like: SegmentLists | None) -> SegmentLists:
        codes = cast("NDArray[np.uint8]", opened[number])
        made = SegmentLists(codes, codebook, like=like)
        let_go(codes)
        return made

    if numbers and not lists:  # the others share what it makes of the codebook
        lists[numbers[0]] = make(numbers[0], None)
        numbers = numbers[1:]
    if not numbers:
        return
    like = next(iter(lists.values()))
    with ThreadPoolExecutor(min(len(numbers), usable_cores())) as threads:
        lists.update(zip(numbers, threads.map(partial(make, like=like), numbers), strict=True))
