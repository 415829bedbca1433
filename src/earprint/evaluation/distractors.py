"""Distractors made of other distractors: copies at other speeds, for a database of millions on little audio.

A copy plays 0.8 to 1.25 times as fast, tempo and pitch together, but not within 3 % of the original, so that
none could be taken for it. The factors are evenly spread over that range; each recording has the same. Copies
are written to a temporary folder a few at a time, under the title that they get, ``NAME x 0.91``, and added
as files, which keeps all cores busy and survives an interruption: titles that are there are passed over.
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
from earprint.evaluation.rendering import change_speed
from earprint.evaluation.workers import Workers

SLOWEST: Final = 0.8
FASTEST: Final = 1.25
"""Range of the speeds of copies."""

NEAREST: Final = 0.03
"""No copy's speed is within this of 1."""

NAME_BYTES: Final = 200
"""Longer names of files are cut off in titles, as a title becomes the name of a file."""

AT_A_TIME: Final = 48
"""Copies on the disk at a time: about 80 MB of tracks of 50 s."""

_Written = tuple[list[Path], list[tuple[Path, AudioError]]]
"""Files that were written, and sources that could not be decoded."""


@dataclass(frozen=True)
class Copy:
    """A copy to be made: of a file, at a speed, under a title."""

    source: Path
    factor: float
    title: str


def speed_factors(n: int) -> list[float]:
    """Give n speeds, evenly spread over the range without its middle, slowest first.

    They are rounded to hundredths while that keeps them apart, so that titles stay short.
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


def plan_copies(files: Sequence[Path], n: int) -> list[Copy]:
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
        copies += [Copy(file, factor, f"{name} x {factor:g}") for factor in factors]
    return copies


def written(
    copies: Sequence[Copy],
    *,
    at_a_time: int = AT_A_TIME,
    on_left_out: Callable[[Path, AudioError], None] = lambda _path, _error: None,
    workers: Workers | None = None,
) -> Iterator[list[Path]]:
    """Write copies as WAV files, some at a time; those are gone when the next ones come.

    Parameters
    ----------
    copies : sequence of Copy
    at_a_time : int
    on_left_out : callable, optional
        Gets each source that cannot be decoded.
    workers : Workers, optional
        Write them, several batches ahead; by default one thread is one batch ahead.

    Yields
    ------
    list of Path
        Files named by their titles.
    """
    with ExitStack() as stack:
        writer = workers or stack.enter_context(ThreadPoolExecutor(1))
        ahead = 1 if workers is None else max(1, workers.jobs // 2)
        # The next batches are written while this one is being added.
        queue: deque[tuple[TemporaryDirectory[str], Future[_Written]]] = deque()
        try:
            for begin in range(0, len(copies), at_a_time):
                folder = TemporaryDirectory(prefix="earprint-copies-")
                batch = copies[begin : begin + at_a_time]
                queue.append((folder, writer.submit(_write, batch, Path(folder.name))))
                if len(queue) > ahead:
                    yield from _take(*queue.popleft(), on_left_out)
            while queue:
                yield from _take(*queue.popleft(), on_left_out)
        finally:
            for folder, future in queue:
                if not future.cancel():
                    wait([future])
                folder.cleanup()


def _take(
    folder: TemporaryDirectory[str],
    future: Future[_Written],
    on_left_out: Callable[[Path, AudioError], None],
) -> Iterator[list[Path]]:
    """Hand a batch over, and delete it."""
    with folder:
        paths, failures = future.result()
        for path, error in failures:
            on_left_out(path, error)
        yield paths


def _write(batch: Sequence[Copy], folder: Path) -> _Written:
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


def missing(copies: Sequence[Copy], titles: Collection[str]) -> list[Copy]:
    """Copies whose titles are not there yet."""
    there = set(titles)
    return [copy for copy in copies if copy.title not in there]
