"""How fingerprints are stored: what a row of a segment holds.

``half`` keeps every component in half precision: 256 bytes for 128, and moves a cosine by less than 0.001.
``compact`` keeps the codes of a model's codebook, about a tenth of that; see `earprint.quantization.codebook`.
A silent fingerprint, a row of zeros, stays one in either.
"""

from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from earprint.quantization.codebook import Codebook

StorageName = Literal["half", "compact"]

Stored = NDArray[np.float16] | NDArray[np.uint8]
"""Rows as they lie in a segment, shape (n, width)."""


class Storage(Protocol):
    """A way of storing fingerprints.

    Attributes
    ----------
    name : {"half", "compact"}
    key : str
        What a library remembers; equal keys mean rows that can be compared.
    dim : int
        Components of a fingerprint.
    width : int
        Columns of a stored row.
    dtype : dtype
        Type of a column, little-endian.
    """

    name: StorageName
    key: str
    dim: int
    width: int
    dtype: np.dtype[np.float16] | np.dtype[np.uint8]

    def pack(self, vectors: NDArray[np.float32]) -> Stored:
        """Turn fingerprints (n, dim), unit vectors or zeros, into stored rows (n, width)."""
        ...

    def unpack(self, rows: Stored) -> NDArray[np.float32]:
        """Turn stored rows (n, width) into vectors to compare with, (n, dim)."""
        ...


class HalfStorage:
    """Every component in half precision; see `Storage`."""

    name: StorageName = "half"
    key = "half"
    dtype: np.dtype[np.float16] | np.dtype[np.uint8] = np.dtype("<f2")

    def __init__(self, dim: int) -> None:
        self.dim = self.width = dim

    def pack(self, vectors: NDArray[np.float32]) -> Stored:
        """Round to half precision."""
        packed: NDArray[np.float16] = vectors.astype("<f2")
        return packed

    def unpack(self, rows: Stored) -> NDArray[np.float32]:
        """Widen to single precision."""
        return rows.astype(np.float32)


class CompactStorage:
    """The codes of a codebook; see `Storage`.

    Parameters
    ----------
    codebook : Codebook
    """

    name: StorageName = "compact"
    dtype: np.dtype[np.float16] | np.dtype[np.uint8] = np.dtype(np.uint8)

    def __init__(self, codebook: Codebook) -> None:
        self.codebook = codebook
        self.key = f"compact-{codebook.digest}"
        self.dim, self.width = codebook.dim, codebook.width

    def pack(self, vectors: NDArray[np.float32]) -> Stored:
        """Encode, see `Codebook.encode`."""
        return self.codebook.encode(vectors)

    def unpack(self, rows: Stored) -> NDArray[np.float32]:
        """Decode, see `Codebook.decode`."""
        return self.codebook.decode(np.asarray(rows, dtype=np.uint8))
