"""Files and queries that an evaluation cannot use, with the reasons.

Files (unreadable, silent, or in the wrong folder) are reported one by one. Excerpts (mostly silent ones) and
recordings that are too short are counted.
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from earprint.errors import count
from earprint.evaluation.query import Query


class Exclusions:
    """Collects what was left out.

    Parameters
    ----------
    on_file : callable, optional
        Called with one line of text for each file that is left out.
    """

    def __init__(self, on_file: Callable[[str], None] | None = None) -> None:
        self._on_file = on_file
        self._files: dict[Path, str] = {}
        self._excerpts: dict[str, set[tuple[Path, float, float]]] = {}
        self._queries: Counter[str] = Counter()
        self._short_recordings: Counter[float] = Counter()

    def exclude_file(self, path: Path, cause: object) -> None:
        """Leave a file out. The cause may begin with the file's name, as messages of errors do."""
        if path in self._files:
            return
        self._files[path] = " ".join(str(cause).removeprefix(f"{path}: ").split())
        if self._on_file is not None:
            self._on_file(f"left out: {path}: {self._files[path]}")

    def exclude_query(self, query: Query, cause: str) -> None:
        """Leave a query out."""
        self._queries[cause] += 1
        self._excerpts.setdefault(cause, set()).add((query.path, query.start_s, query.length_s))

    def exclude_short_recordings(self, length_s: float, count: int) -> None:
        """Leave out recordings that are too short for queries of ``length_s`` seconds."""
        self._short_recordings[length_s] += count

    def summary_lines(self) -> list[str]:
        """Return one line of text for each cause; an empty list if nothing was left out."""
        lines = []
        if self._files:
            lines.append(f"left out: {count(len(self._files), 'file')}")
        for length_s, number in self._short_recordings.items():
            if number:
                lines.append(f"left out: {count(number, 'recording')} too short for {length_s:g} s")
        for cause, excerpts in self._excerpts.items():
            excerpt = count(len(excerpts), "excerpt")
            lines.append(f"left out: {excerpt} ({self._queries[cause]} of the queries): {cause}")
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready data."""
        return {
            "files": [{"path": str(path), "cause": cause} for path, cause in self._files.items()],
            "recordings_too_short": {
                f"{length_s:g} s": count for length_s, count in self._short_recordings.items() if count
            },
            "excerpts": [
                {"cause": cause, "excerpts": len(excerpts), "queries": self._queries[cause]}
                for cause, excerpts in self._excerpts.items()
            ],
        }
