"""Storage formats of fingerprints.

``half`` stores every component in half precision: 256 bytes for 128 components, with errors of a cosine below
0.001. ``compact`` stores codes of the model's codebook, about a tenth of that size, see
`earprint.quantization.codebook`. Both keep a silent fingerprint, a row of zeros, as one.
"""

from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from earprint.quantization.codebook import Codebook

StorageName = Literal["half", "compact"]

Stored = NDArray[np.float16] | NDArray[np.uint8]
"""Stored rows of a segment, shape (n, width)."""


class Storage(Protocol):
    """A storage format.

    Attributes
    ----------
    name : {"half", "compact"}
    key : str
        Identifies the format in a library: rows of equal keys can be compared.
    dim : int
        Number of components of a fingerprint.
    width : int
        Number of columns of a stored row.
    dtype : dtype
        Type of a column, little-endian.
    """

    name: StorageName
    key: str
    dim: int
    width: int
    dtype: np.dtype[np.float16] | np.dtype[np.uint8]

    def pack(self, vectors: NDArray[np.float32]) -> Stored:
        """Convert fingerprints, unit vectors or zeros of shape (n, dim), to stored rows, (n, width)."""
        ...

    def unpack(self, rows: Stored) -> NDArray[np.float32]:
        """Convert stored rows, (n, width), to vectors, (n, dim)."""
        ...


class HalfStorage:
    """Half precision, see `Storage`.

    Examples
    --------
    >>> import numpy as np
    >>> from earprint.quantization.storage import HalfStorage
    >>> HalfStorage(128).pack(np.zeros((3, 128), dtype=np.float32)).dtype
    dtype('float16')
    """

    name: StorageName = "half"
    key = "half"
    dtype: np.dtype[np.float16] | np.dtype[np.uint8] = np.dtype("<f2")

    def __init__(self, dim: int) -> None:
        self.dim = self.width = dim

    def pack(self, vectors: NDArray[np.float32]) -> Stored:
        """Round to half precision, see `Storage.pack`."""
        packed: NDArray[np.float16] = vectors.astype("<f2")
        return packed

    def unpack(self, rows: Stored) -> NDArray[np.float32]:
        """Convert to single precision, see `Storage.unpack`."""
        return rows.astype(np.float32)


class CompactStorage:
    """Codes of a codebook, see `Storage`.

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
