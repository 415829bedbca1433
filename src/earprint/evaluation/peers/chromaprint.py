"""Chromaprint, the fingerprints of AcoustID and MusicBrainz (github.com/acoustid/chromaprint), as a peer.

Differences of chroma energy over 2 s of audio, 32 bits each 124 ms. The user gives the program ``fpcalc``,
which makes fingerprints and nothing more; ``chromaprint_matcher.py`` compares them as Chromaprint's library
does. Its options:

- ``-raw -json``: items as numbers, one line for each file;
- ``-length 0``: the whole file, where it would stop at 120 s;
- ``-ignore-errors``: go on after an error, as version 1.5 reports the end of a file as one when it is built
  with FFmpeg 5 or later; what is then missing from a fingerprint is noticed by its length.

It takes 16-bit wave files at its own rate of 11,025 Hz. An item needs 2.7 s of audio, so shorter queries are
answered "no match" without asking it. The index is one file of 4 bytes an item, 0.12 MB for each hour, kept
by earprint; reading and searching it counts as the peer's time. Made to compare whole recordings, it places
a query to the nearest item: half of 124 ms is its largest error when all else is right.
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
from earprint.evaluation.peers.chromaprint_matcher import Matcher, joined
from earprint.evaluation.peers.programs import run_program, write_wave

CHROMAPRINT_RATE = 11_025
"""Rate that it works at, in Hz (``DEFAULT_SAMPLE_RATE``)."""

FRAME = 4096
"""Its frame, in samples (``kDefaultFrameSize``)."""

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
    """The real Chromaprint, from its ``fpcalc``; see `earprint.evaluation.peers.base.Peer`.

    Parameters
    ----------
    fpcalc : Path
        The program, or its name if it lies in a folder that is searched for programs.
    work : Path
        Folder for the index and temporary files: 80 MB for each hour of the references that are being added.
    cores : int
        Processes it may use.

    Raises
    ------
    EvaluationError
        If the program cannot be started.
    """

    _references_per_run = FILES_PER_RUN

    def __init__(self, fpcalc: Path, work: Path, *, cores: int = 1) -> None:
        self._program = chromaprint_program(fpcalc)
        version = chromaprint_version(self._program)
        super().__init__("Chromaprint", version, " ".join(OPTIONS), work, ".wav")
        self._cores = cores
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
        with self._adding.own_cpu():
            items, lengths = joined(fingerprints)
            if self._stored:
                before = self._read()
                items, lengths = np.append(before[0], items), np.append(before[1], lengths)
            np.savez(self._index, items=items, lengths=lengths)
        self._stored += names

    def _ask(self, names: Sequence[str]) -> list[tuple[str, float, float] | None]:
        fingerprints = self._fingerprints(names)
        with self._identifying.own_cpu():
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
        """Have fingerprints made, in order; one is empty if its file is too short for an item."""
        expected = {name: _items(self.work / name) for name in names}
        enough = [name for name in names if expected[name] > 0]
        runs = [enough[i : i + FILES_PER_RUN] for i in range(0, len(enough), FILES_PER_RUN)]
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
    """Count the items that a wave file at Chromaprint's rate has."""
    with wave.open(str(file)) as source:
        samples: int = source.getnframes()
    return max(0, (samples - SHORTEST) // ITEM_HOP + 1)


def chromaprint_program(fpcalc: Path) -> Path:
    """Find the program, also by its name alone.

    Raises
    ------
    EvaluationError
        If there is none.
    """
    found = shutil.which(fpcalc)
    if found is None:
        raise EvaluationError(
            f"{fpcalc}: no such program; install fpcalc (Debian: package libchromaprint-tools) and name it"
        )
    return Path(found).absolute()


def chromaprint_version(program: Path) -> str:
    """Start ``fpcalc`` for its version.

    Raises
    ------
    EvaluationError
        If it cannot be started.
    """
    return run_program("Chromaprint", [program, "-version"], Path.cwd(), {}).strip()
