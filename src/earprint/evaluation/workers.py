"""The worker processes of an evaluation: begun when they are first needed, and kept for all that follows.

They are spawned, as forked threads of onnxruntime or CUDA would hang, and each begins with what computes in
this process (`earprint.evaluation.compute`). On one thread each: there is one for each core.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import ParamSpec, Self, TypeVar

from earprint import encoder as encoders
from earprint.audio import stream_audio
from earprint.encoder.base import Fingerprints
from earprint.errors import EvaluationError
from earprint.evaluation import compute

Given = ParamSpec("Given")
Item = TypeVar("Item")
Result = TypeVar("Result")

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Set to 1 for workers."""


class Workers:
    """Some processes; a context manager that ends them.

    Parameters
    ----------
    jobs : int
        How many, at least 1.
    computing : str
        What computes in them, see `earprint.evaluation.compute`.
    """

    def __init__(self, jobs: int, computing: str = compute.CPU) -> None:
        self.jobs = jobs
        self._lock = threading.Lock()
        self._pool = ProcessPoolExecutor(
            jobs, mp_context=get_context("spawn"), initializer=_begin, initargs=(computing,)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End them once they are done with what they have begun."""
        self._pool.shutdown(cancel_futures=True)

    def submit(
        self, function: Callable[Given, Result], /, *args: Given.args, **kwargs: Given.kwargs
    ) -> Future[Result]:
        """Have one of them call a function of a module; from any thread."""
        with self._lock, _one_thread_each():  # it may begin a process
            return self._pool.submit(function, *args, **kwargs)


def finished(future: Future[Result]) -> Result:
    """Wait for a result.

    Raises
    ------
    EvaluationError
        If the worker is gone.
    """
    try:
        return future.result()
    except BrokenExecutor as error:
        raise EvaluationError(
            "a worker process has ended by itself, for want of memory perhaps (see above); give fewer --jobs"
        ) from error


def each(
    workers: Workers | None, function: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[Result]:
    """Call a function of a module with each item, by workers or else here; results in the items' order."""
    if workers is None:
        yield from map(function, items)
        return
    futures = [workers.submit(function, item) for item in items]
    try:
        for future in futures:
            yield finished(future)
    finally:
        for future in futures:
            future.cancel()


class FilesByWorkers:
    """Has workers fingerprint files; see `earprint.library.ingest.EncodesFiles`.

    Parameters
    ----------
    workers : Workers
    model : str
        A name or the path of an ONNX file.
    """

    def __init__(self, workers: Workers, model: str) -> None:
        self._workers, self._model = workers, model
        self.files_at_once = workers.jobs

    def encode_file(self, path: Path) -> tuple[Fingerprints, list[str]]:
        """Fingerprint a file."""
        return finished(self._workers.submit(_encode_file, self._model, path))


def _encode_file(model: str, path: Path) -> tuple[Fingerprints, list[str]]:
    """Fingerprint a file, and say what was wrong with it; in a worker."""
    warnings: list[str] = []
    encoder = encoders.load_encoder(model, 1)
    return encoder.encode(stream_audio(path, on_warning=warnings.append)), warnings


def _begin(computing: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C ends
    compute.begin(computing, worker=True)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Have processes that are started meanwhile use one thread for matrix products."""
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
