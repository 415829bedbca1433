"""Inverted lists of a segment's codes, and their scan by FAISS.

An inverted list holds the codes of the rows that name it. They are scanned as 4-bit codes ("4-bit PQ fast
scan" of FAISS, after Andre et al. 2015, "Cache locality is not enough"). The tables of 4-bit codes fit into
registers, so the scan takes about a tenth of the time of 8-bit codes. Each 8-bit code becomes two 4-bit
codes, one for the first half of its centroid's components and one for the second; each is the number of the
nearest of 16 centroids that represent all 256. The scan is therefore less accurate than the 8-bit codes:
callers ask for more hits than they need and rank the decoded rows again.

FAISS's Python interface has no call to fill inverted lists with given codes without holding them twice, nor
to search given lists under a selector. Both use FAISS's C++ interface through pointers, which is why
``pyproject.toml`` bounds the FAISS versions to those tested.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from earprint.quantization.codebook import LIST_BYTES, Codebook

HALF_CENTROIDS: Final = 16
"""Centroids per 4-bit code."""

PACKED_ROWS: Final = 8_192
"""Rows of a segment that are packed for the scan together; more would fragment memory."""

ALIGNMENT: Final = 64
"""Alignment of a segment's codes in memory, in bytes. Each block of codes is then aligned to 32 bytes."""

Probes = tuple[NDArray[np.float32], NDArray[np.int64]]
"""The lists to read: inner products with their coarse centroids, and their numbers, each (n, nprobe)."""


def _faiss() -> Any:
    """Import FAISS, which takes long, when it is needed; as Any, since its type stubs are incomplete."""
    import faiss

    return faiss


@contextmanager
def _one_thread() -> Iterator[None]:
    """Make FAISS use the calling thread only.

    Its threads wait for one another after each of many small steps. On busy cores this doubles the time of a
    search, and building lists takes tens of times longer. On idle cores more threads save little.
    """
    faiss = _faiss()
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)


def _aligned(size: int) -> NDArray[np.uint8]:
    """Allocate memory aligned to `ALIGNMENT`, of ``size`` bytes."""
    buffer = np.empty(size + ALIGNMENT, dtype=np.uint8)
    first = -buffer.ctypes.data % ALIGNMENT
    return buffer[first : first + size]


class FourBitCodebook:
    """Splits each 8-bit subquantizer of a codebook into two 4-bit ones, for the two halves of its components.

    Parameters
    ----------
    codebook : Codebook

    Attributes
    ----------
    centroids : ndarray of float32, shape (2 * n_subquantizers, 16, width)
        Centroids of the 4-bit subquantizers. If a half has fewer than ``width`` components, zeros follow.
    table : ndarray of uint8, shape (n_subquantizers, 256)
        Two 4-bit codes for each 8-bit code: the first half's in the lower bits, the second's in the upper.
    """

    def __init__(self, codebook: Codebook) -> None:
        faiss = _faiss()
        n_subquantizers, n_centroids, n_components = codebook.centroids.shape
        self._first_half = n_components // 2
        self._shape = (n_subquantizers, n_components)
        padded = self.split(codebook.centroids.swapaxes(0, 1).reshape(n_centroids, -1))
        halves = np.ascontiguousarray(padded.reshape(n_centroids, 2 * n_subquantizers, -1).swapaxes(0, 1))
        self.centroids = np.empty((2 * n_subquantizers, HALF_CENTROIDS, halves.shape[2]), dtype=np.float32)
        codes = []
        for number, half in enumerate(halves):
            kmeans = faiss.Kmeans(half.shape[1], HALF_CENTROIDS, min_points_per_centroid=1)
            kmeans.train(half)
            self.centroids[number] = kmeans.centroids
            codes.append(kmeans.assign(half)[1])
        lower, upper = np.array(codes[::2]), np.array(codes[1::2])
        self.table: NDArray[np.uint8] = (lower + upper * HALF_CENTROIDS).astype(np.uint8)

    def split(self, rotated: NDArray[np.float32]) -> NDArray[np.float32]:
        """Pad the halves of vectors, (n, rotated_dim), to equal widths, (n, 2 * n_subquantizers * width)."""
        n_subquantizers, n_components = self._shape
        parts = rotated.reshape(len(rotated), n_subquantizers, n_components)
        width = n_components - self._first_half
        out = np.zeros((len(rotated), n_subquantizers, 2, width), dtype=np.float32)
        out[:, :, 0, : self._first_half] = parts[:, :, : self._first_half]
        out[:, :, 1] = parts[:, :, self._first_half :]
        return out.reshape(len(rotated), -1)

    def convert(self, codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Convert 8-bit codes, (n, n_subquantizers), to pairs of 4-bit codes, of the same shape."""
        pairs: NDArray[np.uint8] = self.table[np.arange(len(self.table)), codes]
        return pairs


class SegmentLists:
    """The inverted lists of one segment.

    Parameters
    ----------
    rows : ndarray of uint8, shape (n, width)
        All codes of the segment; copied into the lists.
    codebook : Codebook
    like : SegmentLists, optional
        Inverted lists of another segment with the same codebook. They share what is derived from it.
    """

    def __init__(
        self, rows: NDArray[np.uint8], codebook: Codebook, like: "SegmentLists | None" = None
    ) -> None:
        faiss = _faiss()
        self.n_rows = len(rows)
        with _one_thread():
            if like is None:
                self._four_bit = FourBitCodebook(codebook)
                self._coarse = faiss.IndexFlatIP(codebook.coarse_centroids.shape[1])
                self._coarse.add(codebook.coarse_centroids)
            else:
                self._four_bit, self._coarse = like._four_bit, like._coarse
            # Every search names its lists (see `nearest`), so FAISS's own coarse quantiser stays empty.
            n_halves, _, width = self._four_bit.centroids.shape
            self._no_quantizer = faiss.IndexFlatIP(n_halves * width)
            self._index: Any = self._empty_index(faiss.IndexIVFPQFastScan, codebook)
            self._fill(rows, codebook)

    def _empty_index(self, kind: Any, codebook: Codebook) -> Any:
        """Make a FAISS index of some class without rows."""
        n_halves, _, width = self._four_bit.centroids.shape
        n_lists = len(codebook.coarse_centroids)
        metric = _faiss().METRIC_INNER_PRODUCT
        index = kind(self._no_quantizer, n_halves * width, n_lists, n_halves, 4, metric)
        index.by_residual = codebook.residual
        _faiss().copy_array_to_vector(self._four_bit.centroids.ravel(), index.pq.centroids)
        index.is_trained = True
        return index

    def _fill(self, rows: NDArray[np.uint8], codebook: Codebook) -> None:
        """Fill the inverted lists of the index with codes in the order that the scan reads."""
        faiss = _faiss()
        n_lists = len(codebook.coarse_centroids)
        numbers = codebook.list_numbers(rows)
        order = np.argsort(numbers, kind="stable")
        # Rows with a number of no list, silent or damaged ones, come last and are left out.
        ends = np.searchsorted(numbers[order], np.arange(n_lists), side="right")
        begins = np.append(0, ends[:-1])
        # FAISS allocates lists in powers of two. These are allocated exactly, in one array.
        block_rows = self._index.bbs
        n_bytes = -(-(ends - begins) // block_rows) * block_rows * codebook.n_subquantizers
        places = np.append(0, np.cumsum(n_bytes))
        self._codes = _aligned(int(places[-1]))
        self._lists = faiss.ArrayInvertedLists(n_lists, 0)
        # FAISS packs a few lists at a time, so that few codes are in memory twice.
        for group in np.split(np.arange(n_lists), np.flatnonzero(np.diff(begins // PACKED_ROWS)) + 1):
            unpacked = self._empty_index(faiss.IndexIVFPQ, codebook)
            filled = group[ends[group] > begins[group]].tolist()
            for number in filled:
                members = order[begins[number] : ends[number]]
                codes = self._four_bit.convert(rows[members, LIST_BYTES:])
                entries = (number, len(members), faiss.swig_ptr(members), faiss.swig_ptr(codes))
                unpacked.invlists.add_entries(*entries)
                self._lists.add_entries(*entries)
            packed = faiss.IndexIVFPQFastScan(unpacked)  # must live until its lists are copied
            for number in filled:
                target = faiss.swig_ptr(self._codes[places[number] :])
                faiss.memcpy(target, packed.invlists.get_codes(number), int(n_bytes[number]))
        views = faiss.MaybeOwnedVectorUInt8Vector()
        for place, size in zip(places[:-1].tolist(), n_bytes.tolist(), strict=True):
            view = faiss.MaybeOwnedVectorUInt8()
            view.is_owned = False
            view.view_data = view.c_ptr = faiss.swig_ptr(self._codes[place:])
            view.view_size = view.c_size = size
            views.push_back(view)
        self._lists.codes.swap(views)
        self._lists.code_size = codebook.n_subquantizers
        self._index.replace_invlists(self._lists)
        self._index.ntotal = int(ends[-1])

    def nearest(self, rotated: NDArray[np.float32], nprobe: int) -> Probes:
        """Find the lists nearest to vectors, (n, rotated_dim); the same for all segments of a codebook."""
        with _one_thread():
            found: Probes = self._coarse.search(rotated, nprobe)
        return found

    def search(
        self, rotated: NDArray[np.float32], k: int, probes: Probes, live: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Find rows of some lists with large inner products, approximately.

        Parameters
        ----------
        rotated : ndarray of float32, shape (n, rotated_dim)
            Rotated query rows, none of them silent.
        k : int
        probes : tuple of ndarray
            The lists to read, see `nearest`.
        live : ndarray of bool, shape (n_rows,), optional
            Rows of the segment that may be found; all by default.

        Returns
        -------
        scores : ndarray of float32, shape (n, k)
            Approximate scores, largest first, comparable only within this call.
        rows : ndarray of int64, shape (n, k)
            Rows of the segment; -1 where there are fewer.
        """
        faiss = _faiss()
        selector = None
        if live is not None:
            selector = faiss.IDSelectorBitmap(np.packbits(live, bitorder="little"))
        products, numbers = (np.ascontiguousarray(part) for part in probes)
        settings = faiss.SearchParametersIVF(nprobe=numbers.shape[1], sel=selector)
        scores = np.empty((len(rotated), k), dtype=np.float32)
        rows = np.empty((len(rotated), k), dtype=np.int64)
        pointers = (faiss.swig_ptr(part) for part in (numbers, products, scores, rows))
        queries = self._four_bit.split(rotated)
        # The Python form of this call takes no settings.
        with _one_thread():
            self._index.search_preassigned_c(
                len(rotated), faiss.swig_ptr(queries), k, *pointers, False, settings
            )
        return scores, rows
