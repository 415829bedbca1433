"""The worker processes of an evaluation: begun when they are first needed, and kept for all that follows.

Each begins with what computes in this process (`earprint.evaluation.backends`).
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Future
from pathlib import Path
from typing import TypeVar

from earprint.encoders.base import Fingerprints
from earprint.errors import EvaluationError
from earprint.evaluation import backends as compute
from earprint.library.encoding_pool import encode_file
from earprint.parallel.process_pool import ProcessPool

Item = TypeVar("Item")
Result = TypeVar("Result")


class Workers(ProcessPool):
    """Some processes; a context manager that ends them.

    Parameters
    ----------
    jobs : int
        How many, at least 1.
    computing : str
        What computes in them, see `earprint.evaluation.backends`.
    """

    def __init__(self, jobs: int, computing: str = compute.CPU) -> None:
        super().__init__(jobs, _begin, (computing,))


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
    """Has workers fingerprint files; see `earprint.library.encoding_pool.FileEncoder`.

    Parameters
    ----------
    workers : Workers
    model : str
        A name or the path of an ONNX file.
    """

    start_after_s = 0.0
    """They are there anyway."""

    def __init__(self, workers: Workers, model: str) -> None:
        self._workers, self._model = workers, model
        self.jobs = workers.jobs

    def encode_file(self, path: Path, model_id: str) -> tuple[Fingerprints, list[str]]:
        """Fingerprint a file."""
        return finished(self._workers.submit(encode_file, self._model, path, model_id))

    def cancel(self) -> None:
        """Have calls of `encode_file` end soon; the evaluation ends."""
        self._workers.cancel()


def _begin(computing: str) -> None:
    compute.begin(computing, worker=True)
