"""Worker processes, for work that holds Python's lock and so gains nothing from threads.

`ProcessPool` adds to `concurrent.futures.ProcessPoolExecutor`:

- processes are spawned (forked threads of onnxruntime or CUDA would hang), on the first call, each on one
  thread, since there is one process per core;
- after a process has died, the next call starts new ones;
- Ctrl-C reaches only the parent, which decides what ends; running calls learn of it by `is_cancelled`;
- processes end when their parent is killed.

Spawned processes import the program's main module, so that module must do nothing on import
(``if __name__ == "__main__":``).
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from typing import Any, ParamSpec, Self, TypeVar

P = ParamSpec("P")
Result = TypeVar("Result")

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Environment variables that are 1 in worker processes."""

_cancellation: Event | None = None
"""In a worker process: its pool's cancellation event."""


class ProcessPool:
    """Worker processes; a context manager that ends them.

    Parameters
    ----------
    jobs : int
        Number of processes, at least 1.
    initializer : callable, optional
        Function of a module that each process calls first.
    initargs : tuple
        Its arguments.
    """

    def __init__(
        self,
        jobs: int,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
    ) -> None:
        self.jobs = jobs
        self._initializer, self._initargs = initializer, initargs
        self._context = get_context("spawn")
        self._lock = threading.Lock()
        self._event_lock = threading.Lock()
        self._event: Event | None = None
        self._executor: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes when their running calls have ended; drop calls that have not begun."""
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)

    def cancel(self) -> None:
        """Set the cancellation event: running calls that check `is_cancelled` end soon."""
        self._cancellation_event().set()

    def submit(self, function: Callable[P, Result], /, *args: P.args, **kwargs: P.kwargs) -> Future[Result]:
        """Call a function of a module in a worker process; from any thread.

        If a process dies, the results of all pending calls raise `BrokenExecutor`. Later calls get new
        processes.
        """
        event = self._cancellation_event()  # before SIGINT is blocked: its creation may unblock it
        with self._lock, _worker_environment():
            if self._executor is None:
                self._executor = self._new_executor(self.jobs, event)
            try:
                return self._executor.submit(function, *args, **kwargs)
            except BrokenExecutor:
                self._executor.shutdown(wait=False)
                self._executor = self._new_executor(self.jobs, event)
                return self._executor.submit(function, *args, **kwargs)

    def run_isolated(self, function: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
        """Call a function in a new process of its own, and wait for the result.

        Raises
        ------
        BrokenExecutor
            If the process dies.
        """
        with self._new_executor(1, self._cancellation_event()) as executor:
            with self._lock, _worker_environment():
                future = executor.submit(function, *args, **kwargs)
            return future.result()

    def _cancellation_event(self) -> Event:
        with self._event_lock:
            if self._event is None:
                # The first one of a program starts multiprocessing's resource tracker, a process.
                self._event = self._context.Event()
            return self._event

    def _new_executor(self, jobs: int, event: Event) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            jobs,
            mp_context=self._context,
            initializer=_start_worker,
            initargs=(event, self._initializer, self._initargs),
        )


def is_cancelled() -> bool:
    """Whether this worker process's pool was cancelled; False outside of worker processes."""
    return _cancellation is not None and _cancellation.is_set()


def _start_worker(event: Event, initializer: Callable[..., object] | None, initargs: tuple[Any, ...]) -> None:
    global _cancellation
    _cancellation = event
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C ends
    threading.Thread(target=_end_with_parent, name="earprint-parent", daemon=True).start()
    if initializer is not None:
        initializer(*initargs)


def _end_with_parent() -> None:
    """End this process when its parent has ended."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _worker_environment() -> Iterator[None]:
    """Let processes that start meanwhile use one thread for matrix products, and block Ctrl-C in them."""
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    mask = None
    if hasattr(signal, "pthread_sigmask"):  # on Windows, Ctrl-C reaches a worker until it has started
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
