"""Codebooks: product quantisation of fingerprints to a few bytes each.

A fingerprint is assigned to the nearest of some thousand coarse centroids, whose inverted list it joins.
Its residual, the difference from that centroid, is product-quantised (Jegou et al. 2011, "Product
quantization for nearest neighbor search", section 4): it is rotated so that the variance spreads evenly (Ge
et al. 2013, "Optimized product quantization"), cut into subvectors, and each subvector is replaced by the
number of the nearest of 256 centroids. A code holds the list number in two bytes, then one byte for each
subquantizer.

Decoded fingerprints are scaled to unit length, since longer vectors would have larger inner products. In
codebook files of version 1, subquantizers code the whole fingerprint instead of the residual, and the decoded
sum is divided by `Codebook.gain`, which keeps the mean of the scores.

A codebook is learned once per model (`earprint train codebook`) and is stored beside the weights. So all
libraries of a model share it, and can be merged.
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
"""Version of the file format. 1 quantises whole fingerprints, 2 quantises residuals."""

LIST_BYTES: Final = 2
"""Bytes of a code for the list number, little-endian."""

SILENT_LIST: Final = 0xFFFF
"""List number of silent fingerprints, which no search reads."""

CENTROIDS: Final = 256
"""Centroids per subquantizer, numbered by one byte."""

BLOCK_ROWS: Final = 512
"""Fingerprints encoded at a time: 8 MB of products with the coarse centroids, which stay in the cache."""

_FAULTS = (
    OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, EOFError, zipfile.BadZipFile,
    zlib.error,
)  # fmt: skip
"""Errors that reading a damaged file, or one of another format, may raise."""


@dataclass(frozen=True)
class Codebook:
    """A product quantiser with coarse centroids.

    Attributes
    ----------
    model_id : str
        Model of the fingerprints, see `earprint.encoders.Encoder.model_id`.
    rotation : ndarray of float32, shape (dim, rotated_dim)
        Orthonormal columns.
    centroids : ndarray of float32, shape (n_subquantizers, 256, rotated_dim / n_subquantizers)
        Centroids of each subquantizer.
    coarse_centroids : ndarray of float32, shape (n_lists, rotated_dim)
        Centroids of the inverted lists. They have equal norms, so the nearest one has the largest inner
        product.
    gain : float
        Mean inner product of a fingerprint and its decoded sum of centroids.
    thresholds : dict of float to float
        Least score of a match in a compact library, by query length in seconds; may be empty.
    residual : bool
        Whether residuals are quantised, and decoded vectors have unit length. False for files of version 1.

    Examples
    --------
    >>> import earprint
    >>> encoder = earprint.load_encoder("dense")
    >>> fingerprints = earprint.embed("music/song 0.wav", encoder=encoder).vectors
    >>> codes = encoder.codebook.encode(fingerprints)
    >>> codes.shape, codes.dtype
    ((35, 25), dtype('uint8'))
    >>> decoded = encoder.codebook.decode(codes)
    >>> bool((decoded * fingerprints).sum(axis=1).mean() > 0.9)  # mean cosine
    True
    """

    model_id: str
    rotation: NDArray[np.float32]
    centroids: NDArray[np.float32]
    coarse_centroids: NDArray[np.float32]
    gain: float
    thresholds: dict[float, float]
    residual: bool = True

    @cached_property
    def digest(self) -> str:
        """Eight hexadecimal digits of a hash of everything that codes depend on, not of the thresholds."""
        whole = hashlib.blake2b(f"{self.model_id} {self.gain!r}".encode(), digest_size=4)
        for part in (self.rotation, self.centroids, self.coarse_centroids):
            whole.update(np.ascontiguousarray(part, dtype="<f4").tobytes())
        if self.residual:  # version 1 has no such part
            whole.update(b"residual")
        return whole.hexdigest()

    @property
    def dim(self) -> int:
        """Number of components of a fingerprint."""
        return len(self.rotation)

    @property
    def n_subquantizers(self) -> int:
        """Number of subquantizers, each of which takes one byte of a code."""
        return len(self.centroids)

    @property
    def width(self) -> int:
        """Bytes of a code."""
        return LIST_BYTES + self.n_subquantizers

    @cached_property
    def cohort(self) -> NDArray[np.float32]:
        """Coarse centroids as fingerprints, unit vectors of shape (n_lists, dim), for score normalisation."""
        norms = np.maximum(np.linalg.norm(self.coarse_centroids, axis=1, keepdims=True), np.float32(1e-9))
        return np.ascontiguousarray((self.coarse_centroids / norms) @ self.rotation.T, dtype=np.float32)

    @cached_property
    def _scaled_centroids(self) -> NDArray[np.float32]:
        """Centroids divided by the gain, shape (n_subquantizers * 256, rotated_dim / n_subquantizers)."""
        return np.ascontiguousarray(
            self.centroids.reshape(-1, self.centroids.shape[2]) / np.float32(self.gain)
        )

    @cached_property
    def _scaled_coarse_centroids(self) -> NDArray[np.float32]:
        """Coarse centroids divided by the gain."""
        return np.asarray(self.coarse_centroids / np.float32(self.gain), dtype=np.float32)

    @cached_property
    def _first_centroid(self) -> NDArray[np.int64]:
        """Row of each subquantizer's first centroid in `_scaled_centroids`, shape (n_subquantizers,)."""
        return np.arange(self.n_subquantizers, dtype=np.int64) * CENTROIDS

    @cached_property
    def _half_norms(self) -> NDArray[np.float32]:
        """Half the squared norm of each centroid, shape (n_subquantizers, 256)."""
        return np.asarray((self.centroids**2).sum(axis=2) / 2, dtype=np.float32)

    def rotate(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Rotate vectors, (n, dim), into the space of the centroids, (n, rotated_dim)."""
        return np.ascontiguousarray(vectors @ self.rotation, dtype=np.float32)

    def encode(self, vectors: NDArray[np.float32], *, block_rows: int = BLOCK_ROWS) -> NDArray[np.uint8]:
        """Quantise fingerprints.

        Parameters
        ----------
        vectors : ndarray of float32, shape (n, dim)
            Unit vectors; zeros where silent.
        block_rows : int
            Fingerprints encoded at a time.

        Returns
        -------
        ndarray of uint8, shape (n, width)
        """
        out = np.empty((len(vectors), self.width), dtype=np.uint8)
        for begin in range(0, len(vectors), block_rows):
            some = vectors[begin : begin + block_rows]
            rows = out[begin : begin + len(some)]
            rotated = self.rotate(some)
            nearest = np.argmax(rotated @ self.coarse_centroids.T, axis=1)
            if self.residual:
                rotated -= self.coarse_centroids[nearest]
            numbers = nearest.astype("<u2")
            silent = ~some.any(axis=1)
            numbers[silent] = SILENT_LIST
            rows[:, :LIST_BYTES] = numbers[:, None].view(np.uint8)
            subvectors = rotated.reshape(len(some), self.n_subquantizers, -1)
            for column, (centroids, half_norms) in enumerate(
                zip(self.centroids, self._half_norms, strict=True)
            ):
                # |x - c|^2 is smallest where x c - |c|^2 / 2 is largest.
                similarity = subvectors[:, column] @ centroids.T - half_norms
                rows[:, LIST_BYTES + column] = np.argmax(similarity, axis=1)
            rows[silent, LIST_BYTES:] = 0
        return out

    def decode(self, rows: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Decode codes, (n, width), to vectors, (n, dim); zeros where silent."""
        rotated = self.decode_rotated(rows)
        if self.residual:
            rotated /= np.maximum(np.sqrt(np.vecdot(rotated, rotated)), np.float32(1e-9))[:, None]
        return rotated @ self.rotation.T

    def decode_rotated(self, rows: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Decode codes, (n, width), to sums of centroids divided by the gain, (n, rotated_dim)."""
        chosen = rows[:, LIST_BYTES:] + self._first_centroid
        decoded = np.take(self._scaled_centroids, chosen, axis=0).reshape(len(rows), self.rotation.shape[1])
        numbers = self.list_numbers(rows)
        if self.residual:  # "clip", as silent and damaged rows may have a number of no list
            decoded += np.take(self._scaled_coarse_centroids, numbers, axis=0, mode="clip")
        decoded[numbers == SILENT_LIST] = 0.0
        return decoded

    @staticmethod
    def list_numbers(rows: NDArray[np.uint8]) -> NDArray[np.uint16]:
        """Return the list number of each code, shape (n,)."""
        return np.ascontiguousarray(rows[:, :LIST_BYTES]).view("<u2")[:, 0]


def write_codebook(file: Path, codebook: Codebook) -> Codebook:
    """Write a codebook in half precision.

    Parameters
    ----------
    file : Path
        Ends in ``.codebook.npz``.
    codebook : Codebook

    Returns
    -------
    Codebook
        As read back from the file.

    Raises
    ------
    ModelError
        If the file cannot be written.
    """
    header = {
        "format": FORMAT,
        "version": VERSION if codebook.residual else 1,
        "model_id": codebook.model_id,
        "gain": codebook.gain,
        "threshold": {f"{length:g}": score for length, score in sorted(codebook.thresholds.items())},
    }
    buffer = io.BytesIO()
    np.savez(
        buffer,
        header=np.frombuffer(json.dumps(header).encode(), np.uint8),
        rotation=codebook.rotation.astype("<f2"),
        centroids=codebook.centroids.astype("<f2"),
        lists=codebook.coarse_centroids.astype("<f2"),
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
        If the file cannot be read, is no codebook, or was written by a newer earprint.
    """
    try:
        content = file.read_bytes()
        with np.load(io.BytesIO(content)) as arrays:
            header = json.loads(arrays["header"].tobytes())
            if header["format"] != FORMAT:
                raise ValueError("another format")
            if header["version"] > VERSION:
                raise ModelError(
                    f"{file}: has version {header['version']}, written by a newer earprint; upgrade"
                )
            rotation, centroids, coarse_centroids = (
                arrays[name].astype(np.float32) for name in ("rotation", "centroids", "lists")
            )
        rotated_dim = rotation.shape[1]
        if centroids.shape[0] * centroids.shape[2] != rotated_dim or centroids.shape[1] != CENTROIDS:
            raise ValueError(f"centroids of shape {centroids.shape} for {rotated_dim} components")
        shape = coarse_centroids.shape
        if len(shape) != 2 or shape[1] != rotated_dim or not 0 < shape[0] < SILENT_LIST:
            raise ValueError(f"lists of shape {shape} for {rotated_dim} components")
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
    return Codebook(model_id, rotation, centroids, coarse_centroids, gain, thresholds, residual)
