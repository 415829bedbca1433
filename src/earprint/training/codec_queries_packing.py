"""Rendering a store's calls in several processes, and writing them into it as they come, in order."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from earprint.constants import SAMPLE_RATE
from earprint.errors import TrainingError
from earprint.parallel.cores import process_count
from earprint.parallel.ordered_map import ordered_map
from earprint.training.codec_queries import Call, Caller
from earprint.training.packing import Recording, write_pack
from earprint.training.store import Pack, has_pack, open_pack

PER_TASK = 32
"""Calls that a process renders at a time."""


@dataclass(frozen=True)
class Written:
    """Calls as they were written: their pack, and how many there are by codec (None: uncoded)."""

    pack: Pack
    codecs: Counter[str | None]


def make_calls(
    store: Path,
    count: int,
    length_s: float,
    validation_percent: int,
    *,
    seed: int = 1,
    jobs: int = 1,
    on_calls: Callable[[int], None] = lambda _count: None,
) -> Written:
    """Render calls of the training part of a store into its pack ``calls``.

    Parameters
    ----------
    store : Path
    count : int
    length_s : float
        Of a call, in seconds.
    validation_percent : int
        Share of sources that training holds out; nothing of them is used.
    seed : int
    jobs : int
        Processes, 0 for one per core; the calls are the same.
    on_calls : callable
        Told of so many more calls that are written.

    Raises
    ------
    TrainingError
        If the store has no music or noise to train with, or a process died again and again.
    """
    prepare = partial(_caller, store, round(length_s * SAMPLE_RATE), validation_percent, seed)
    prepare()  # so that what is wrong with the store is told here, not by a process
    tasks = [range(begin, min(count, begin + PER_TASK)) for begin in range(0, count, PER_TASK)]
    codecs: Counter[str | None] = Counter()

    def recordings() -> Iterator[Recording]:
        with closing(ordered_map(prepare, tasks, min(process_count(jobs), len(tasks)), _died)) as results:
            for calls in results:
                for call in calls:
                    codecs[call.codec] += 1
                    yield Recording(call.recording.name, call.recording.group, call.samples, at=call.at)
                on_calls(len(calls))

    return Written(write_pack(recordings(), store, "calls", "int16"), codecs)


def _caller(store: Path, length: int, percent: int, seed: int) -> Callable[[range], list[Call]]:
    """Open the training part of a store; in the process that is to render."""
    music, noise = (open_pack(store, kind).split(percent)[0] for kind in ("music", "noise"))
    rooms = (
        open_pack(store, "rooms").split(percent)[0] if has_pack(store, "rooms") else Pack(noise.samples, [])
    )
    caller = Caller(music, noise, rooms, length, seed)
    return partial(_render, caller)


def _render(caller: Caller, numbers: range) -> list[Call]:
    return [caller.call(number) for number in numbers]


def _died(numbers: range) -> list[Call]:
    raise TrainingError(
        f"calls: the process that rendered calls {numbers[0]} to {numbers[-1]} died twice, maybe for lack of "
        "memory; use fewer --jobs"
    )
