"""A model's codebook: what turns its fingerprints into a few bytes each, and back.

Product quantisation (Jegou et al. 2011, "Product quantization for nearest neighbor search") after a rotation
that spreads the variance evenly (Ge et al. 2013, "Optimized product quantization"): a fingerprint is rotated,
cut into pieces, and each piece replaced by the number of the nearest of 256 centroids, one byte. Before them
stand two bytes: the number of the nearest of some thousand vectors, which parts a library's rows into
lists, so that a search reads only some of them (`earprint.index.inverted`). The pieces are those of what is
left when the list's vector is taken off (Jegou et al. 2011, section 4), so these bytes tell something too.

Decoding gives unit vectors: left as long as their centroids happen to make them, the longer ones would win
against right ones. (In the first version it gives the sums of centroids over `gain`, their mean inner product
with what was encoded, so that scores are on average what they were.) A codebook is learned once per model, on
training music (`earprint train codebook`), and lies beside the model's weights: so adding takes the same time
whatever a library holds, and libraries of one model can be merged.
"""

import hashlib
import io
import json
import zipfile
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from earprint.errors import ModelError

FORMAT: Final = "earprint codebook"

VERSION: Final = 2
"""Version of the file's layout. 1: pieces of the whole fingerprint, decoded over the gain. 2: of what its
list leaves of it, decoded to unit vectors."""

LIST_BYTES: Final = 2
"""Bytes of a row that hold the number of its list, little-endian."""

SILENT_LIST: Final = 0xFFFF
"""List of a silent row, which no search reads."""

CENTROIDS: Final = 256
"""Centroids of a piece: what one byte can name."""

ENCODED_ROWS: Final = 512
"""Rows encoded at a time: 8 MB of products with the lists, which stay in the cache."""


_FAULTS = (
    OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, EOFError, zipfile.BadZipFile,
    zlib.error,
)  # fmt: skip
"""What reading a damaged or foreign file may raise."""


@dataclass(frozen=True)
class Codebook:
    """A codebook in memory.

    Attributes
    ----------
    model_id : str
        Of the model whose fingerprints it is for.
    rotation : ndarray of float32, shape (dim, rotated)
        Orthonormal columns.
    centroids : ndarray of float32, shape (pieces, 256, rotated / pieces)
    lists : ndarray of float32, shape (n_lists, rotated)
        Of one length, so that the nearest is the one of the largest inner product.
    gain : float
        Mean inner product of a fingerprint and its centroids.
    thresholds : dict of float to float
        Score at and above which an answer counts as a match, by query length in seconds.
    residual : bool
        Whether the pieces are of what is left of a fingerprint without its list's vector, and decoding gives
        unit vectors; or of all of it, decoded over the gain, as in the first version.
    """

    model_id: str
    rotation: NDArray[np.float32]
    centroids: NDArray[np.float32]
    lists: NDArray[np.float32]
    gain: float
    thresholds: dict[float, float]
    residual: bool = True

    @cached_property
    def digest(self) -> str:
        """Eight hexadecimal digits of all that codes depend on: not of the thresholds."""
        whole = hashlib.blake2b(f"{self.model_id} {self.gain!r}".encode(), digest_size=4)
        for part in (self.rotation, self.centroids, self.lists):
            whole.update(np.ascontiguousarray(part, dtype="<f4").tobytes())
        if self.residual:  # those of the first version keep their digests
            whole.update(b"residual")
        return whole.hexdigest()

    @property
    def dim(self) -> int:
        """Components of a fingerprint."""
        return len(self.rotation)

    @property
    def pieces(self) -> int:
        """Bytes of a row that hold centroids."""
        return len(self.centroids)

    @property
    def width(self) -> int:
        """Bytes of a row."""
        return LIST_BYTES + self.pieces

    @cached_property
    def sounds(self) -> NDArray[np.float32]:
        """The lists' vectors as fingerprints, unit vectors of shape (n_lists, dim): what the model knows."""
        lengths = np.maximum(np.linalg.norm(self.lists, axis=1, keepdims=True), np.float32(1e-9))
        return np.ascontiguousarray((self.lists / lengths) @ self.rotation.T, dtype=np.float32)

    @cached_property
    def _flat(self) -> NDArray[np.float32]:
        """Centroids of all pieces, over the gain, shape (pieces * 256, rotated / pieces)."""
        return np.ascontiguousarray(
            self.centroids.reshape(-1, self.centroids.shape[2]) / np.float32(self.gain)
        )

    @cached_property
    def _over_gain(self) -> NDArray[np.float32]:
        """The lists' vectors over the gain."""
        return np.asarray(self.lists / np.float32(self.gain), dtype=np.float32)

    @cached_property
    def _first(self) -> NDArray[np.int64]:
        """Row of each piece's first centroid in `_flat`, shape (pieces,)."""
        return np.arange(self.pieces, dtype=np.int64) * CENTROIDS

    @cached_property
    def _half_norms(self) -> NDArray[np.float32]:
        """Half the squared length of each centroid, shape (pieces, 256)."""
        return np.asarray((self.centroids**2).sum(axis=2) / 2, dtype=np.float32)

    def rotate(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn vectors (n, dim) to where the centroids are, (n, rotated)."""
        return np.ascontiguousarray(vectors @ self.rotation, dtype=np.float32)

    def encode(self, vectors: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Turn fingerprints into codes.

        Parameters
        ----------
        vectors : ndarray of float32, shape (n, dim)
            Unit vectors, or zeros where silent.

        Returns
        -------
        ndarray of uint8, shape (n, width)
        """
        out = np.empty((len(vectors), self.width), dtype=np.uint8)
        for begin in range(0, len(vectors), ENCODED_ROWS):
            some = vectors[begin : begin + ENCODED_ROWS]
            rows = out[begin : begin + len(some)]
            rotated = self.rotate(some)
            nearest = np.argmax(rotated @ self.lists.T, axis=1)
            if self.residual:
                rotated -= self.lists[nearest]
            numbers = nearest.astype("<u2")
            silent = ~some.any(axis=1)
            numbers[silent] = SILENT_LIST
            rows[:, :LIST_BYTES] = numbers[:, None].view(np.uint8)
            pieces = rotated.reshape(len(some), self.pieces, -1)
            for piece, (centroids, half_norms) in enumerate(
                zip(self.centroids, self._half_norms, strict=True)
            ):
                # |x - c|^2 is least where x c - |c|^2 / 2 is largest.
                nearness = pieces[:, piece] @ centroids.T - half_norms
                rows[:, LIST_BYTES + piece] = np.argmax(nearness, axis=1)
            rows[silent, LIST_BYTES:] = 0
        return out

    def decode(self, rows: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Turn codes (n, width) into the vectors they stand for, (n, dim); zeros where silent."""
        rotated = self.decode_rotated(rows)
        if self.residual:
            rotated /= np.maximum(np.sqrt(np.vecdot(rotated, rotated)), np.float32(1e-9))[:, None]
        return rotated @ self.rotation.T

    def decode_rotated(self, rows: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Turn codes (n, width) into the sums of their centroids over the gain, (n, rotated)."""
        chosen = rows[:, LIST_BYTES:] + self._first
        found = np.take(self._flat, chosen, axis=0).reshape(len(rows), self.rotation.shape[1])
        numbers = self.lists_of(rows)
        if self.residual:  # a silent row's number is none, and a damaged row's may be
            found += np.take(self._over_gain, numbers, axis=0, mode="clip")
        found[numbers == SILENT_LIST] = 0.0
        return found

    @staticmethod
    def lists_of(rows: NDArray[np.uint8]) -> NDArray[np.uint16]:
        """Return the list of each row of codes, shape (n,)."""
        return np.ascontiguousarray(rows[:, :LIST_BYTES]).view("<u2")[:, 0]


def write_codebook(file: Path, book: Codebook) -> Codebook:
    """Write a codebook in half precision; returns it as it reads back.

    Parameters
    ----------
    file : Path
        Ends in ``.codebook.npz``.
    book : Codebook

    Raises
    ------
    ModelError
        If the file cannot be written.
    """
    header = {
        "format": FORMAT, "version": VERSION if book.residual else 1,
        "model_id": book.model_id, "gain": book.gain,
        "threshold": {f"{length:g}": score for length, score in sorted(book.thresholds.items())},
    }  # fmt: skip
    buffer = io.BytesIO()
    np.savez(
        buffer,
        header=np.frombuffer(json.dumps(header).encode(), np.uint8),
        rotation=book.rotation.astype("<f2"),
        centroids=book.centroids.astype("<f2"),
        lists=book.lists.astype("<f2"),
    )
    try:
        file.write_bytes(buffer.getvalue())
    except OSError as error:
        raise ModelError(f"{file}: cannot be written ({error.strerror}); name another place") from error
    return read_codebook(file)


def read_codebook(file: Path) -> Codebook:
    """Read a codebook and check that its parts fit together.

    Raises
    ------
    ModelError
        If it cannot be read, is none, or a newer earprint made it.
    """
    try:
        content = file.read_bytes()
        with np.load(io.BytesIO(content)) as arrays:
            header = json.loads(arrays["header"].tobytes())
            if header["format"] != FORMAT:
                raise ValueError("another format")
            if header["version"] > VERSION:
                raise ModelError(
                    f"{file}: has version {header['version']}, made by a newer earprint; upgrade"
                )
            rotation, centroids, lists = (
                arrays[name].astype(np.float32) for name in ("rotation", "centroids", "lists")
            )
        rotated = rotation.shape[1]
        if centroids.shape[0] * centroids.shape[2] != rotated or centroids.shape[1] != CENTROIDS:
            raise ValueError(f"centroids of shape {centroids.shape} for {rotated} components")
        if lists.ndim != 2 or lists.shape[1] != rotated or not 0 < len(lists) < SILENT_LIST:
            raise ValueError(f"lists of shape {lists.shape} for {rotated} components")
        thresholds = {float(length): float(score) for length, score in header["threshold"].items()}
        gain = float(header["gain"])
        if not 0 < gain <= 2 or (thresholds and min(thresholds) <= 0):
            raise ValueError(f"gain {gain} and thresholds {thresholds}")
        model_id, residual = str(header["model_id"]), header["version"] > 1
    except _FAULTS as error:
        cause = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise ModelError(
            f"{file}: not a usable codebook ({cause}); reinstall earprint, or make it again with `earprint "
            "train codebook`"
        ) from error
    return Codebook(model_id, rotation, centroids, lists, gain, thresholds, residual)
