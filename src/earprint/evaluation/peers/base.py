"""The protocol of peers, and the base class of peers that are programs.

A peer gets the same recordings as earprint, as copies in a format that it reads. Earprint's decoder makes the
copies and gives them plain numbered names, so that codecs and unusual file names make no difference. Copies
are deleted after use. The peer's time is that of its program: starting, reading the index, and the work
itself; making copies does not count. Thousands of queries go to one run, and hundreds of references where the
program can add to an index, which limits the disk space of the copies. Times are in seconds.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from earprint.errors import EvaluationError
from earprint.evaluation.peers.programs import Usage, disk_errors_of

QUERIES_PER_RUN = 4000
"""Queries in one run: 1.3 GB of copies for queries of 5 s in float32 at 16 kHz."""


@dataclass(frozen=True)
class PeerAnswer:
    """A peer's best answer to one query.

    Attributes
    ----------
    path : Path or None
        The reference, as given to `Peer.add`; None if the peer found nothing.
    start_s : float or None
        Where in the reference the query begins, in seconds; negative if before it.
    score : float
        The peer's own score; higher is more certain; 0 if it found nothing.
    """

    path: Path | None = None
    start_s: float | None = None
    score: float = 0.0


class Peer(Protocol):
    """A system to compare with. Times are sums over all calls."""

    @property
    def name(self) -> str:
        """Short name, for tables."""

    @property
    def version(self) -> str:
        """The program and its version, for reports."""

    @property
    def options(self) -> str:
        """The options in use, for reports."""

    @property
    def add_seconds(self) -> float:
        """Clock time of adding."""

    @property
    def add_cpu_seconds(self) -> float:
        """CPU time of adding."""

    @property
    def identify_seconds(self) -> float:
        """Clock time of answering, which includes reading the index."""

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
        Folder for the index and the temporary copies. An older index there is replaced.
    suffix : str
        Ending of the names of the copies.
    queries_per_run : int
        Largest number of queries in one run of the program.
    """

    _references_per_run: int | None = None
    """References in one run; None for all."""

    def __init__(
        self,
        name: str,
        version: str,
        options: str,
        work: Path,
        suffix: str,
        *,
        queries_per_run: int = QUERIES_PER_RUN,
    ) -> None:
        self.name, self.version, self.options = name, version, options
        self.work = work.resolve()
        self._suffix = suffix
        self._queries_per_run = queries_per_run
        self._adding, self._identifying = Usage(), Usage()
        self._references: dict[str, Path] = {}
        with disk_errors_of(self.work):
            self.work.mkdir(parents=True, exist_ok=True)

    @property
    def add_seconds(self) -> float:
        """Clock time of adding."""
        return self._adding.seconds

    @property
    def add_cpu_seconds(self) -> float:
        """CPU time of adding."""
        return self._adding.cpu_seconds

    @property
    def identify_seconds(self) -> float:
        """Clock time of answering, which includes reading the index."""
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
        """Write a copy in the program's format and return its length in seconds."""

    @abstractmethod
    def _store(self, names: Sequence[str], longest_s: float) -> None:
        """Run the program to add copies, given by their names in the work folder."""

    @abstractmethod
    def _identify(self, names: Sequence[str]) -> list[tuple[str, float, float] | None]:
        """Run the program to identify copies; return (reference, start_s, score) or None for each."""

    def add(self, references: Sequence[Path]) -> None:
        """Add recordings to the index.

        Raises
        ------
        AudioError
            If one cannot be decoded. Then nothing of its run is added.
        EvaluationError
            If the program fails, or the disk is full.
        """
        for batch in _batches(references, self._references_per_run or max(1, len(references))):
            first = len(self._references)
            names = [f"r{first + i:07d}{self._suffix}" for i in range(len(batch))]
            with self._copies(names, batch) as longest_s, self._adding.measure():
                self._store(names, longest_s)
            self._references.update(zip(names, batch, strict=True))

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
        for batch in _batches(queries, self._queries_per_run):
            names = [f"q{i:07d}{self._suffix}" for i in range(len(batch))]
            with self._copies(names, batch), self._identifying.measure():
                found += self._identify(names)
        return [
            PeerAnswer() if one is None else PeerAnswer(self._references[one[0]], *one[1:]) for one in found
        ]

    @contextmanager
    def _copies(self, names: Sequence[str], sources: Sequence[Path]) -> Iterator[float]:
        """Make copies, yield the length of the longest in seconds, and delete the copies afterwards."""
        copies = [self.work / name for name in names]
        try:
            with disk_errors_of(self.work):
                longest_s = max(map(self._convert, sources, copies))
            yield longest_s
        finally:
            for copy in copies:
                copy.unlink(missing_ok=True)


def _batches(files: Sequence[Path], size: int) -> Iterator[Sequence[Path]]:
    for start in range(0, len(files), size):
        yield files[start : start + size]
