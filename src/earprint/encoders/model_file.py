"""A model on disk: an ONNX file and, beside it, a JSON file of the same name that says what it is.

The JSON file names the network (which decides how audio is presented to it), the grids, the match threshold
and everything the model card repeats: data, recipe, results.

A model can have a second network for queries alone, in two more files, ``X.query.onnx`` and ``X.query.json``:
a larger one than references can afford, trained to find the fingerprints that the first one makes. What is
stored does not depend on it, nor does the model's identity: libraries keep when it changes.
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
"""Windows given to the network at once."""

QUERY_SUFFIX: Final = ".query.onnx"
"""Ending of the file of a network for queries, in place of ``.onnx``."""

FINDS: Final = "finds"
"""Key of such a network's card: identity of the model whose fingerprints it finds."""


@dataclass(frozen=True)
class ModelFile:
    """An opened model.

    Attributes
    ----------
    path : Path
        The ONNX file.
    name : str
        Such as ``dense``.
    network : str
        ``dense`` or ``attention``: how audio is presented to it.
    dim : int
        Components of a fingerprint.
    thresholds : dict of float to float
        Score at and above which an answer counts as a match, by query length in seconds.
    card : dict
        All of the JSON file.
    digest : str
        Eight hexadecimal digits of the ONNX file's BLAKE2b.
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
        """Name and digest: equal for equal weights only."""
        return f"{self.name}-{self.digest}"

    def whole_number(self, key: str, default: int, *, least: int) -> int:
        """Read a whole number of the card.

        Raises
        ------
        ModelError
            If it is something else, or less than ``least``.
        """
        value = self.card.get(key, default)
        if not isinstance(value, int) or value < least:
            raise ModelError(
                f"{self.path.with_suffix('.json')}: {key} is {value!r}, not a whole number of at least "
                f"{least}; export the model again"
            )
        return value

    def threshold(self, duration_s: float) -> float:
        """Score of a match for a query of some length, in seconds; see `threshold_at`."""
        return threshold_at(self.thresholds, duration_s)

    @property
    def query_path(self) -> Path:
        """Where the network for queries lies, if the model has one of its own."""
        return self.path.with_suffix(QUERY_SUFFIX)

    def query_model(self) -> "ModelFile":
        """Open the network for queries; the model itself if it has none of its own.

        Raises
        ------
        ModelError
            If there is a file that is no network for queries of this model.
        """
        if not self.query_path.exists():
            return self
        query = open_model(self.query_path)
        finds = query.card.get(FINDS)
        if (finds, query.network, query.dim) != (self.model_id, self.network, self.dim):
            raise ModelError(
                f"{self.query_path}: finds what {finds} stores, not {self.model_id} beside it; train and "
                "export one for it, or delete it"
            )
        return query

    @property
    def codebook_path(self) -> Path:
        """Where the model's codebook lies, if it has one."""
        return self.path.with_suffix(".codebook.npz")

    def codebook(self) -> Codebook | None:
        """Read the model's codebook; None if it has none.

        Raises
        ------
        ModelError
            If there is a file that is no codebook of this model.
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
    """Score of a match for a query of some length, from the scores for a few lengths.

    Chance agreements average out over a long query and not over a short one, so short queries need a higher
    score. Linear in the logarithm of the length between the lengths given, constant beyond them.

    Parameters
    ----------
    thresholds : mapping of float to float
        Score by query length in seconds; at least one.
    duration_s : float
    """
    lengths = sorted(thresholds)
    scores = [thresholds[length] for length in lengths]
    return float(np.interp(np.log(max(duration_s, 1e-3)), np.log(lengths), scores))


def open_model(path: Path) -> ModelFile:
    """Read a model's description and check that its weights are there.

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
    """Whatever runs a model's network; calls from several threads at once are safe.

    Attributes
    ----------
    batch : int
        Windows that it is best given at once, by encoders that cut a recording into windows.
    """

    batch: int

    def run(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Evaluate the network."""
        ...


class Session:
    """The model in onnxruntime, one float32 input and one float32 output.

    Parameters
    ----------
    model : ModelFile
    threads : int
        Threads for one call; 0 for one per core. Calls from several threads at once are safe.
    switch : str, optional
        An optional input of the model to set in every call, if the model has it; see `switched`.

    Attributes
    ----------
    switched : bool
        Whether the model has the switch.
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
        # Idle threads that spin would take the core from decoding.
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
    """What the encoders share: an opened model and its session.

    Parameters
    ----------
    model : ModelFile
    threads : int
        See `Session`.
    session : NetworkSession, optional
        Runs the network in place of onnxruntime.
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
        """The model's codebook, if it has one."""
        return self.model.codebook()

    def threshold(self, duration_s: float) -> float:
        """Score of a match for a query of some length."""
        return self.model.threshold(duration_s)
