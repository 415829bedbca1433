"""Put all questions to all systems, on all cores, so that an interrupted run keeps what it has.

Questions are cut into chunks of neighbouring ones (the same recording, then the same excerpt), which workers
render once and put to every system. Workers are processes, as much of the matching holds Python's lock. The
chunks depend on the questions alone, so that the answers do not depend on the number of workers.
"""

import functools
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future, as_completed, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from earprint.audio.wav import write_wav
from earprint.evaluation import backends as compute
from earprint.evaluation.outcomes import Outcome
from earprint.evaluation.query import Query
from earprint.evaluation.rendering import render
from earprint.evaluation.systems import Question, Reader, System
from earprint.evaluation.workers import Workers, finished
from earprint.matching import Method

CHUNK = 64
"""Questions rendered and put at a time."""

Chunk = list[tuple[int, Query]]
"""Queries with their numbers in the manifest."""

Expected = Mapping[str, Mapping[Path, int]]
"""By system, the track of each recording."""


@dataclass
class Answers:
    """What was answered, by system and number of the query.

    Attributes
    ----------
    outcomes : dict of (str, int) to Outcome
    left_out : list of (Query, str)
        Queries that could not be put, and why.
    files : dict of int to Path
        The audio of the questions, if it was to be kept.
    complete : bool
        False if the run was interrupted.
    """

    outcomes: dict[tuple[str, int], Outcome] = field(default_factory=dict)
    left_out: list[tuple[Query, str]] = field(default_factory=list)
    files: dict[int, Path] = field(default_factory=dict)
    complete: bool = True

    def take(self, other: "Answers") -> None:
        """Add the answers of a chunk."""
        self.outcomes |= other.outcomes
        self.left_out += other.left_out
        self.files |= other.files


def ask_all(
    systems: Sequence[System],
    queries: Sequence[Query],
    expected: Expected,
    *,
    method: Method = "aligned",
    jobs: int = 1,
    keep: Path | None = None,
    on_progress: Callable[[int], None] = lambda _done: None,
    workers: Workers | None = None,
) -> Answers:
    """Render queries and put them to all systems.

    Parameters
    ----------
    systems : sequence of System
    queries : sequence of Query
    expected : mapping of str to mapping of Path to int
        By the systems' names, the track of each recording; absent recordings have none.
    method : {"aligned", "paper"}
    jobs : int
        Processes; 1 works in this one.
    keep : Path, optional
        Folder to write the questions to as WAV files, for peers.
    on_progress : callable, optional
        Gets the number of queries that are done.
    workers : Workers, optional
        Processes to use again; by default they are begun here and ended.

    Returns
    -------
    Answers
        Incomplete after a KeyboardInterrupt.
    """
    answers = Answers()
    chunks = _chunks(queries)
    done = 0
    with ExitStack() as stack:
        if jobs <= 1 or len(chunks) <= 1:
            workers = None
        elif workers is None:
            workers = stack.enter_context(Workers(min(jobs, len(chunks)), compute.here().name))
        results = stack.enter_context(_asked(chunks, systems, expected, method, workers, keep))
        try:
            for result, size in results:
                answers.take(result)
                done += size
                on_progress(done)
        except KeyboardInterrupt:
            answers.complete = False
    answers.left_out.sort(key=lambda pair: (str(pair[0].path), pair[0].length_s, pair[0].start_s))
    return answers


def _chunks(queries: Sequence[Query]) -> list[Chunk]:
    """Cut the queries into chunks of neighbours: recordings and noises are then decoded few times."""
    order = sorted(
        range(len(queries)), key=lambda n: (str(queries[n].path), queries[n].length_s, queries[n].start_s, n)
    )
    return [[(n, queries[n]) for n in order[begin : begin + CHUNK]] for begin in range(0, len(order), CHUNK)]


@contextmanager
def _asked(
    chunks: Sequence[Chunk],
    systems: Sequence[System],
    expected: Expected,
    method: Method,
    workers: Workers | None,
    keep: Path | None,
) -> Iterator[Iterator[tuple[Answers, int]]]:
    """Give the answers to chunks as they come, with the sizes of the chunks."""
    if workers is None:
        readers = _readers(systems, expected, method, threads=0)
        yield ((_answer(readers, chunk, keep), len(chunk)) for chunk in chunks)
        return
    asked_of = pickle.dumps((systems, expected, method))
    futures = {workers.submit(_work, asked_of, chunk, keep): len(chunk) for chunk in chunks}
    try:
        yield _completed(futures)
    finally:
        for future in futures:
            future.cancel()
        wait(futures)


def _completed(futures: Mapping[Future[Answers], int]) -> Iterator[tuple[Answers, int]]:
    for future in as_completed(futures):
        try:
            yield finished(future), futures[future]
        except CancelledError:
            continue


@functools.lru_cache(maxsize=1)
def _worker_readers(asked_of: bytes) -> list[Reader]:
    """Make a worker process's own readers when it gets its first chunk."""
    systems, expected, method = pickle.loads(asked_of)
    return _readers(systems, expected, method, threads=1)


def _work(asked_of: bytes, chunk: Chunk, keep: Path | None) -> Answers:
    return _answer(_worker_readers(asked_of), chunk, keep)


def _readers(systems: Sequence[System], expected: Expected, method: Method, threads: int) -> list[Reader]:
    return [Reader(system, expected[system.name], method, threads) for system in systems]


def _answer(readers: Sequence[Reader], chunk: Chunk, keep: Path | None) -> Answers:
    """Render a chunk once and put it to every system."""
    answers = Answers()
    numbers = {query: number for number, query in chunk}
    questions: list[Question] = list(
        render([query for _, query in chunk], lambda query, cause: answers.left_out.append((query, cause)))
    )
    if keep is not None:
        for query, audio in questions:
            path = keep / f"question-{numbers[query]:07d}.wav"
            write_wav(path, audio / max(1.0, float(np.abs(audio).max(initial=0.0))))
            answers.files[numbers[query]] = path
    for reader in readers:
        for outcome in reader.answer(questions):
            answers.outcomes[reader.system.name, numbers[outcome.query]] = outcome
    return answers
