"""Renders the codec queries of a store in several processes and writes them into it, in order."""

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
from earprint.training.codec_queries import CodecQuery, CodecQueryRenderer
from earprint.training.packed_audio import CODEC_QUERIES, Pack, has_pack, open_pack
from earprint.training.packing import Recording, write_pack

PER_TASK = 32
"""Codec queries that a process renders at a time."""


@dataclass(frozen=True)
class RenderedQueries:
    """The pack of codec queries, and the number of them by codec (None: uncoded)."""

    pack: Pack
    codecs: Counter[str | None]


def render_codec_queries(
    store: Path,
    count: int,
    length_s: float,
    validation_percent: int,
    *,
    seed: int = 1,
    jobs: int = 1,
    on_queries: Callable[[int], None] = lambda _count: None,
    per_task: int = PER_TASK,
) -> RenderedQueries:
    """Render codec queries of the training part of a store into its pack `CODEC_QUERIES`.

    Parameters
    ----------
    store : Path
    count : int
    length_s : float
        Length of a codec query in seconds.
    validation_percent : int
        Percentage of sources that training holds out; nothing of them is used.
    seed : int
    jobs : int
        Processes; 0 is one for each core. The codec queries do not depend on it.
    on_queries : callable
        Called with the number of codec queries that were written since the last time.

    Raises
    ------
    TrainingError
        If the store has no music or noise to train with, or a process died twice at the same task.
    """
    prepare = partial(_renderer, store, round(length_s * SAMPLE_RATE), validation_percent, seed)
    prepare()  # so that an error in the store is raised here, not in a process
    tasks = [range(begin, min(count, begin + per_task)) for begin in range(0, count, per_task)]
    codecs: Counter[str | None] = Counter()

    def recordings() -> Iterator[Recording]:
        with closing(ordered_map(prepare, tasks, min(process_count(jobs), len(tasks)), _died)) as results:
            for queries in results:
                for query in queries:
                    codecs[query.codec] += 1
                    yield Recording(query.recording.name, query.recording.group, query.samples, at=query.at)
                on_queries(len(queries))

    return RenderedQueries(write_pack(recordings(), store, CODEC_QUERIES, "int16"), codecs)


def _renderer(store: Path, length: int, percent: int, seed: int) -> Callable[[range], list[CodecQuery]]:
    """Open the training part of a store, in the process that renders."""
    music, noise = (open_pack(store, kind).split(percent)[0] for kind in ("music", "noise"))
    rooms = (
        open_pack(store, "rooms").split(percent)[0] if has_pack(store, "rooms") else Pack(noise.samples, [])
    )
    return partial(_render, CodecQueryRenderer(music, noise, rooms, length, seed))


def _render(renderer: CodecQueryRenderer, numbers: range) -> list[CodecQuery]:
    return [renderer.render(number) for number in numbers]


def _died(numbers: range) -> list[CodecQuery]:
    raise TrainingError(
        f"codec queries: the process that rendered {numbers[0]} to {numbers[-1]} died twice, maybe for lack "
        "of memory; use fewer --jobs"
    )
