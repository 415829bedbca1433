"""Files decoded and encoded in other processes, each on one core, where no thread waits for Python's lock.

FFmpeg hands over some 20 ms of sound at a time, and Python holds its lock between two of them, so that
threads on several cores keep each other waiting (measured in docs/benchmarks.md). A process takes
some time to begin; a run goes on in processes when it has shown that it takes longer.
"""

from collections.abc import Iterator
from concurrent.futures import BrokenExecutor
from pathlib import Path
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from earprint.audio import stream_audio
from earprint.encoders.base import Fingerprints
from earprint.encoders.registry import load_encoder
from earprint.errors import AudioError, EarprintError, ModelError
from earprint.parallel.cores import usable_cores
from earprint.parallel.process_pool import Workers, given_up

PROCESSES = min(16, usable_cores())
"""Files done at a time: one for each core, as far as one process can keep up with packing and writing."""

AFTER_S = 2.0
"""Time after which a run goes on in processes, in seconds: more than they take to begin."""


class EncodesFiles(Protocol):
    """Whoever decodes and encodes files elsewhere, such as in other processes.

    Attributes
    ----------
    files_at_once : int
        So many are worth doing at a time.
    after_s : float
        It is worth its start for a run that has taken so long, in seconds, and has twice as much before it.
    """

    files_at_once: int
    after_s: float

    def encode_file(self, path: Path, model_id: str) -> tuple[Fingerprints, list[str]]:
        """Fingerprint a file with the model of this identity; say what was wrong with it; from any thread."""
        ...

    def give_up(self) -> None:
        """Have calls of `encode_file` end soon, as nobody wants their results; from any thread."""
        ...


class FilesInProcesses:
    """Decodes and encodes files in processes of its own; a context manager that ends them.

    For `earprint.Library.add`, `rebuild` and `repair`. The processes import the program's main module, see
    `earprint.parallel.process_pool`. A file that ends the process that reads it, as a decoder may crash, has failed,
    and the others go on.

    Parameters
    ----------
    model : str
        The library's: a name or the path of an ONNX file.
    jobs : int
        Processes.
    after_s : float
        See `EncodesFiles`.
    """

    def __init__(self, model: str, jobs: int = PROCESSES, after_s: float = AFTER_S) -> None:
        self._model = model
        self._workers = Workers(jobs)
        self.files_at_once = jobs
        self.after_s = after_s

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._workers.close()

    def encode_file(self, path: Path, model_id: str) -> tuple[Fingerprints, list[str]]:
        """Fingerprint a file.

        Raises
        ------
        AudioError
            If there is nothing to be had from it.
        ModelError
            If the model has another identity.
        """
        try:
            return self._workers.submit(encode_here, self._model, path, model_id).result()
        except BrokenExecutor:  # this file's fault or that of another one at the same time
            pass
        try:
            return self._workers.call_alone(encode_here, self._model, path, model_id)
        except BrokenExecutor as error:
            raise AudioError(
                f"{path}: ended the process that read it, being damaged or for want of memory; leave it "
                "out, or save it again with another program"
            ) from error

    def give_up(self) -> None:
        """Have calls of `encode_file` end soon."""
        self._workers.give_up()


def encode_here(model: str, path: Path, model_id: str) -> tuple[Fingerprints, list[str]]:
    """Fingerprint a file in this process, a worker, and tell what was wrong with it."""
    warnings: list[str] = []
    encoder = load_encoder(model, 1)
    if encoder.model_id != model_id:
        raise ModelError(
            f"{model}: is {encoder.model_id}, the library's model is {model_id}; name the library's model "
            "where its files are fingerprinted"
        )
    try:
        return encoder.encode(_as_long_as_wanted(stream_audio(path, on_warning=warnings.append))), warnings
    except EarprintError:
        raise
    except Exception as error:  # what a decoder raises cannot always be sent to the parent
        raise AudioError(f"{path}: {type(error).__name__}: {error}") from None


def _as_long_as_wanted(blocks: Iterator[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    for block in blocks:
        if given_up():
            raise AudioError("was given up")  # seen by nobody
        yield block
