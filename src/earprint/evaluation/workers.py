"""The worker processes of an evaluation.

They start when they are first needed and stay until the end. Each uses this process's backend, see
`earprint.evaluation.backends`.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Future
from pathlib import Path
from typing import TypeVar

from earprint.encoders.base import Fingerprints
from earprint.errors import EvaluationError
from earprint.evaluation.backends import CPU, set_backend
from earprint.library.encoding_pool import encode_file
from earprint.parallel.process_pool import ProcessPool

Item = TypeVar("Item")
Result = TypeVar("Result")


class WorkerPool(ProcessPool):
    """A process pool for an evaluation; a context manager that ends its processes.

    Parameters
    ----------
    jobs : int
        Number of processes, at least 1.
    backend : str
        Name of their backend.
    """

    def __init__(self, jobs: int, backend: str = CPU) -> None:
        super().__init__(jobs, _set_worker_backend, (backend,))


def _set_worker_backend(name: str) -> None:
    set_backend(name, is_worker=True)


def wait_for(future: Future[Result]) -> Result:
    """Wait for a result.

    Raises
    ------
    EvaluationError
        If the worker process has ended.
    """
    try:
        return future.result()
    except BrokenExecutor as error:
        raise EvaluationError(
            "a worker process has ended by itself, for want of memory perhaps (see above); give fewer --jobs"
        ) from error


def map_in_order(
    pool: WorkerPool | None, function: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[Result]:
    """Call a function with each item, in a pool or in this process; results come in the items' order."""
    if pool is None:
        yield from map(function, items)
        return
    futures = [pool.submit(function, item) for item in items]
    try:
        for future in futures:
            yield wait_for(future)
    finally:
        for future in futures:
            future.cancel()


class PoolFileEncoder:
    """Fingerprints files in a worker pool; see `earprint.library.encoding_pool.FileEncoder`.

    Parameters
    ----------
    pool : WorkerPool
    model : str
        A name or the path of an ONNX file.
    """

    start_after_s = 0.0
    """`Library.add` uses the pool at once, because its processes run anyway."""

    def __init__(self, pool: WorkerPool, model: str) -> None:
        self._pool, self._model = pool, model
        self.jobs = pool.jobs

    def encode_file(self, path: Path, model_id: str) -> tuple[Fingerprints, list[str]]:
        """Fingerprint a file."""
        return wait_for(self._pool.submit(encode_file, self._model, path, model_id))

    def cancel(self) -> None:
        """Make calls of `encode_file` end soon."""
        self._pool.cancel()
