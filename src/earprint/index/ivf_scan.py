"""Inverted lists of a segment's codes, and their scan.

A list holds the codes of the rows that name it. They are scanned as codes of half a byte ("4-bit PQ fast
scan" of FAISS, after Andre et al. 2015, "Cache locality is not enough"), whose tables fit into registers, in
about a tenth of the time that bytes take. The byte of a piece becomes two halves: one for the first half of
its centroid's components and one for the second, each the number of the nearest of 16 that stand for all 256.
So the scan knows rows a little less well than their codes do. Who searches asks for more hits than are
needed, and compares those with the decoded rows.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from earprint.quantization.codebook import LIST_BYTES, Codebook

HALF_CENTROIDS: Final = 16
"""Centroids of half a piece: what half a byte can name."""

PACKED_ROWS: Final = 8_192
"""Rows of a segment that are packed for the scan together: more leave larger holes in memory."""

ALIGNMENT: Final = 64
"""Bytes that the place of a segment's codes in memory is a multiple of; every block's is one of 32."""

Nearest = tuple[NDArray[np.float32], NDArray[np.int64]]
"""Inner products with the nearest lists' vectors, and these lists' numbers, each (n, probes)."""


def _faiss() -> Any:
    """FAISS, which is slow to import and only needed here; its type stubs lack what Python code may pass."""
    import faiss

    return faiss


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let FAISS work in the calling thread alone.

    Its threads wait for each other after each of many small steps: where other programs keep the cores
    busy, that takes twice as long in a search, and tens of times when lists are made. Where they do not, a
    second thread saves little.
    """
    faiss = _faiss()
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)


def _aligned(size: int) -> NDArray[np.uint8]:
    """Bytes in memory that begin where the scan's instructions need it."""
    room = np.empty(size + ALIGNMENT, dtype=np.uint8)
    first = -room.ctypes.data % ALIGNMENT
    return room[first : first + size]


class Halves:
    """A codebook's centroids in two halves each, of which half a byte tells one.

    Parameters
    ----------
    codebook : Codebook

    Attributes
    ----------
    centroids : ndarray of float32, shape (2 * pieces, 16, width)
        For either half of each piece. Where it has fewer components than ``width``, zeros follow.
    table : ndarray of uint8, shape (pieces, 256)
        For each byte of a piece: the number of the first half in the lower four bits, of the second in the
        upper ones.
    """

    def __init__(self, codebook: Codebook) -> None:
        faiss = _faiss()
        pieces, n_centroids, components = codebook.centroids.shape
        self._cut = components // 2
        self._shape = (pieces, components)
        whole = self.apart(codebook.centroids.swapaxes(0, 1).reshape(n_centroids, -1))
        halves = np.ascontiguousarray(whole.reshape(n_centroids, 2 * pieces, -1).swapaxes(0, 1))
        self.centroids = np.empty((2 * pieces, HALF_CENTROIDS, halves.shape[2]), dtype=np.float32)
        numbers = []
        for number, half in enumerate(halves):
            grouping = faiss.Kmeans(half.shape[1], HALF_CENTROIDS, min_points_per_centroid=1)
            grouping.train(half)
            self.centroids[number] = grouping.centroids
            numbers.append(grouping.assign(half)[1])
        lower, upper = np.array(numbers[::2]), np.array(numbers[1::2])
        self.table: NDArray[np.uint8] = (lower + upper * HALF_CENTROIDS).astype(np.uint8)

    def apart(self, rotated: NDArray[np.float32]) -> NDArray[np.float32]:
        """Put every half of vectors (n, rotated) where the scan expects it, (n, 2 * pieces * width)."""
        pieces, components = self._shape
        parts = rotated.reshape(len(rotated), pieces, components)
        out = np.zeros((len(rotated), pieces, 2, components - self._cut), dtype=np.float32)
        out[:, :, 0, : self._cut] = parts[:, :, : self._cut]
        out[:, :, 1] = parts[:, :, self._cut :]
        return out.reshape(len(rotated), -1)

    def coded(self, codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Turn bytes of pieces (n, pieces) into bytes of two halves each, of the same shape."""
        halves: NDArray[np.uint8] = self.table[np.arange(len(self.table)), codes]
        return halves


class SegmentLists:
    """The inverted lists of one segment.

    Parameters
    ----------
    rows : ndarray of uint8, shape (n, width)
        All rows of the segment; copied into the lists.
    codebook : Codebook
    like : SegmentLists, optional
        Lists of another segment and the same codebook, whose vectors and centroids are then shared.
    """

    def __init__(
        self, rows: NDArray[np.uint8], codebook: Codebook, like: "SegmentLists | None" = None
    ) -> None:
        with _one_thread():
            self._fill(rows, codebook, like)

    def _fill(self, rows: NDArray[np.uint8], codebook: Codebook, like: "SegmentLists | None") -> None:
        """See the class."""
        faiss = _faiss()
        self.n_rows = len(rows)
        n_lists, rotated = codebook.lists.shape
        if like is None:
            self._halves = Halves(codebook)
            self._coarse = faiss.IndexFlatIP(rotated)
            self._coarse.add(codebook.lists)
        else:
            self._halves, self._coarse = like._halves, like._coarse
        # Which lists are near is told by `nearest`, so FAISS's index need not know their vectors.
        n_halves, _, width = self._halves.centroids.shape
        self._nowhere = faiss.IndexFlatIP(n_halves * width)
        residual = codebook.residual
        self._index: Any = self._empty(faiss.IndexIVFPQFastScan, n_lists, residual)
        numbers = codebook.lists_of(rows)
        order = np.argsort(numbers, kind="stable")
        # Silent rows name no list; of a damaged file, any number may be read.
        ends = np.searchsorted(numbers[order], np.arange(n_lists), side="right")
        begins = np.append(0, ends[:-1])
        # FAISS's own lists of blocks are as long as the next power of two; these are as long as their codes.
        block_rows = self._index.bbs
        n_bytes = -(-(ends - begins) // block_rows) * block_rows * codebook.pieces
        places = np.append(0, np.cumsum(n_bytes))
        self._codes = _aligned(int(places[-1]))
        self._lists = faiss.ArrayInvertedLists(n_lists, 0)
        # Some lists at a time are put in the order that the scan reads, so that few rows are in memory twice.
        for some in np.split(np.arange(n_lists), np.flatnonzero(np.diff(begins // PACKED_ROWS)) + 1):
            unpacked = self._empty(faiss.IndexIVFPQ, n_lists, residual)
            filled = some[ends[some] > begins[some]].tolist()
            for number in filled:
                mine = order[begins[number] : ends[number]]
                codes = self._halves.coded(rows[mine, LIST_BYTES:])
                unpacked.invlists.add_entries(number, len(mine), faiss.swig_ptr(mine), faiss.swig_ptr(codes))
                self._lists.add_entries(number, len(mine), faiss.swig_ptr(mine), faiss.swig_ptr(codes))
            packed = faiss.IndexIVFPQFastScan(unpacked)  # kept until its lists are copied
            for number in filled:
                there = faiss.swig_ptr(self._codes[places[number] :])
                faiss.memcpy(there, packed.invlists.get_codes(number), int(n_bytes[number]))
        views = faiss.MaybeOwnedVectorUInt8Vector()
        for place, size in zip(places[:-1].tolist(), n_bytes.tolist(), strict=True):
            view = faiss.MaybeOwnedVectorUInt8()
            view.is_owned = False
            view.view_data = view.c_ptr = faiss.swig_ptr(self._codes[place:])
            view.view_size = view.c_size = size
            views.push_back(view)
        self._lists.codes.swap(views)
        self._lists.code_size = codebook.pieces
        self._index.replace_invlists(self._lists)
        self._index.ntotal = int(ends[-1])

    def _empty(self, kind: Any, n_lists: int, residual: bool) -> Any:
        """Make an index of one of FAISS's kinds without rows."""
        n_halves, _, width = self._halves.centroids.shape
        index = kind(self._nowhere, n_halves * width, n_lists, n_halves, 4, _faiss().METRIC_INNER_PRODUCT)
        index.by_residual = residual
        _faiss().copy_array_to_vector(self._halves.centroids.ravel(), index.pq.centroids)
        index.is_trained = True
        return index

    def nearest(self, rotated: NDArray[np.float32], probes: int) -> Nearest:
        """Find the lists nearest to some vectors (n, rotated): the same in all segments of a codebook."""
        with _one_thread():
            found: Nearest = self._coarse.search(rotated, probes)
        return found

    def search(
        self, rotated: NDArray[np.float32], k: int, nearest: Nearest, live: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Find rows with the largest inner products among those of some lists, as nearly as the scan tells.

        Parameters
        ----------
        rotated : ndarray of float32, shape (n, rotated)
            None is silent.
        k : int
        nearest : tuple of ndarray
            The lists to read, see `nearest`.
        live : ndarray of bool, shape (rows of the segment,), optional
            Rows that may be found; all by default.

        Returns
        -------
        products : ndarray of float32, shape (n, k)
            With what the scan knows of the rows, in no unit that others know; the largest first.
        rows : ndarray of int64, shape (n, k)
            Of the segment; -1 where there are fewer.
        """
        faiss = _faiss()
        selector = None
        if live is not None:
            selector = faiss.IDSelectorBitmap(np.packbits(live, bitorder="little"))
        products, numbers = (np.ascontiguousarray(part) for part in nearest)
        settings = faiss.SearchParametersIVF(nprobe=numbers.shape[1], sel=selector)
        found = np.empty((len(rotated), k), dtype=np.float32)
        rows = np.empty((len(rotated), k), dtype=np.int64)
        where = (faiss.swig_ptr(part) for part in (numbers, products, found, rows))
        asked = self._halves.apart(rotated)
        # Its Python form takes no settings.
        with _one_thread():
            self._index.search_preassigned_c(len(rotated), faiss.swig_ptr(asked), k, *where, False, settings)
        return found, rows
