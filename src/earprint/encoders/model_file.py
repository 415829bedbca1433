"""Model files: an ONNX file and its model card, a JSON file of the same name.

The card names the network and the encoder that runs it, the hops, the match thresholds, and the training data
and recipe.

A model can have a second network for queries, ``X.query.onnx`` and ``X.query.json``. It is larger than the
network for references and trained to match its fingerprints. Stored fingerprints and the model's identity do
not depend on it, so a library stays valid when it changes.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from earprint.errors import ModelError
from earprint.parallel.cores import usable_cores
from earprint.quantization.codebook import Codebook, read_codebook

BATCH: Final = 64
"""Windows per call of the network."""

QUERY_SUFFIX: Final = ".query.onnx"
"""File name ending of a query network, in place of ``.onnx``."""

FINDS: Final = "finds"
"""Card key of a query network: `ModelFile.model_id` of the model whose fingerprints it matches."""

ENCODER: Final = "encoder"
"""Card key: the encoder that runs the network, ``dense`` or ``windowed``."""

ENCODER_OF_NETWORK: Final = {
    "dense": "dense",
    "dense-attention": "dense",
    "attention": "windowed",
    "plain": "windowed",
    "nafp": "windowed",
}
"""Encoder of each network, for cards without `ENCODER`."""


@dataclass(frozen=True)
class ModelFile:
    """An opened model.

    Attributes
    ----------
    path : Path
        The ONNX file.
    name : str
        Name of the model, such as ``dense``.
    network : str
        Name of the network, such as ``dense`` or ``attention``.
    dim : int
        Number of components of a fingerprint.
    thresholds : dict of float to float
        Least score of a match, by query length in seconds.
    card : dict
        The whole model card.
    digest : str
        Eight hexadecimal digits of the BLAKE2b of the ONNX file.
    """

    path: Path
    name: str
    network: str
    dim: int
    thresholds: dict[float, float]
    card: dict[str, Any]
    digest: str

    @property
    def model_id(self) -> str:
        """Name and digest: different weights give a different one."""
        return f"{self.name}-{self.digest}"

    @property
    def encoder(self) -> str | None:
        """Encoder that runs the network: ``dense``, ``windowed``, another name, or None if unknown."""
        named = self.card.get(ENCODER, ENCODER_OF_NETWORK.get(self.network))
        return named if isinstance(named, str) else None

    def whole_number(self, key: str, default: int, *, least: int) -> int:
        """Return an integer of the card.

        Raises
        ------
        ModelError
            If the value is not an integer, or less than ``least``.
        """
        value = self.card.get(key, default)
        if not isinstance(value, int) or value < least:
            raise ModelError(
                f"{self.path.with_suffix('.json')}: {key} is {value!r}, not a whole number of at least "
                f"{least}; export the model again"
            )
        return value

    def threshold(self, duration_s: float) -> float:
        """Return the least score of a match for a query of ``duration_s`` seconds, see `threshold_at`."""
        return threshold_at(self.thresholds, duration_s)

    @property
    def query_path(self) -> Path:
        """Path of the query network's ONNX file, whether it exists or not."""
        return self.path.with_suffix(QUERY_SUFFIX)

    def query_model(self) -> "ModelFile":
        """Open the query network; returns the model itself if there is none.

        Raises
        ------
        ModelError
            If the file is not a query network of this model.
        """
        if not self.query_path.exists():
            return self
        query = open_model(self.query_path)
        finds = query.card.get(FINDS)
        if (finds, query.network, query.dim) != (self.model_id, self.network, self.dim):
            raise ModelError(
                f"{self.query_path}: is a query network of {finds}, not of {self.model_id} beside it; "
                "train and export one for it, or delete it"
            )
        return query

    @property
    def codebook_path(self) -> Path:
        """Path of the codebook, whether it exists or not."""
        return self.path.with_suffix(".codebook.npz")

    def codebook(self) -> Codebook | None:
        """Read the model's codebook; returns None if there is none.

        Raises
        ------
        ModelError
            If the file is not a codebook of this model.
        """
        if not self.codebook_path.exists():
            return None
        book = read_codebook(self.codebook_path)
        if (book.model_id, book.dim) != (self.model_id, self.dim):
            raise ModelError(
                f"{self.codebook_path}: is the codebook of {book.model_id}, not of {self.model_id} beside "
                "it; make it again with `earprint train codebook`, or delete it"
            )
        return book


def threshold_at(thresholds: Mapping[float, float], duration_s: float) -> float:
    """Interpolate the least score of a match for a query length.

    The score of a wrong match varies more for short queries, so these need a higher threshold. Between the
    given lengths the threshold is linear in the logarithm of the length; outside them it is constant.

    Parameters
    ----------
    thresholds : mapping of float to float
        Threshold by query length in seconds; at least one.
    duration_s : float
        Query length, in seconds.

    Examples
    --------
    >>> from earprint.encoders.model_file import threshold_at
    >>> round(threshold_at({1.0: 0.8, 4.0: 0.6}, 2.0), 6)
    0.7
    """
    lengths = sorted(thresholds)
    scores = [thresholds[length] for length in lengths]
    return float(np.interp(np.log(max(duration_s, 1e-3)), np.log(lengths), scores))


def open_model(path: Path) -> ModelFile:
    """Read a model card and check that the ONNX file exists.

    Parameters
    ----------
    path : Path
        The ONNX file.

    Raises
    ------
    ModelError
        If either file is missing or unreadable.
    """
    card_path = path.with_suffix(".json")
    for file in (path, card_path):
        if not file.is_file():
            raise ModelError(f"{file}: no such model file; reinstall earprint or check the path")
    try:
        card = json.loads(card_path.read_text(encoding="utf-8"))
        digest = hashlib.blake2b(path.read_bytes(), digest_size=4).hexdigest()
        thresholds = {float(length): float(score) for length, score in card["threshold"].items()}
        if not thresholds or min(thresholds) <= 0:
            raise ValueError("threshold needs a score for at least one length above 0 s")
        return ModelFile(path, card["name"], card["network"], int(card["dim"]), thresholds, card, digest)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{card_path}: not a usable model description ({error}); export the model again"
        ) from error


class NetworkSession(Protocol):
    """Runs a model's network. It must be safe to call from several threads.

    Attributes
    ----------
    batch : int
        Best number of windows per call, for encoders that cut a recording into windows.
    """

    batch: int

    def run(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Evaluate the network."""
        ...


class Session:
    """Runs a model with one float32 input and one float32 output in onnxruntime, on the CPU.

    Parameters
    ----------
    model : ModelFile
    threads : int
        Threads for one call; 0 for one per core.
    switch : str, optional
        Name of an optional boolean input that is set to true in every call, if the model has it.

    Attributes
    ----------
    switched : bool
        Whether the model has the input ``switch``.
    batch : int
        See `NetworkSession`.

    Raises
    ------
    ModelError
        If onnxruntime does not accept the file.
    """

    batch = BATCH

    def __init__(self, model: ModelFile, threads: int = 0, switch: str | None = None) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or usable_cores()
        options.inter_op_num_threads = 1
        # Spinning idle threads would take cores from the decoder.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                str(model.path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            reason = str(error).partition("\n")[0]
            raise ModelError(
                f"{model.path}: onnxruntime cannot load it ({reason}); reinstall earprint"
            ) from error
        self._input = self._session.get_inputs()[0].name
        self.switched = switch in {known.name for known in self._session.get_overridable_initializers()}
        self._also = {switch: np.array(True)} if self.switched else {}

    def run(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Evaluate the network."""
        output: NDArray[np.float32] = self._session.run(None, {self._input: features, **self._also})[0]
        return output


class ModelEncoder:
    """Base class of the encoders: an opened model and its session.

    Parameters
    ----------
    model : ModelFile
    threads : int
        See `Session`.
    session : NetworkSession, optional
        Runs the network; onnxruntime by default.
    """

    def __init__(self, model: ModelFile, threads: int = 0, session: NetworkSession | None = None) -> None:
        self.model = model
        self._session: NetworkSession = Session(model, threads) if session is None else session

    @property
    def name(self) -> str:
        """The model's name."""
        return self.model.name

    @property
    def model_id(self) -> str:
        """Name and digest of the weights."""
        return self.model.model_id

    @property
    def dim(self) -> int:
        """Components of a fingerprint."""
        return self.model.dim

    @cached_property
    def codebook(self) -> Codebook | None:
        """The model's codebook, or None."""
        return self.model.codebook()

    def threshold(self, duration_s: float) -> float:
        """Return the least score of a match for a query of ``duration_s`` seconds."""
        return self.model.threshold(duration_s)
