"""Speed-changed copies of distractors, which make a large database of little audio.

A copy plays 0.8 to 1.25 times as fast, tempo and pitch together. Speeds within 3 % of the original are not
used, so that no copy can pass for the original. The factors are evenly spread over that range and are the
same for each recording. Copies are written to a temporary folder a few at a time. Their titles name the
factor, as in ``NAME x 0.91``, so that an interrupted run need not add them again.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np

from earprint.audio import load_audio
from earprint.audio.wav import write_wav
from earprint.errors import AudioError
from earprint.evaluation.excerpts import change_speed
from earprint.evaluation.workers import WorkerPool

SLOWEST: Final = 0.8
FASTEST: Final = 1.25
"""Range of the speeds of copies."""

NEAREST: Final = 0.03
"""Least distance of a copy's speed from 1."""

NAME_BYTES: Final = 200
"""Titles keep so many bytes of a file's name, because a title becomes the name of a file."""

AT_A_TIME: Final = 48
"""Copies on the disk at a time: about 80 MB for recordings of 50 s."""

_Batch = tuple[list[Path], list[tuple[Path, AudioError]]]
"""Files that were written, and the sources that could not be decoded."""


@dataclass(frozen=True)
class SpeedCopy:
    """A copy of a file at a speed, under a title."""

    source: Path
    factor: float
    title: str


def speed_factors(n: int) -> list[float]:
    """Return n speeds, evenly spread over the range without its middle, slowest first.

    They are rounded to hundredths if that keeps them distinct, so that titles stay short.
    """
    low = (1 - NEAREST) - SLOWEST
    width = low + FASTEST - (1 + NEAREST)
    # The middles of n equal parts of the allowed range.
    places = (np.arange(n) + 0.5) / n * width
    factors = np.where(places <= low, SLOWEST + places, 1 + NEAREST + places - low)
    for digits in (2, 3, 4, 6):
        rounded = [round(float(factor), digits) for factor in factors]
        if len(set(rounded)) == n:
            return rounded
    return [float(factor) for factor in factors]


def plan_copies(files: Sequence[Path], n: int) -> list[SpeedCopy]:
    """List n copies of each file; of files of one title, later ones get a number."""
    factors = speed_factors(n)
    used: set[str] = set()
    copies = []
    for file in files:
        stem = file.stem.encode(errors="replace")[:NAME_BYTES].decode(errors="ignore")
        name, number = stem, 2
        while name in used:
            name, number = f"{stem} ({number})", number + 1
        used.add(name)
        copies += [SpeedCopy(file, factor, f"{name} x {factor:g}") for factor in factors]
    return copies


def write_copies(
    copies: Sequence[SpeedCopy],
    *,
    at_a_time: int = AT_A_TIME,
    on_exclusion: Callable[[Path, AudioError], None] = lambda _path, _error: None,
    pool: WorkerPool | None = None,
) -> Iterator[list[Path]]:
    """Write copies as WAV files, some at a time; each batch is deleted before the next one is returned.

    Parameters
    ----------
    copies : sequence of SpeedCopy
    at_a_time : int
    on_exclusion : callable, optional
        Called with each source that cannot be decoded, and the error.
    pool : WorkerPool, optional
        Writes several batches ahead; by default one thread writes one batch ahead.

    Yields
    ------
    list of Path
        Files named by their titles.
    """
    with ExitStack() as stack:
        writer = pool or stack.enter_context(ThreadPoolExecutor(1))
        ahead = 1 if pool is None else max(1, pool.jobs // 2)
        # The next batches are written while this one is being added.
        queue: deque[tuple[TemporaryDirectory[str], Future[_Batch]]] = deque()
        try:
            for begin in range(0, len(copies), at_a_time):
                folder = TemporaryDirectory(prefix="earprint-copies-")
                batch = copies[begin : begin + at_a_time]
                queue.append((folder, writer.submit(_write, batch, Path(folder.name))))
                if len(queue) > ahead:
                    yield from _take(*queue.popleft(), on_exclusion)
            while queue:
                yield from _take(*queue.popleft(), on_exclusion)
        finally:
            for folder, future in queue:
                if not future.cancel():
                    wait([future])
                folder.cleanup()


def _take(
    folder: TemporaryDirectory[str],
    future: Future[_Batch],
    on_exclusion: Callable[[Path, AudioError], None],
) -> Iterator[list[Path]]:
    """Return a batch's files and delete them afterwards."""
    with folder:
        paths, failures = future.result()
        for path, error in failures:
            on_exclusion(path, error)
        yield paths


def _write(batch: Sequence[SpeedCopy], folder: Path) -> _Batch:
    paths: list[Path] = []
    failures: list[tuple[Path, AudioError]] = []
    source, audio = None, np.zeros(0, np.float32)
    for copy in batch:
        try:
            if copy.source != source:
                source, audio = copy.source, load_audio(copy.source)
            played = change_speed(audio, copy.factor)
        except AudioError as error:
            source = None
            failures.append((copy.source, error))
            continue
        path = folder / f"{copy.title}.wav"
        write_wav(path, played / max(1.0, float(np.abs(played).max(initial=0.0))))
        paths.append(path)
    return paths, failures


def missing_copies(copies: Sequence[SpeedCopy], titles: Collection[str]) -> list[SpeedCopy]:
    """Return the copies whose titles are not among ``titles``."""
    known = set(titles)
    return [copy for copy in copies if copy.title not in known]
