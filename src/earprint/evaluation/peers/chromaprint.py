"""Chromaprint, the fingerprints of AcoustID and MusicBrainz (github.com/acoustid/chromaprint), as a peer.

Chromaprint stores differences of chroma energy over 2 s of audio, as 32 bits ("an item") every 124 ms. The
user gives the program ``fpcalc``, which only makes fingerprints. ``chromaprint_matcher.py`` compares them as
Chromaprint's library does. Options of fpcalc:

- ``-raw -json``: items as numbers, one line for each file;
- ``-length 0``: the whole file, not only 120 s;
- ``-ignore-errors``: continue after an error, because version 1.5 with FFmpeg 5 or later reports the end of a
  file as an error. A fingerprint that is too short for its file is an error here.

It reads 16-bit WAV files at its own rate of 11,025 Hz. An item needs 2.7 s of audio, so shorter queries are
answered "no match" without running it. Earprint keeps the index, one file with 4 bytes for each item (0.12 MB
for each hour). Reading and searching the index counts as the peer's time. A place is a multiple of an item,
so the error of a correct place is up to 62 ms.
"""

import json
import shutil
import wave
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from earprint.errors import EvaluationError
from earprint.evaluation.peers.base import ProgramPeer
from earprint.evaluation.peers.chromaprint_matcher import Matcher, concatenate
from earprint.evaluation.peers.programs import run_program, write_wave

CHROMAPRINT_RATE = 11_025
"""Chromaprint's sample rate, in Hz (``DEFAULT_SAMPLE_RATE``)."""

FRAME = 4096
"""Chromaprint's frame, in samples (``kDefaultFrameSize``)."""

ITEM_HOP = FRAME // 3
"""Samples from one item to the next (``item_duration``): frames overlap by two thirds."""

ITEM_FRAMES = 5 - 1 + 16
"""Frames of one item: a smoothing filter of 5, then classifiers up to 16 wide."""

SHORTEST = FRAME + (ITEM_FRAMES - 1) * ITEM_HOP
"""Samples of the shortest audio that has an item: 2.72 s."""

FILES_PER_RUN = 200
"""Files given to one run of the program."""

OPTIONS = ("-raw", "-json", "-length", "0", "-ignore-errors")
"""Options of ``fpcalc``."""


class ChromaprintPeer(ProgramPeer):
    """Chromaprint, run from its ``fpcalc``; see `earprint.evaluation.peers.base.Peer`.

    Parameters
    ----------
    fpcalc : Path
        Path of the program, or its name if it is on the PATH.
    work : Path
        Folder for the index and temporary files: 80 MB for each hour of references in one run.
    cores : int
        Processes it may use.
    files_per_run : int
        Largest number of files given to one run of the program.

    Raises
    ------
    EvaluationError
        If the program cannot be started.
    """

    _references_per_run = FILES_PER_RUN

    def __init__(
        self, fpcalc: Path, work: Path, *, cores: int = 1, files_per_run: int = FILES_PER_RUN
    ) -> None:
        self._program = chromaprint_program(fpcalc)
        version = chromaprint_version(self._program)
        super().__init__("Chromaprint", version, " ".join(OPTIONS), work, ".wav")
        self._cores = cores
        self._files_per_run = files_per_run
        self._stored: list[str] = []
        self._index = self.work / "fingerprints.npz"
        self._index.unlink(missing_ok=True)

    @property
    def index_bytes(self) -> int:
        """Size of the file of fingerprints, in bytes."""
        return self._index.stat().st_size if self._stored else 0

    def _convert(self, source: Path, copy: Path) -> float:
        return write_wave(source, copy, CHROMAPRINT_RATE)

    def _store(self, names: Sequence[str], longest_s: float) -> None:
        fingerprints = self._fingerprints(names)
        with self._adding.add_own_cpu():
            items, lengths = concatenate(fingerprints)
            if self._stored:
                before = self._read()
                items, lengths = np.append(before[0], items), np.append(before[1], lengths)
            np.savez(self._index, items=items, lengths=lengths)
        self._stored += names

    def _identify(self, names: Sequence[str]) -> list[tuple[str, float, float] | None]:
        fingerprints = self._fingerprints(names)
        with self._identifying.add_own_cpu():
            matcher = Matcher(*self._read())
            return [self._answer(matcher, one) for one in fingerprints]

    def _answer(self, matcher: Matcher, query: NDArray[np.uint32]) -> tuple[str, float, float] | None:
        found = matcher.best(query)
        if found is None:
            return None
        return self._stored[found.reference], found.offset * ITEM_HOP / CHROMAPRINT_RATE, found.score

    def _read(self) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        with np.load(self._index) as index:
            return index["items"], index["lengths"]

    def _fingerprints(self, names: Sequence[str]) -> list[NDArray[np.uint32]]:
        """Run fpcalc and return fingerprints, in order; empty for files too short for an item."""
        expected = {name: _items(self.work / name) for name in names}
        enough = [name for name in names if expected[name] > 0]
        size = self._files_per_run
        runs = [enough[i : i + size] for i in range(0, len(enough), size)]
        with ThreadPoolExecutor(self._cores) as pool:
            lines = [line for printed in pool.map(self._fpcalc, runs) for line in printed.splitlines()]
        made = dict.fromkeys(names, np.empty(0, np.uint32))
        for name, line in zip(enough, lines, strict=False):
            made[name] = np.array(json.loads(line)["fingerprint"], np.uint32)
        missing = sum(len(made[name]) < expected[name] for name in names)
        if missing:
            raise EvaluationError(
                f"Chromaprint: its program read {missing} of {len(names)} files not to their end; "
                "try another build of fpcalc"
            )
        return [made[name] for name in names]

    def _fpcalc(self, names: Sequence[str]) -> str:
        return run_program(self.name, [self._program, *OPTIONS, *names], self.work, {})


def _items(file: Path) -> int:
    """Return the number of items of a WAV file at Chromaprint's rate."""
    with wave.open(str(file)) as source:
        samples: int = source.getnframes()
    return max(0, (samples - SHORTEST) // ITEM_HOP + 1)


def chromaprint_program(fpcalc: Path) -> Path:
    """Return the path of the program, which is searched for on the PATH.

    Raises
    ------
    EvaluationError
        If there is no such program.
    """
    found = shutil.which(fpcalc)
    if found is None:
        raise EvaluationError(
            f"{fpcalc}: no such program; install fpcalc (Debian: package libchromaprint-tools) and name it"
        )
    return Path(found).absolute()


def chromaprint_version(program: Path) -> str:
    """Start ``fpcalc`` and return its version.

    Raises
    ------
    EvaluationError
        If it cannot be started.
    """
    return run_program("Chromaprint", [program, "-version"], Path.cwd(), {}).strip()
