"""Speed, memory and index size of adding recordings: earprint, audfprint and Olaf, on the same files.

    python benchmarks/ingest.py MUSIC [--peer audfprint=DIR] [--peer olaf=BINARY] [--minutes 60] [--rounds 3]

Needs a folder of music and, to compare, the peers' programs (docs/peers.md). Prints a line for each system.

Each run is a fresh process and includes its start; systems take turns, and the median of the rounds counts.
Peers get decoded copies in the format that they read. Their own times exclude decoding; its CPU time has a
column. earprint's times include decoding. Memory is the peak of the largest process, with a quarter of the
files and with all of them: equal peaks mean flat memory. Last, each system gets good files mixed with bad
ones (empty, text named as music, cut off in the middle). The last column says which good files can be found
afterwards, and whether the bad ones were named.
"""

import argparse
import json
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from common import machine, print_header, print_row
from earprint import Library
from earprint.audio import find_audio_files, stream_audio
from earprint.constants import SAMPLE_RATE
from earprint.errors import AudioError, EarprintError
from earprint.evaluation.peers import parse_peer
from earprint.library import EncodingPool

EARPRINT = "earprint"
"""Always takes part; other systems are named as in `parse_peer`."""

GOOD_AMONG_BAD = 4
"""Good files of the test with bad files."""

TIMEOUT_S = 120.0
"""A system that takes longer for the test with bad files is killed, in seconds."""

MEMORY_UNIT = 1 if sys.platform == "darwin" else 1024
"""Unit of `ru_maxrss`, in bytes."""

COLUMNS = (
    "system", "wall, s", "x real time", "CPU, s per hour of audio", "decoding besides", "MB per hour",
    "peak MB, a quarter", "peak MB, all", "failed", "with bad files among them",
)  # fmt: skip
"""Columns of the table."""


@dataclass(frozen=True)
class Job:
    """The work of one fresh process.

    Attributes
    ----------
    system : str
        `EARPRINT` or a peer, such as ``olaf=FILE``.
    model : str
        Model of earprint.
    files : list of str
        Files to index.
    ask : list of str
        Files to identify afterwards.
    """

    system: str
    model: str
    files: list[str]
    ask: list[str]


@dataclass(frozen=True)
class JobResult:
    """Its result.

    Attributes
    ----------
    wall_s, cpu_s : float
        Of indexing, with the start of the process.
    decode_s : float
        CPU time of making the copies that a peer reads; not in ``cpu_s``.
    size : int
        Of the index, in bytes.
    peak : int
        Peak memory of the largest process, in bytes.
    failed : int or None
        Files that were named as bad; None for a peer, whose messages are not read.
    found : int
        Files of ``Job.ask`` that were identified.
    error : str
        Why indexing failed; empty if it did not.
    """

    wall_s: float = 0.0
    cpu_s: float = 0.0
    decode_s: float = 0.0
    size: int = 0
    peak: int = 0
    failed: int | None = None
    found: int = 0
    error: str = ""


def index_with_earprint(job: Job, folder: Path) -> JobResult:
    """Add the files to a new library, as the command line does."""
    with Library(folder / "library", model=job.model) as library, EncodingPool(job.model) as processes:
        report = library.add(*job.files, pool=processes)
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    size = sum(file.stat().st_size for file in (folder / "library").rglob("*") if file.is_file())
    paths = {track.path for track in report.added}
    return JobResult(
        cpu_s=sum(part.ru_utime + part.ru_stime for part in used),
        size=size,
        peak=max(part.ru_maxrss for part in used) * MEMORY_UNIT,
        failed=len(report.failed),
        found=sum(os.path.abspath(file) in paths for file in job.ask),  # noqa: PTH100 - no links resolved
    )


def index_with_peer(job: Job, folder: Path) -> JobResult:
    """Index the files with a peer."""
    peer: Any = parse_peer(job.system, cores=os.cpu_count() or 1)(folder)
    peer._convert = copy_unreadable(peer._convert)
    start = time.process_time()
    peer.add([Path(file) for file in job.files])
    decode_s = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * MEMORY_UNIT
    answers = peer.identify([Path(file) for file in job.ask]) if job.ask else []
    return JobResult(
        wall_s=peer.add_seconds,
        cpu_s=peer.add_cpu_seconds,
        decode_s=decode_s,
        size=peer.index_bytes,
        peak=peak,
        found=sum(answer.path == Path(file) for answer, file in zip(answers, job.ask, strict=True)),
    )


def copy_unreadable(convert: Callable[[Path, Path], float]) -> Callable[[Path, Path], float]:
    """Return a conversion that copies the bytes of files that earprint's decoder cannot read."""

    def copy(source: Path, target: Path) -> float:
        try:
            return convert(source, target)
        except AudioError:
            shutil.copyfile(source, target)
            return 0.0

    return copy


def work(job: Job, folder: Path) -> JobResult:
    """Do a job in this process; write the index to the folder."""
    try:
        return (index_with_earprint if job.system == EARPRINT else index_with_peer)(job, folder)
    except EarprintError as error:
        return JobResult(error=str(error))


def in_fresh_process(job: Job, timeout_s: float | None = None) -> JobResult:
    """Do a job in a fresh process, which is killed after the timeout."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, __file__, "--job", folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # so that the programs that it starts can be killed with it
        )
        try:
            printed, complaint = process.communicate(json.dumps(asdict(job)), timeout=timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return JobResult(error=f"had not ended after {timeout_s:.0f} s")
        wall_s = time.perf_counter() - start
    if process.returncode != 0:
        sys.exit(f"{job.system}: the benchmark failed: {complaint.strip()[-500:]}")
    done = JobResult(**json.loads(printed.splitlines()[-1]))
    return replace(done, wall_s=wall_s) if job.system == EARPRINT else done


def choose(folder: Path, minutes: float) -> tuple[list[str], list[float]]:
    """Return files that last this many minutes, and their lengths in seconds."""
    files, lengths = [], []
    for path in find_audio_files([folder]):
        try:
            samples = sum(map(len, stream_audio(path)))
        except AudioError as error:
            print(f"left out: {error}", file=sys.stderr)
            continue
        files.append(str(path))
        lengths.append(samples / SAMPLE_RATE)
        if sum(lengths) > 60 * minutes:
            break
    if len(files) < GOOD_AMONG_BAD:
        sys.exit(f"{folder}: holds {len(files)} files of music; name a folder with {GOOD_AMONG_BAD} or more")
    return files, lengths


def bad_files(good: str, folder: Path) -> list[str]:
    """Write bad files as they occur in collections; one is a part of ``good``."""
    data = Path(good).read_bytes()
    made = {
        "empty.mp3": b"",
        "text.mp3": b"These are the words of a song, and no sound of it.\n" * 400,
        f"cut{Path(good).suffix}": data[: 2 * len(data) // 5],
    }
    for name, content in made.items():
        (folder / name).write_bytes(content)
    return [str(folder / name) for name in made]


def among_bad(done: JobResult) -> str:
    """Describe the result with bad files."""
    if done.error:
        return f"stopped ({' '.join(done.error.split())[:120]})"
    named = "" if done.failed is None else f", {done.failed} bad ones named"
    return f"{done.found} of {GOOD_AMONG_BAD} good ones found{named}"


def row(
    name: str, runs: Sequence[JobResult], quarters: Sequence[JobResult], last: JobResult, audio_s: float
) -> list[str]:
    """Return the cells of a system's line."""
    errors = {done.error for done in (*runs, *quarters) if done.error}
    if errors:
        return [name, errors.pop(), *[""] * (len(COLUMNS) - 2)]
    hours = audio_s / 3600
    wall_s = statistics.median(done.wall_s for done in runs)
    cpu_s = statistics.median(done.cpu_s for done in runs)
    decode_s = statistics.median(done.decode_s for done in runs)
    return [
        name,
        f"{wall_s:.1f}",
        f"{audio_s / wall_s:.0f}",
        f"{cpu_s / hours:.1f}",
        "in the sum" if name == EARPRINT else f"{decode_s / hours:.1f}",
        f"{runs[0].size / hours / 1e6:.2f}",
        f"{max(done.peak for done in quarters) / 1e6:.0f}",
        f"{max(done.peak for done in runs) / 1e6:.0f}",
        "" if runs[0].failed is None else str(runs[0].failed),
        among_bad(last),
    ]


def main() -> None:
    """Run the systems in turns and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument(
        "--peer", action="append", default=[], metavar="NAME=PLACE", help="audfprint=DIR, olaf=FILE"
    )
    parser.add_argument("--minutes", type=float, default=60.0, help="audio to use")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="dense")
    parser.add_argument("--job", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        print(json.dumps(asdict(work(Job(**json.load(sys.stdin)), options.job))))
        return
    if options.folder is None:
        parser.error("name a folder of music")

    systems = [EARPRINT, *options.peer]
    for peer in options.peer:
        parse_peer(peer)
    files, lengths = choose(options.folder, options.minutes)
    quarter = files[: -(-len(files) // 4)]
    whole: dict[str, list[JobResult]] = defaultdict(list)
    parts: dict[str, list[JobResult]] = defaultdict(list)
    for turn in range(options.rounds):
        for place in range(len(systems)):
            system = systems[(turn + place) % len(systems)]
            parts[system].append(in_fresh_process(Job(system, options.model, quarter, [])))
            whole[system].append(in_fresh_process(Job(system, options.model, files, [])))
    with tempfile.TemporaryDirectory() as folder:
        good, bad = files[:GOOD_AMONG_BAD], bad_files(files[0], Path(folder))
        mixed = [*good[:2], *bad, *good[2:]]
        last = {
            system: in_fresh_process(Job(system, options.model, mixed, good), TIMEOUT_S) for system in systems
        }

    audio_s = sum(lengths)
    print(f"{len(files)} files, {audio_s / 3600:.2f} h ({sum(map(os.path.getsize, files)) / 1e6:.0f} MB),")
    print(f"{options.rounds} rounds; {machine()}\n")
    print_header(*COLUMNS)
    for system in systems:
        name = system.partition("=")[0]
        print_row(*row(name, whole[system], parts[system], last[system], audio_s))


if __name__ == "__main__":
    main()
