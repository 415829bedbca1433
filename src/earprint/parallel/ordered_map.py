"""`ordered_map`: do tasks in worker processes and yield the results in the order of the tasks.

If a process dies, for lack of memory or by a fault of a decoder, no other task is lost: its task is done once
more in a process of its own. Only a task that ends that process too is given up.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import BrokenExecutor, Future
from typing import Any, TypeVar

from earprint.errors import TrainingError
from earprint.parallel.process_pool import ProcessPool

Task = TypeVar("Task")
Result = TypeVar("Result")

AHEAD = 2
"""Tasks that wait beyond one per process: no process is idle, and memory stays bounded."""


def ordered_map(
    prepare: Callable[[], Callable[[Task], Result]],
    tasks: Iterable[Task],
    jobs: int,
    on_death: Callable[[Task], Result],
) -> Generator[Result, None, None]:
    """Do tasks in worker processes and yield their results in the order of the tasks.

    Parameters
    ----------
    prepare : callable
        Called once in each process; returns the function that does a task. It, the tasks and the results are
        pickled.
    tasks : iterable
        Read a few tasks ahead.
    jobs : int
        Number of processes; 1 for this process only.
    on_death : callable
        Returns the result of a task whose process died twice, or raises.

    Yields
    ------
    Result
        Close the generator to end the processes early.

    Raises
    ------
    TrainingError
        If no process can be started.
    """
    if jobs == 1:
        yield from map(prepare(), tasks)
        return
    waiting: deque[tuple[Task, Future[Any]]] = deque()
    rest = iter(tasks)
    with ProcessPool(jobs, _prepare_worker, (prepare,)) as pool:
        while True:
            for task in rest:
                waiting.append((task, pool.submit(_do, task)))
                if len(waiting) >= jobs + AHEAD:
                    break
            if not waiting:
                return
            task, future = waiting.popleft()
            try:
                result = future.result()
            except BrokenExecutor:
                result = _isolated(pool, task, on_death)
                waiting = deque((other, _again(pool, other, done)) for other, done in waiting)
            yield result


def _isolated(pool: ProcessPool, task: Task, on_death: Callable[[Task], Result]) -> Result:
    """Do a task in a process of its own."""
    try:
        pool.run_isolated(_do_nothing)
    except BrokenExecutor as error:
        raise TrainingError("no process can be started to share the work; use --jobs 1") from error
    try:
        result: Result = pool.run_isolated(_do, task)
    except BrokenExecutor:
        return on_death(task)
    return result


def _again(pool: ProcessPool, task: Any, done: Future[Any]) -> Future[Any]:
    """Submit a task again, unless it was done before a process died."""
    return pool.submit(_do, task) if isinstance(done.exception(), BrokenExecutor) else done


_functions: list[Callable[[Any], Any]] = []
"""In a worker process: the function that does a task."""


def _prepare_worker(prepare: Callable[[], Callable[[Any], Any]]) -> None:
    _functions.append(prepare())


def _do_nothing() -> None:
    pass


def _do(task: Any) -> Any:
    return _functions[0](task)
