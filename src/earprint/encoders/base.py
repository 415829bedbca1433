"""The interface of an encoder, and what it returns.

An encoder turns audio into a sequence of unit vectors on a regular time grid. Row ``i`` describes the window
that begins at ``i * hop_s`` seconds. References and queries follow the same convention, so the difference of
two rows' times is the offset between the recordings. A silent window keeps its place in the sequence as a row
of zeros, which matches nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from earprint.quantization.codebook import Codebook

AudioBlocks = Iterable[NDArray[np.float32]]
"""Consecutive blocks of 16 kHz mono samples, each of shape (n,), of any lengths."""


@dataclass(frozen=True, eq=False)
class Fingerprints:
    """The fingerprints of one recording.

    Attributes
    ----------
    vectors : ndarray of float32, shape (n, dim)
        Unit vectors, one per grid point; rows of zeros where the recording is silent.
    hop_s : float
        Time from one row to the next, in seconds.
    duration_s : float
        Length of the audio, in seconds.
    margin_rows : int
        Number of rows at either end whose windows extend past the recording: row ``i`` begins at
        ``(i - margin_rows) * hop_s`` seconds. The encoder pads these windows.

    Examples
    --------
    >>> import numpy as np
    >>> from earprint import Fingerprints
    >>> fingerprints = Fingerprints(np.eye(3, 128, dtype=np.float32), hop_s=0.32, duration_s=1.6)
    >>> fingerprints.times_s
    array([0.  , 0.32, 0.64])
    >>> fingerprints.silent
    array([False, False, False])
    """

    vectors: NDArray[np.float32]
    hop_s: float
    duration_s: float
    margin_rows: int = 0

    @property
    def times_s(self) -> NDArray[np.float64]:
        """Start of each row's window, in seconds, shape (n,)."""
        return (np.arange(len(self.vectors), dtype=np.float64) - self.margin_rows) * self.hop_s

    @property
    def silent(self) -> NDArray[np.bool_]:
        """Which rows are silent, shape (n,)."""
        return np.asarray(~self.vectors.any(axis=1))

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready data: the attributes and ``times_s``, with arrays as lists.

        Examples
        --------
        >>> import numpy as np
        >>> from earprint import Fingerprints
        >>> Fingerprints(np.ones((1, 1), dtype=np.float32), hop_s=0.32, duration_s=1.0).to_dict()
        {'vectors': [[1.0]], 'times_s': [0.0], 'hop_s': 0.32, 'duration_s': 1.0, 'margin_rows': 0}
        """
        return {
            "vectors": self.vectors.tolist(),
            "times_s": self.times_s.tolist(),
            "hop_s": float(self.hop_s),
            "duration_s": float(self.duration_s),
            "margin_rows": int(self.margin_rows),
        }


@runtime_checkable
class Encoder(Protocol):
    """The interface of an encoder: any object with these attributes and methods is one.

    Pass your own to `earprint.embed` or `earprint.Library`. ``docs/how-to/use-another-encoder.md`` of the
    repository has a complete example.

    Examples
    --------
    >>> import earprint
    >>> encoder = earprint.load_encoder("dense")
    >>> isinstance(encoder, earprint.Encoder)
    True
    >>> encoder.dim, encoder.reference_hop_s, encoder.query_hop_s
    (128, 0.32, 0.04)
    """

    @property
    def name(self) -> str:
        """The model's name, such as ``dense``."""
        ...

    @property
    def model_id(self) -> str:
        """Name and digest of the weights. A library stores it and refuses fingerprints of another model."""
        ...

    @property
    def dim(self) -> int:
        """Number of components of a fingerprint."""
        ...

    @property
    def reference_hop_s(self) -> float:
        """Hop of references, in seconds; a whole multiple of ``query_hop_s``."""
        ...

    @property
    def query_hop_s(self) -> float:
        """Hop of queries, in seconds."""
        ...

    @property
    def codebook(self) -> Codebook | None:
        """Product quantiser for compact storage, or None: the library then stores half precision."""
        ...

    def threshold(self, duration_s: float) -> float:
        """Return the least score of a match for a query of this length, in seconds.

        In a compact library the codebook's own thresholds are used, if it has any.
        """
        ...

    def encode(self, blocks: AudioBlocks, *, query: bool = False) -> Fingerprints:
        """Fingerprint one recording.

        Parameters
        ----------
        blocks : iterable of ndarray of float32, each of shape (n,)
            Consecutive blocks of 16 kHz mono samples.
        query : bool
            Use the query grid instead of the reference grid.

        Returns
        -------
        Fingerprints
        """
        ...


@runtime_checkable
class SegmentEncoder(Encoder, Protocol):
    """An encoder with which `earprint.Library.identify` also finds segments at any tempo and pitch.

    Examples
    --------
    >>> import earprint
    >>> from earprint.encoders.base import SegmentEncoder
    >>> isinstance(earprint.load_encoder("dense"), SegmentEncoder)
    True
    """

    @property
    def expectation(self) -> Mapping[str, Any] | None:
        """The law of chance scores, see `earprint.matching.expectation`; None if the model has none."""
        ...

    def encode_at_pitch(self, blocks: AudioBlocks, pitch: float) -> Fingerprints:
        """Fingerprint a query as if all its frequencies were divided by ``pitch``. The tempo stays."""
        ...


def cohort_of(encoder: Encoder) -> NDArray[np.float32] | None:
    """Return the cohort for score normalisation, shape (n, dim); None if the encoder has no codebook.

    The cohort is `Codebook.cohort`. See `earprint.matching.score_normalisation`.
    """
    return None if encoder.codebook is None else encoder.codebook.cohort
