"""Answer all queries with all systems, on all cores, so that an interrupted run keeps its answers.

Queries are cut into chunks of neighbours (the same recording, then the same excerpt). A worker renders a
chunk once and gives it to every system. Workers are processes, because much of the matching holds Python's
lock. The chunks depend on the queries alone, so the answers do not depend on the number of workers.
"""

import functools
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future, as_completed, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from earprint.audio.wav import write_wav
from earprint.evaluation.backends import current_backend
from earprint.evaluation.outcomes import Outcome
from earprint.evaluation.query import Query
from earprint.evaluation.rendering import render
from earprint.evaluation.systems import LibraryReader, System
from earprint.evaluation.workers import WorkerPool, wait_for
from earprint.matching import Method

CHUNK_SIZE: Final = 64
"""Queries that are rendered and identified at a time."""

Chunk = list[tuple[int, Query]]
"""Queries with their numbers in the manifest."""

TrackIds = Mapping[str, Mapping[Path, int]]
"""The track of each recording, by name of the system."""


@dataclass
class Answers:
    """The answers to queries, by system and number of the query.

    Attributes
    ----------
    outcomes : dict of (str, int) to Outcome
    exclusions : list of (Query, str)
        Queries that could not be rendered, and why.
    files : dict of int to Path
        Audio of the queries, if it was kept.
    complete : bool
        False if the run was interrupted.
    """

    outcomes: dict[tuple[str, int], Outcome] = field(default_factory=dict)
    exclusions: list[tuple[Query, str]] = field(default_factory=list)
    files: dict[int, Path] = field(default_factory=dict)
    complete: bool = True

    def merge(self, other: "Answers") -> None:
        """Add the answers of a chunk."""
        self.outcomes |= other.outcomes
        self.exclusions += other.exclusions
        self.files |= other.files


def identify_queries(
    systems: Sequence[System],
    queries: Sequence[Query],
    track_ids: TrackIds,
    *,
    method: Method = "aligned",
    jobs: int = 1,
    audio_folder: Path | None = None,
    on_progress: Callable[[int], None] = lambda _done: None,
    pool: WorkerPool | None = None,
    chunk_size: int = CHUNK_SIZE,
) -> Answers:
    """Render queries and identify them with all systems.

    Parameters
    ----------
    systems : sequence of System
    queries : sequence of Query
    track_ids : mapping of str to mapping of Path to int
        The track of each recording, by name of the system. Absent recordings have none.
    method : {"aligned", "paper"}
    jobs : int
        Processes; with 1 everything is done in this process.
    audio_folder : Path, optional
        Folder where the audio of the queries is kept as WAV files, for peers.
    on_progress : callable, optional
        Called with the number of queries that are done.
    pool : WorkerPool, optional
        Running worker processes; by default they are started here and ended.
    chunk_size : int
        Queries that are rendered and identified at a time.

    Returns
    -------
    Answers
        Incomplete after a KeyboardInterrupt.
    """
    answers = Answers()
    chunks = _make_chunks(queries, chunk_size)
    done = 0
    with ExitStack() as stack:
        if jobs <= 1 or len(chunks) <= 1:
            pool = None
        elif pool is None:
            pool = stack.enter_context(WorkerPool(min(jobs, len(chunks)), current_backend().name))
        results = stack.enter_context(_chunk_answers(chunks, systems, track_ids, method, pool, audio_folder))
        try:
            for result, size in results:
                answers.merge(result)
                done += size
                on_progress(done)
        except KeyboardInterrupt:
            answers.complete = False
    answers.exclusions.sort(key=lambda pair: (str(pair[0].path), pair[0].length_s, pair[0].start_s))
    return answers


def _make_chunks(queries: Sequence[Query], size: int) -> list[Chunk]:
    """Cut the queries into chunks of neighbours, so that few recordings and noises are decoded twice."""
    order = sorted(
        range(len(queries)), key=lambda n: (str(queries[n].path), queries[n].length_s, queries[n].start_s, n)
    )
    return [[(n, queries[n]) for n in order[begin : begin + size]] for begin in range(0, len(order), size)]


@contextmanager
def _chunk_answers(
    chunks: Sequence[Chunk],
    systems: Sequence[System],
    track_ids: TrackIds,
    method: Method,
    pool: WorkerPool | None,
    audio_folder: Path | None,
) -> Iterator[Iterator[tuple[Answers, int]]]:
    """Give the answers to chunks as they come, each with the size of its chunk."""
    if pool is None:
        with ExitStack() as stack:
            readers = [
                stack.enter_context(LibraryReader(system, track_ids[system.name], method))
                for system in systems
            ]
            yield ((_identify_chunk(readers, chunk, audio_folder), len(chunk)) for chunk in chunks)
        return
    setup = pickle.dumps((systems, track_ids, method))
    futures = {pool.submit(_work, setup, chunk, audio_folder): len(chunk) for chunk in chunks}
    try:
        yield _completed(futures)
    finally:
        for future in futures:
            future.cancel()
        wait(futures)


def _completed(futures: Mapping[Future[Answers], int]) -> Iterator[tuple[Answers, int]]:
    for future in as_completed(futures):
        try:
            yield wait_for(future), futures[future]
        except CancelledError:
            continue


@functools.lru_cache(maxsize=1)
def _worker_readers(setup: bytes) -> list[LibraryReader]:
    """Open a worker process's own readers when it gets its first chunk."""
    systems, track_ids, method = pickle.loads(setup)
    return [LibraryReader(system, track_ids[system.name], method, threads=1) for system in systems]


def _work(setup: bytes, chunk: Chunk, audio_folder: Path | None) -> Answers:
    return _identify_chunk(_worker_readers(setup), chunk, audio_folder)


def _identify_chunk(readers: Sequence[LibraryReader], chunk: Chunk, audio_folder: Path | None) -> Answers:
    """Render a chunk once and identify it with every system."""
    answers = Answers()
    numbers = {query: number for number, query in chunk}
    rendered = list(
        render([query for _, query in chunk], lambda query, cause: answers.exclusions.append((query, cause)))
    )
    if audio_folder is not None:
        for query, audio in rendered:
            path = audio_folder / f"query-{numbers[query]:07d}.wav"
            write_wav(path, audio / max(1.0, float(np.abs(audio).max(initial=0.0))))
            answers.files[numbers[query]] = path
    for reader in readers:
        for outcome in reader.identify(rendered):
            answers.outcomes[reader.system.name, numbers[outcome.query]] = outcome
    return answers
