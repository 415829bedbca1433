"""Work on many things in processes, with the results in the order of the things.

A process that dies, of the system's lack of memory or of a decoder's fault, takes nothing with it: what it
had is tried once more, by itself, and only if that kills a process too is it given up.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import BrokenExecutor, Future
from typing import Any, TypeVar

from earprint.errors import TrainingError
from earprint.parallel.process_pool import Workers

Task = TypeVar("Task")
Result = TypeVar("Result")

AHEAD = 2
"""Tasks that wait beyond one for each process: none idles, and memory stays bounded."""


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
    with Workers(jobs, _prepare, prepare) as workers:
        while True:
            for task in rest:
                waiting.append((task, workers.submit(_do, task)))
                if len(waiting) >= jobs + AHEAD:
                    break
            if not waiting:
                return
            task, future = waiting.popleft()
            try:
                result = future.result()
            except BrokenExecutor:
                result = _alone(workers, task, on_death)
                waiting = deque((other, _again(workers, other, done)) for other, done in waiting)
            yield result


def _alone(workers: Workers, task: Task, on_death: Callable[[Task], Result]) -> Result:
    """Do one task in a process of its own."""
    try:
        workers.call_alone(_ready)
    except BrokenExecutor as error:
        raise TrainingError("no process can be started to share the work; use --jobs 1") from error
    try:
        result: Result = workers.call_alone(_do, task)
    except BrokenExecutor:
        return on_death(task)
    return result


def _again(workers: Workers, task: Any, done: Future[Any]) -> Future[Any]:
    """Submit a task once more unless it was done before a process died."""
    return workers.submit(_do, task) if isinstance(done.exception(), BrokenExecutor) else done


_worker: list[Callable[[Any], Any]] = []
"""A process's own."""


def _prepare(prepare: Callable[[], Callable[[Any], Any]]) -> None:
    _worker.append(prepare())


def _ready() -> None:
    pass


def _do(task: Any) -> Any:
    return _worker[0](task)
