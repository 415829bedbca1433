"""Decoding and encoding of files in worker processes, for runs of `add` that take long.

FFmpeg gives about 20 ms of audio at a time, and Python holds its lock in between, so threads on several cores
wait for each other. A process takes some time to start. A run continues in processes when it takes longer
than that.
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
from earprint.parallel.process_pool import ProcessPool, is_cancelled

DEFAULT_JOBS = min(16, usable_cores())
"""Processes: one per core, up to the number that one process can keep up with in packing and writing."""

START_AFTER_S = 2.0
"""Time after which a run continues in processes, in seconds; longer than processes take to start."""


class FileEncoder(Protocol):
    """An object that decodes and encodes files, for instance in other processes.

    Attributes
    ----------
    jobs : int
        Number of files to encode at the same time.
    start_after_s : float
        A run uses the encoder after this time, in seconds, if it still has twice as much to do.
    """

    jobs: int
    start_after_s: float

    def encode_file(self, path: Path, model_id: str) -> tuple[Fingerprints, list[str]]:
        """Return the fingerprints of a file by the model ``model_id``, and warnings; from any thread."""
        ...

    def cancel(self) -> None:
        """Make running calls of `encode_file` end soon; from any thread."""
        ...


class EncodingPool:
    """Worker processes that decode and encode files, for `earprint.Library.add`, `rebuild` and `repair`.

    A context manager that ends the processes. They import the program's main module, see
    `earprint.parallel.process_pool`. If a file ends the process that decodes it, that file has failed, and
    the others are encoded nevertheless.

    Parameters
    ----------
    model : str
        Model of the library: a name or the path of an ONNX file.
    jobs : int
        Number of processes.
    start_after_s : float
        See `FileEncoder`.
    """

    def __init__(self, model: str, jobs: int = DEFAULT_JOBS, start_after_s: float = START_AFTER_S) -> None:
        self._model = model
        self._processes = ProcessPool(jobs)
        self.jobs = jobs
        self.start_after_s = start_after_s

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._processes.close()

    def encode_file(self, path: Path, model_id: str) -> tuple[Fingerprints, list[str]]:
        """Return the fingerprints of a file, and warnings.

        Raises
        ------
        AudioError
            If the file gives no audio, or ends the process that decodes it.
        ModelError
            If the model has another identity.
        """
        try:
            return self._processes.submit(encode_file, self._model, path, model_id).result()
        except BrokenExecutor:  # because of this file, or of another one at the same time
            pass
        try:
            return self._processes.run_isolated(encode_file, self._model, path, model_id)
        except BrokenExecutor as error:
            raise AudioError(
                f"{path}: ended the process that read it, being damaged or for want of memory; leave it "
                "out, or save it again with another program"
            ) from error

    def cancel(self) -> None:
        """Make running calls of `encode_file` end soon."""
        self._processes.cancel()


def encode_file(model: str, path: Path, model_id: str) -> tuple[Fingerprints, list[str]]:
    """Return the fingerprints of a file, and warnings; runs in a worker process.

    Parameters
    ----------
    model : str
        Name or path of the model.
    path : Path
    model_id : str
        Identity that the model must have.
    """
    warnings: list[str] = []
    encoder = load_encoder(model, 1)
    if encoder.model_id != model_id:
        raise ModelError(
            f"{model}: is {encoder.model_id}, the library's model is {model_id}; name the library's model "
            "where its files are fingerprinted"
        )
    try:
        return encoder.encode(_until_cancelled(stream_audio(path, on_warning=warnings.append))), warnings
    except EarprintError:
        raise
    except Exception as error:  # not every error of a decoder can be pickled
        raise AudioError(f"{path}: {type(error).__name__}: {error}") from None


def _until_cancelled(blocks: Iterator[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    for block in blocks:
        if is_cancelled():
            raise AudioError("was cancelled")  # nobody waits for this result
        yield block
