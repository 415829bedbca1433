"""What the benchmarks share: options, Markdown tables, CPU times, and queries kept on disk.

It measures nothing by itself.
"""

import argparse
import os
import platform
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from earprint.audio import content_hash, find_audio_files
from earprint.evaluation.condition_options import select_conditions
from earprint.evaluation.exclusions import Exclusions
from earprint.evaluation.material import Material
from earprint.evaluation.plan import Plan, draw_queries
from earprint.evaluation.rendering import render
from earprint.library import Library


def add_audio_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that name recordings, noises and room responses."""
    parser.add_argument("--references", type=Path, nargs="+", required=True, metavar="DIR",
                        help="recordings that queries are cut from")  # fmt: skip
    parser.add_argument("--noise", type=Path, nargs="+", required=True, metavar="DIR", help="noises")
    parser.add_argument("--rir", type=Path, nargs="+", required=True, metavar="DIR",
                        help="room impulse responses")  # fmt: skip
    parser.add_argument("--model", default="dense", help="name or .onnx file")


def print_header(*columns: object) -> None:
    """Print the first two lines of a Markdown table."""
    print_row(*columns)
    print("|" + "---|" * len(columns), flush=True)


def print_row(*cells: object) -> None:
    """Print a line of a Markdown table."""
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def command() -> str:
    """Return the command line of this process, as Markdown."""
    return f"`{shlex.join(['python', *sys.argv])}`"


def machine() -> str:
    """Return the processor, the number of cores, NumPy's version and the date."""
    cores = f"{os.cpu_count()} cores"
    return ", ".join([processor(), cores, f"NumPy {np.__version__}", time.strftime("%Y-%m-%d")])


def processor() -> str:
    """Return the name of the processor, as far as the system knows it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def cpu_seconds(function: Callable[[], Any]) -> tuple[float, Any]:
    """Call a function; return the CPU time of this process that it took, in seconds, and its result."""
    start = time.process_time()
    result = function()
    return time.process_time() - start, result


@contextmanager
def write_whole(file: Path) -> Iterator[BinaryIO]:
    """Write a file so that it exists whole or not at all, even if other processes write it too."""
    part = file.with_name(f"{os.getpid()}-{file.name}.part")
    with part.open("wb") as opened:
        yield opened
    part.replace(file)


CONDITIONS = ("clean", "noise 0 dB", "room + noise 0 dB", "room + noise 10 dB")
"""Conditions of the stored queries."""


@dataclass(frozen=True)
class StoredQuery:
    """A distorted query that `make_queries` wrote.

    Attributes
    ----------
    content_hash : str
        Of the recording that it was cut from.
    condition : str
        One of `CONDITIONS`.
    length_s, start_s : float
        Its length, and where it begins in the recording.
    audio : ndarray of float32, shape (n,)
        16 kHz mono.
    """

    content_hash: str
    condition: str
    length_s: float
    start_s: float
    audio: NDArray[np.float32]


def make_queries(
    work: Path,
    library: Library,
    references: Sequence[Path],
    noise: Sequence[Path],
    rir: Sequence[Path],
    lengths_s: Sequence[float],
    queries: int,
) -> None:
    """Cut and distort queries of recordings that a library holds, and keep them in a folder.

    Does nothing if the folder holds queries already.

    Parameters
    ----------
    work : Path
        The folder.
    library : Library
    references, noise, rir : sequence of Path
        Folders of audio.
    lengths_s : sequence of float
        Lengths of the queries, in seconds.
    queries : int
        Of each length and condition.
    """
    file = _queries_file(work)
    if file.exists():
        return
    work.mkdir(parents=True, exist_ok=True)
    files = list(find_audio_files(references))
    durations = {track.content_hash: track.duration_s for track in library.tracks()}
    recordings = [(path, durations[digest]) for path in files if (digest := content_hash(path)) in durations]
    material = Material(
        references=files, noises=list(find_audio_files(noise)), rooms=list(find_audio_files(rir))
    )
    conditions = select_conditions(None, material, {"--snr": (0.0, 10.0)})
    plan = Plan(conditions, list(lengths_s), queries, absent_queries=0)
    chosen = [
        replace(query, present=True)
        for query in draw_queries(recordings, [], material, plan, Exclusions())
        if query.condition in CONDITIONS
    ]
    arrays = {}
    for number, (query, audio) in enumerate(render(chosen)):
        arrays[f"audio{number}"] = audio
        arrays[f"query{number}"] = np.array(
            [content_hash(query.path), query.condition, str(query.length_s), str(query.start_s)]
        )
    with write_whole(file) as opened:
        np.savez(opened, **arrays)


def read_queries(work: Path) -> Iterator[StoredQuery]:
    """Yield the queries that `make_queries` wrote, one by one."""
    with np.load(_queries_file(work)) as arrays:
        for number in range(len(arrays) // 2):
            digest, condition, length, start = arrays[f"query{number}"].tolist()
            yield StoredQuery(digest, condition, float(length), float(start), arrays[f"audio{number}"])


def _queries_file(work: Path) -> Path:
    return work / "questions.npz"
