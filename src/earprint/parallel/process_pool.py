"""Worker processes, for work that would wait for Python's lock in threads.

They are spawned, as forked threads of onnxruntime or CUDA would hang, when they are first needed, and
kept. On one thread each: there is one for each core. Spawned processes import the program's main module,
which must therefore do nothing when it is imported (``if __name__ == "__main__":``).
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from typing import Any, ParamSpec, Self, TypeVar

Given = ParamSpec("Given")
Result = TypeVar("Result")

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Set to 1 for workers."""

_parent_gave_up: Event | None = None
"""In a worker: set once nobody wants what it is at."""


class Workers:
    """Some processes; a context manager that ends them.

    Parameters
    ----------
    jobs : int
        How many, at least 1.
    begin : callable, optional
        A function of a module that each begins with.
    *given
        Its arguments.
    """

    def __init__(self, jobs: int, begin: Callable[..., object] | None = None, *given: Any) -> None:
        self.jobs = jobs
        self._begin, self._given = begin, given
        self._context = get_context("spawn")
        self._lock = threading.Lock()
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End them once they are done with what they have begun."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def give_up(self) -> None:
        """Tell them that nobody wants what they are at; see `given_up`."""
        self._gave_up.set()

    def submit(
        self, function: Callable[Given, Result], /, *args: Given.args, **kwargs: Given.kwargs
    ) -> Future[Result]:
        """Have one of them call a function of a module; from any thread.

        If one of them ends by itself, the calls of all of them raise `BrokenExecutor`; for later calls there
        are new ones.
        """
        with self._lock, _as_workers_begin():
            if self._pool is None:
                self._pool = self._new_pool(self.jobs)
            try:
                return self._pool.submit(function, *args, **kwargs)
            except BrokenExecutor:
                self._pool.shutdown(wait=False)
                self._pool = self._new_pool(self.jobs)
                return self._pool.submit(function, *args, **kwargs)

    def call_alone(
        self, function: Callable[Given, Result], *args: Given.args, **kwargs: Given.kwargs
    ) -> Result:
        """Have a process of its own call a function that may end it."""
        with self._new_pool(1) as pool:
            with self._lock, _as_workers_begin():
                future = pool.submit(function, *args, **kwargs)
            return future.result()

    @cached_property
    def _gave_up(self) -> Event:
        return self._context.Event()  # its first one begins a process, too

    def _new_pool(self, jobs: int) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            jobs,
            mp_context=self._context,
            initializer=_begin,
            initargs=(self._gave_up, self._begin, self._given),
        )


def given_up() -> bool:
    """In a worker: whether nobody wants what it is at. False in any other process."""
    return _parent_gave_up is not None and _parent_gave_up.is_set()


def _begin(gave_up: Event, begin: Callable[..., object] | None, given: tuple[Any, ...]) -> None:
    global _parent_gave_up
    _parent_gave_up = gave_up
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C ends
    threading.Thread(target=_end_with_the_parent, name="earprint-parent", daemon=True).start()
    if begin is not None:
        begin(*given)


def _end_with_the_parent() -> None:
    """Leave no process behind whose parent was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _as_workers_begin() -> Iterator[None]:
    """Have processes that are started meanwhile use one thread for matrix products, and hear no Ctrl-C."""
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    mask = None
    if hasattr(signal, "pthread_sigmask"):  # not on Windows; there, a worker hears it until it has begun
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
