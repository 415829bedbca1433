"""What takes no part in an evaluation, and why: a share means little without it.

Files (unreadable, silent, or not where they should be) are told one by one as they are met; excerpts
(silent ones, mostly) and recordings that are too short are counted.
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from earprint.evaluation.query import Query


class LeftOut:
    """Files and queries that take no part.

    Parameters
    ----------
    on_file : callable, optional
        Gets one line for each file, when it is left out.
    """

    def __init__(self, on_file: Callable[[str], None] | None = None) -> None:
        self._on_file = on_file
        self._files: dict[Path, str] = {}
        self._excerpts: dict[str, set[tuple[Path, float, float]]] = {}
        self._queries: Counter[str] = Counter()
        self._shorter: Counter[float] = Counter()

    def file(self, path: Path, cause: object) -> None:
        """Leave a file out; its cause may begin with its name, as errors do."""
        if path in self._files:
            return
        self._files[path] = " ".join(str(cause).removeprefix(f"{path}: ").split())
        if self._on_file is not None:
            self._on_file(f"left out: {path}: {self._files[path]}")

    def query(self, query: Query, cause: str) -> None:
        """Leave a query out."""
        self._queries[cause] += 1
        self._excerpts.setdefault(cause, set()).add((query.path, query.start_s, query.length_s))

    def shorter(self, length_s: float, recordings: int) -> None:
        """Leave out recordings that are too short for queries of some length."""
        self._shorter[length_s] += recordings

    def lines(self) -> list[str]:
        """Sum up, in one line for each cause; no lines if everything took part."""
        lines = []
        if self._files:
            lines.append(f"left out: {_count(len(self._files), 'file')}")
        for length_s, recordings in self._shorter.items():
            if recordings:
                lines.append(f"left out: {_count(recordings, 'recording')} too short for {length_s:g} s")
        for cause, excerpts in self._excerpts.items():
            excerpt = _count(len(excerpts), "excerpt")
            lines.append(f"left out: {excerpt} ({self._queries[cause]} of the queries): {cause}")
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON-ready data."""
        return {
            "files": [{"path": str(path), "cause": cause} for path, cause in self._files.items()],
            "recordings_too_short": {f"{s:g} s": count for s, count in self._shorter.items() if count},
            "excerpts": [
                {"cause": cause, "excerpts": len(excerpts), "queries": self._queries[cause]}
                for cause, excerpts in self._excerpts.items()
            ],
        }


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
