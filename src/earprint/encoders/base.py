"""What every encoder gives, and the one way to ask for it.

An encoder turns audio into a sequence of unit vectors on a regular time grid. Row ``i`` speaks for the
window that begins at ``i * hop_s`` seconds; both sides of a comparison use that convention, so the
difference of two rows' times is the offset between two recordings. A silent window keeps its place in the
sequence as a row of zeros: it can match nothing and shifts nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from earprint.quantization.codebook import Codebook

AudioBlocks = Iterable[NDArray[np.float32]]
"""Consecutive blocks of 16 kHz mono samples, each of shape (n,), of any lengths."""


@dataclass(frozen=True)
class Fingerprints:
    """The fingerprints of one recording.

    Attributes
    ----------
    vectors : ndarray of float32, shape (n, dim)
        Unit vectors, one per grid point; rows of zeros where the recording is silent.
    hop_s : float
        Distance of two rows, in seconds.
    duration_s : float
        Length of the audio they were made from, in seconds.
    beyond : int
        So many first and last rows speak for windows that reach beyond the recording's ends, where the
        encoder heard nothing: row ``i`` begins at ``(i - beyond) * hop_s``.
    """

    vectors: NDArray[np.float32]
    hop_s: float
    duration_s: float
    beyond: int = 0

    @property
    def times_s(self) -> NDArray[np.float64]:
        """Start of each row's window, in seconds, shape (n,)."""
        return (np.arange(len(self.vectors), dtype=np.float64) - self.beyond) * self.hop_s

    @property
    def silent(self) -> NDArray[np.bool_]:
        """Which rows are silent, shape (n,)."""
        return np.asarray(~self.vectors.any(axis=1))


class Encoder(Protocol):
    """Anything that turns audio into fingerprints."""

    @property
    def name(self) -> str:
        """The model's name, such as ``dense``."""
        ...

    @property
    def model_id(self) -> str:
        """Name and digest of the weights; a library stores it and refuses others."""
        ...

    @property
    def dim(self) -> int:
        """Components of a fingerprint."""
        ...

    @property
    def reference_hop_s(self) -> float:
        """Grid on which references are stored, in seconds; a whole multiple of ``query_hop_s``."""
        ...

    @property
    def query_hop_s(self) -> float:
        """Grid of queries, in seconds."""
        ...

    @property
    def codebook(self) -> Codebook | None:
        """What its fingerprints can be stored compactly with; None if there is nothing."""
        ...

    def threshold(self, duration_s: float) -> float:
        """Score at and above which an answer counts as a match, for a query of this length.

        In a compact library the codebook's own thresholds count, if it has any.
        """
        ...

    def encode(self, blocks: AudioBlocks, *, query: bool = False) -> Fingerprints:
        """Fingerprint one recording, streaming, on the reference grid or the finer query grid."""
        ...


def sounds_of(encoder: Encoder) -> NDArray[np.float32] | None:
    """Fingerprints that stand for what an encoder's model knows, shape (n, dim); None if it has no codebook.

    Scores are set against them, see `earprint.matching.score_normalisation`.
    """
    return None if encoder.codebook is None else encoder.codebook.sounds
