"""audfprint, the landmark fingerprints of Dan Ellis (github.com/dpwe/audfprint, MIT), as a peer.

audfprint stores Wang's landmarks (pairs of spectral peaks) in a hash table of 2^20 buckets of 100 entries.
The user gives a checkout and a Python with the packages that audfprint needs.
`earprint.evaluation.peers.audfprint_launcher` starts its unchanged ``main`` with its own defaults: 20 hashes
per second, fan-out 3, references analysed once and queries at 4 sub-frame shifts, approximate counting, at
least 5 aligned hashes, one answer. Three options differ:

- ``--list``: a file lists the names of the audio files, because they are many;
- ``--maxtimebits``: above 14 if a reference may exceed 380 s, as its README says;
- ``--ncores``: given if it may use more than one core.

It reads 16-bit WAV files at its own rate of 11,025 Hz. Its score is the number of hashes that agree on one
alignment. Its time unit is a hop of 256 samples (23 ms). It prints tenths of a second, which are too coarse
for a tolerance of 50 ms, so the launcher prints hops. The index on the disk is compressed; in memory it takes
420 MB, however little it holds.
"""

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from earprint.errors import EvaluationError
from earprint.evaluation.peers.base import QUERIES_PER_RUN, ProgramPeer
from earprint.evaluation.peers.programs import digest, run_program, write_wave

AUDFPRINT_RATE = 11_025
"""audfprint's sample rate, in Hz."""

AUDFPRINT_HOP = 256
"""audfprint's hop, in samples."""

DEFAULT_TIME_BITS = 14
"""Bits of a time in its table; later times start again at 0."""

HEADROOM = 1.25
"""Largest length of later references over that of the first ones: copies at speed 0.8 need 1.25."""

NEEDS = "numpy scipy docopt joblib psutil"
"""Packages that audfprint imports, as arguments of pip."""

_LAUNCHER = Path(__file__).with_name("audfprint_launcher.py")

_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",  # so that cores count processes
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONDONTWRITEBYTECODE": "1",  # do not write into the user's checkout
    "PYTHONUTF8": "1",
}


class AudfprintPeer(ProgramPeer):
    """audfprint, run from a checkout; see `earprint.evaluation.peers.base.Peer`.

    Parameters
    ----------
    checkout : Path
        Folder with ``audfprint.py``.
    python : Path or None
        Interpreter with its packages; None for that of ``checkout/.venv``, else the running one.
    work : Path
        Folder for its index and temporary files: 80 MB for each hour of references.
    cores : int
        Processes it may use.
    queries_per_run : int
        Largest number of queries in one run of the program.

    Raises
    ------
    EvaluationError
        If the folder is not a checkout, or the interpreter lacks a package.
    """

    def __init__(
        self,
        checkout: Path,
        python: Path | None,
        work: Path,
        *,
        cores: int = 1,
        queries_per_run: int = QUERIES_PER_RUN,
    ) -> None:
        self._python = python or python_for(checkout)
        version = audfprint_version(checkout, self._python)
        self._cores = ["--ncores", str(cores)] if cores > 1 else []
        options = " ".join(["defaults", *self._cores])
        super().__init__("audfprint", version, options, work, ".wav", queries_per_run=queries_per_run)
        self._checkout = checkout.resolve()
        self._time_bits = DEFAULT_TIME_BITS

    @property
    def index_bytes(self) -> int:
        """Size of its compressed index file, in bytes."""
        index = self.work / "index.pklz"
        return index.stat().st_size if self._references else 0

    def _convert(self, source: Path, copy: Path) -> float:
        return write_wave(source, copy, AUDFPRINT_RATE)

    def _store(self, names: Sequence[str], longest_s: float) -> None:
        if self._references and _time_bits(longest_s) > self._time_bits:
            raise EvaluationError(
                f"audfprint: its index was laid out for shorter recordings than {longest_s:.0f} s; "
                "add the longest first"
            )
        if self._references:
            self._audfprint("add", names)
        else:
            needed = max(DEFAULT_TIME_BITS, _time_bits(HEADROOM * longest_s))
            wider = ["--maxtimebits", str(needed)] if needed > DEFAULT_TIME_BITS else []
            self._audfprint("new", names, *wider)
            self._time_bits = needed
            self.options = " ".join(["defaults", *wider, *self._cores])

    def _identify(self, names: Sequence[str]) -> list[tuple[str, float, float] | None]:
        answers = self.work / "answers.txt"
        self._audfprint("match", names, "--opfile", answers.name)
        found: dict[str, tuple[str, float, float] | None] = {}
        for line in answers.read_text(encoding="utf-8").splitlines():
            if line.startswith("{"):  # the other lines are its progress
                one = json.loads(line)
                best = one["matches"][0] if one["matches"] else None
                found[one["query"]] = best and (best["reference"], best["start_s"], float(best["hashes"]))
        answers.unlink()
        missing = sum(name not in found for name in names)
        if missing:
            raise EvaluationError(
                f"audfprint: gave no answer to {missing} of {len(names)} queries; try a fresh checkout"
            )
        return [found[name] for name in names]

    def _audfprint(self, command: str, names: Sequence[str], *options: str) -> None:
        files = self.work / "files.txt"
        files.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
        arguments = [command, "--dbase", "index.pklz", *self._cores, *options, "--list", files.name]
        program = [self._python.absolute(), _LAUNCHER, self._checkout]
        run_program(self.name, [*program, *arguments], self.work, _ENVIRONMENT)
        files.unlink()


def _time_bits(longest_s: float) -> int:
    return math.ceil(longest_s * AUDFPRINT_RATE / AUDFPRINT_HOP).bit_length()


def python_for(checkout: Path) -> Path:
    """Return the interpreter of a checkout's ``.venv``, or the running one if there is none."""
    places = [checkout / ".venv" / place for place in ("bin/python", "Scripts/python.exe")]
    return next((place for place in places if place.exists()), Path(sys.executable))


def audfprint_version(checkout: Path, python: Path) -> str:
    """Start audfprint and return its version.

    Raises
    ------
    EvaluationError
        If the folder is not a checkout, or the interpreter lacks a package.
    """
    if not (checkout / "audfprint.py").is_file():
        raise EvaluationError(
            f"{checkout}: no audfprint.py in it; give a checkout of https://github.com/dpwe/audfprint"
        )
    program = [python.absolute(), _LAUNCHER, checkout.resolve()]
    try:
        said = run_program("audfprint", [*program, "--version"], checkout, _ENVIRONMENT)
    except EvaluationError as error:
        if "No module named" not in str(error):
            raise
        missing = str(error).partition("No module named ")[2].partition(")")[0]
        raise EvaluationError(
            f"audfprint: {python} has no module {missing}, which it needs; "
            f"run {python} -m pip install {NEEDS}, or make {checkout / '.venv'} and install them there"
        ) from error
    return f"audfprint {said.strip()}, sources {digest(sorted(checkout.glob('*.py')))}"
