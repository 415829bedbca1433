"""Run other programs, measure their time, and write the files that they read.

Times are in seconds. CPU time is that of the child processes that end during the measurement. Work that
earprint does for a peer in this process is measured separately.
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
    """Clock time and CPU time of a system, in seconds."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.cpu_seconds = 0.0

    @contextmanager
    def measure(self) -> Iterator[None]:
        """Add the time of a ``with`` block; nothing is added if it raises."""
        start, before = time.perf_counter(), os.times()
        yield
        after = os.times()
        self.seconds += time.perf_counter() - start
        self.cpu_seconds += after.children_user - before.children_user
        self.cpu_seconds += after.children_system - before.children_system

    @contextmanager
    def add_own_cpu(self) -> Iterator[None]:
        """Add this process's CPU time in a ``with`` block, which is inside one of `measure`."""
        start = time.process_time()
        yield
        self.cpu_seconds += time.process_time() - start


def run_program(
    name: str, command: Sequence[str | Path], folder: Path, environment: Mapping[str, str]
) -> str:
    """Run a program to its end and return its standard output.

    Parameters
    ----------
    name : str
        Name of the system, for messages.
    command : sequence of str or Path
    folder : Path
        Working directory.
    environment : mapping of str to str
        Environment variables in addition to those of this process.

    Raises
    ------
    EvaluationError
        If it cannot be started or fails. The message has the last line of its standard error.
    """
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    try:
        finished = subprocess.run(
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
    if finished.returncode != 0:
        lines = finished.stderr.strip().splitlines() or [f"exit status {finished.returncode}, and no message"]
        raise EvaluationError(
            f"{name}: its program failed ({lines[-1].strip()}); repair it, or leave the peer out"
        )
    return finished.stdout


def write_wave(source: Path, copy: Path, sample_rate: int) -> float:
    """Write a recording as a 16-bit mono WAV file at a rate in Hz and return its length in seconds.

    FFmpeg resamples it. Values beyond full scale are clipped.
    """
    resampler = av.AudioResampler(format="s16", layout="mono", rate=sample_rate)
    n = 0
    with wave.open(str(copy), "wb") as sink:
        sink.setparams((1, 2, sample_rate, 0, "NONE", ""))
        for block in itertools.chain(stream_audio(source), [None]):
            frame = None
            if block is not None:
                frame = av.AudioFrame.from_ndarray(block[np.newaxis], format="fltp", layout="mono")
                frame.sample_rate = SAMPLE_RATE
            for ready in resampler.resample(frame):
                sink.writeframesraw(memoryview(ready.planes[0])[: 2 * ready.samples])
                n += ready.samples
    return n / sample_rate


def digest(files: Iterable[Path]) -> str:
    """Return eight hexadecimal digits of a digest of a program's files."""
    return hashlib.blake2b("".join(map(content_hash, files)).encode(), digest_size=4).hexdigest()


@contextmanager
def disk_errors_of(folder: Path) -> Iterator[None]:
    """Raise errors of the disk again as one line of text that names the folder.

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
