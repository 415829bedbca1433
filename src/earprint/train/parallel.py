"""Work on many things in processes, with the results in the order of the things.

The processes are spawned, so that nothing of this one's threads is copied half done. A process that dies, of
the system's lack of memory or of a decoder's fault, takes nothing with it: what it had is tried once more, by
itself, and only if that kills a process too is it given up.
"""

import os
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any, TypeVar

from earprint.errors import TrainingError

Task = TypeVar("Task")
Result = TypeVar("Result")

AHEAD = 2
"""Tasks that wait beyond one for each process: none idles, and memory stays bounded."""


def process_count(jobs: int) -> int:
    """How many processes ``jobs`` asks for: itself, or one for each core of this machine if 0."""
    if jobs:
        return jobs
    if hasattr(os, "sched_getaffinity"):  # the cores that this process may use
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_order(
    prepare: Callable[[], Callable[[Task], Result]],
    tasks: Iterable[Task],
    jobs: int,
    on_death: Callable[[Task], Result],
) -> Generator[Result, None, None]:
    """Do tasks in processes and give their results in the order of the tasks.

    Parameters
    ----------
    prepare : callable
        Called once in each process; gives what does a task. It, the tasks and the results are pickled.
    tasks : iterable
        Taken a few at a time.
    jobs : int
        Processes; with 1 all is done in this one.
    on_death : callable
        Gives the result of a task whose process died twice, or raises.

    Yields
    ------
    Result
        Close the iterator, if it is left early, to end the processes.

    Raises
    ------
    TrainingError
        If no process can be started.
    """
    if jobs == 1:
        work = prepare()
        for task in tasks:
            yield work(task)
        return
    waiting: deque[tuple[Task, Future[Any]]] = deque()
    rest = iter(tasks)
    pool = _start(prepare, jobs)
    try:
        while True:
            for task in rest:
                waiting.append((task, _submit(pool, task)))
                if len(waiting) >= jobs + AHEAD:
                    break
            if not waiting:
                return
            task, future = waiting.popleft()
            try:
                result = future.result()
            except BrokenProcessPool:
                pool.shutdown()
                result = _alone(prepare, task, on_death)
                pool = _start(prepare, jobs)
                waiting = deque((other, _again(pool, other, done)) for other, done in waiting)
            yield result
    finally:
        pool.shutdown(cancel_futures=True)


def _alone(
    prepare: Callable[[], Callable[[Task], Result]], task: Task, on_death: Callable[[Task], Result]
) -> Result:
    """Do one task in a process of its own."""
    with _start(prepare, 1) as pool:
        try:
            pool.submit(_ready).result()
        except BrokenProcessPool as error:
            raise TrainingError("no process can be started to share the work; use --jobs 1") from error
        try:
            result: Result = pool.submit(_do, task).result()
        except BrokenProcessPool:
            return on_death(task)
        return result


def _submit(pool: ProcessPoolExecutor, task: Any) -> Future[Any]:
    """Submit a task; to a pool that broke meanwhile too, which its future then tells."""
    try:
        return pool.submit(_do, task)
    except BrokenProcessPool as error:
        future: Future[Any] = Future()
        future.set_exception(error)
        return future


def _again(pool: ProcessPoolExecutor, task: Any, done: Future[Any]) -> Future[Any]:
    """Submit a task to a new pool unless the old one did it."""
    return _submit(pool, task) if isinstance(done.exception(), BrokenProcessPool) else done


def _start(prepare: Callable[[], Callable[[Any], Any]], jobs: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(
        jobs, mp_context=get_context("spawn"), initializer=_begin_worker, initargs=(prepare,)
    )


_worker: list[Callable[[Any], Any]] = []
"""A process's own."""


def _begin_worker(prepare: Callable[[], Callable[[Any], Any]]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C ends
    _worker.append(prepare())


def _ready() -> None:
    pass


def _do(task: Any) -> Any:
    return _worker[0](task)
