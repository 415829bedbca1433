"""What every outside system has in common: files in, answers out, and its own time.

A peer gets the same files as earprint. It is handed copies in the one format that it is sure to read, made
by earprint's decoder under plain numbered names, so that neither codecs nor odd file names decide anything.
Making the copies is not counted in the peer's time, and they are deleted after use; what is counted is the
run of its program: starting it, reading its index, and the work itself. Queries are put to it some thousands
at a time, and references added some hundreds at a time where its program can add to an index, which bounds
the disk that the copies take. Times are in seconds.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from earprint.errors import EvaluationError
from earprint.evaluation.peers.programs import Usage, writing

QUERIES_PER_RUN = 4000
"""Queries copied and asked at a time: 1.3 GB of copies, if they are of 5 s and of float32 at 16 kHz."""


@dataclass(frozen=True)
class PeerAnswer:
    """A peer's best answer to one query.

    Attributes
    ----------
    path : Path or None
        The reference, as it was given to `Peer.add`; None if it found nothing.
    start_s : float or None
        Where in the reference the query begins, in seconds; negative if before it.
    score : float
        The peer's own score, higher for surer; 0 if it found nothing.
    """

    path: Path | None = None
    start_s: float | None = None
    score: float = 0.0


class Peer(Protocol):
    """A system to compare with. All times are sums over all calls."""

    @property
    def name(self) -> str:
        """Short name, for tables."""

    @property
    def version(self) -> str:
        """The program, in words, for the record of the run."""

    @property
    def options(self) -> str:
        """The program's options in use, for the record of the run."""

    @property
    def add_seconds(self) -> float:
        """Wall-clock time of adding."""

    @property
    def add_cpu_seconds(self) -> float:
        """CPU time of adding."""

    @property
    def identify_seconds(self) -> float:
        """Wall-clock time of answering, with reading the index."""

    @property
    def identify_cpu_seconds(self) -> float:
        """CPU time of answering."""

    @property
    def index_bytes(self) -> int:
        """Size of the index on the disk."""

    def add(self, references: Sequence[Path]) -> None:
        """Add recordings to the index."""

    def identify(self, queries: Sequence[Path]) -> list[PeerAnswer]:
        """Answer each query, in order."""


class ProgramPeer(ABC):
    """A peer that is a program on this machine; see `Peer` for the attributes.

    Parameters
    ----------
    name, version, options : str
    work : Path
        Folder for the index and the temporary copies; an index of an earlier peer there is replaced.
    suffix : str
        Ending of the names of the copies.
    """

    _references_per_run: int | None = None
    """References copied and added at a time; None for all at once."""

    def __init__(self, name: str, version: str, options: str, work: Path, suffix: str) -> None:
        self.name, self.version, self.options = name, version, options
        self.work = work.resolve()
        self._suffix = suffix
        self._adding, self._identifying = Usage(), Usage()
        self._references: dict[str, Path] = {}
        with writing(self.work):
            self.work.mkdir(parents=True, exist_ok=True)

    @property
    def add_seconds(self) -> float:
        """Wall-clock time of adding."""
        return self._adding.seconds

    @property
    def add_cpu_seconds(self) -> float:
        """CPU time of adding."""
        return self._adding.cpu_seconds

    @property
    def identify_seconds(self) -> float:
        """Wall-clock time of answering, with reading the index."""
        return self._identifying.seconds

    @property
    def identify_cpu_seconds(self) -> float:
        """CPU time of answering."""
        return self._identifying.cpu_seconds

    @property
    @abstractmethod
    def index_bytes(self) -> int:
        """Size of the index on the disk, in bytes."""

    @abstractmethod
    def _convert(self, source: Path, copy: Path) -> float:
        """Write a copy that the program reads; return its length in seconds."""

    @abstractmethod
    def _store(self, names: Sequence[str], longest_s: float) -> None:
        """Have the program add copies, named as they lie in the work folder."""

    @abstractmethod
    def _ask(self, names: Sequence[str]) -> list[tuple[str, float, float] | None]:
        """Have the program look for copies; give (name of the reference, start_s, score) or None for each."""

    def add(self, references: Sequence[Path]) -> None:
        """Add recordings to the index.

        Raises
        ------
        AudioError
            If one cannot be decoded; nothing of its run is added then.
        EvaluationError
            If the program fails, or the disk is full.
        """
        for some in _runs(references, self._references_per_run or max(1, len(references))):
            first = len(self._references)
            names = [f"r{first + i:07d}{self._suffix}" for i in range(len(some))]
            with self._copies(names, some) as longest_s, self._adding.counted():
                self._store(names, longest_s)
            self._references.update(zip(names, some, strict=True))

    def identify(self, queries: Sequence[Path]) -> list[PeerAnswer]:
        """Answer each query, in order.

        Raises
        ------
        AudioError
            If one cannot be decoded.
        EvaluationError
            If nothing has been added, the program fails, or the disk is full.
        """
        if not self._references:
            raise EvaluationError(f"{self.name}: has no references to search; add some first")
        found: list[tuple[str, float, float] | None] = []
        for some in _runs(queries, QUERIES_PER_RUN):
            names = [f"q{i:07d}{self._suffix}" for i in range(len(some))]
            with self._copies(names, some), self._identifying.counted():
                found += self._ask(names)
        return [
            PeerAnswer() if one is None else PeerAnswer(self._references[one[0]], *one[1:]) for one in found
        ]

    @contextmanager
    def _copies(self, names: Sequence[str], sources: Sequence[Path]) -> Iterator[float]:
        """Make copies, give the length of the longest in seconds, and delete them afterwards."""
        copies = [self.work / name for name in names]
        try:
            with writing(self.work):
                longest_s = max(map(self._convert, sources, copies))
            yield longest_s
        finally:
            for copy in copies:
                copy.unlink(missing_ok=True)


def _runs(files: Sequence[Path], per_run: int) -> Iterator[Sequence[Path]]:
    for start in range(0, len(files), per_run):
        yield files[start : start + per_run]
