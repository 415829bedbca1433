"""Run outside programs, count what they take, and write the files that they read.

Times are in seconds. CPU time is that of the finished child processes of this process, so no others may
finish meanwhile; work that earprint itself does in a peer's stead is counted apart.
"""

import hashlib
import itertools
import os
import subprocess
import time
import wave
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np

from earprint.audio import content_hash, stream_audio
from earprint.constants import SAMPLE_RATE
from earprint.errors import EvaluationError


class Usage:
    """Seconds, on the clock and of CPU, that a system took."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.cpu_seconds = 0.0

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Add what passes inside; nothing is added if it fails."""
        start, before = time.perf_counter(), os.times()
        yield
        after = os.times()
        self.seconds += time.perf_counter() - start
        self.cpu_seconds += after.children_user - before.children_user
        self.cpu_seconds += after.children_system - before.children_system

    @contextmanager
    def own_cpu(self) -> Iterator[None]:
        """Add the CPU time of this process that passes inside; for use within `counted`."""
        start = time.process_time()
        yield
        self.cpu_seconds += time.process_time() - start


def run_program(
    name: str, command: Sequence[str | Path], folder: Path, environment: Mapping[str, str]
) -> str:
    """Run an outside program to its end and return what it prints.

    Parameters
    ----------
    name : str
        Of the system, for messages.
    command : sequence of str or Path
    folder : Path
        Where it runs.
    environment : mapping of str to str
        Variables added to those of this process.

    Raises
    ------
    EvaluationError
        If it cannot be started or fails; with the last line that it wrote to its standard error.
    """
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    try:
        done = subprocess.run(
            [str(part) for part in command],
            cwd=folder,
            env=env | dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise EvaluationError(
            f"{name}: {command[0]} cannot be started ({error.strerror}); check the program"
        ) from error
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}, and no message"]
        raise EvaluationError(
            f"{name}: its program failed ({lines[-1].strip()}); mend that, or leave the peer out"
        )
    return done.stdout


def write_wave(source: Path, copy: Path, sample_rate: int) -> float:
    """Write a recording as a 16-bit mono wave file at a given rate in Hz; return its length in seconds.

    FFmpeg's resampler does the rate, as everywhere in earprint; values beyond full scale are clipped.
    """
    graph = av.AudioResampler(format="s16", layout="mono", rate=sample_rate)
    n = 0
    with wave.open(str(copy), "wb") as sink:
        sink.setparams((1, 2, sample_rate, 0, "NONE", ""))
        for block in itertools.chain(stream_audio(source), [None]):
            frame = None
            if block is not None:
                frame = av.AudioFrame.from_ndarray(block[np.newaxis], format="fltp", layout="mono")
                frame.sample_rate = SAMPLE_RATE
            for ready in graph.resample(frame):
                sink.writeframesraw(memoryview(ready.planes[0])[: 2 * ready.samples])
                n += ready.samples
    return n / sample_rate


def digest(files: Iterable[Path]) -> str:
    """Eight hexadecimal digits that tell one state of a program's files from another."""
    return hashlib.blake2b("".join(map(content_hash, files)).encode(), digest_size=4).hexdigest()


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn failures of the disk into one line that names the folder.

    Raises
    ------
    EvaluationError
    """
    try:
        yield
    except OSError as error:
        raise EvaluationError(
            f"{folder}: cannot be written ({error.strerror}); choose another folder or make room"
        ) from error
