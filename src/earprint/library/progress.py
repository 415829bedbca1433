"""Progress events of `add`, `repair` and `rebuild`."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from earprint.library.results import AddEvent, EventKind

OnEvent = Callable[[AddEvent], None]


class Progress:
    """Counts files and bytes, and reports each step.

    Parameters
    ----------
    on_event : callable or None
        Called with an `AddEvent` for every step, in the calling thread.
    """

    def __init__(self, on_event: OnEvent | None) -> None:
        self._on_event = on_event
        self._files_done = self._files_total = 0
        self._bytes_done = self._bytes_total = self._bytes_skipped = 0

    def expect(self, paths: Iterable[Path]) -> None:
        """Add paths to the totals."""
        for path in paths:
            self._files_total += 1
            self._bytes_total += _size(path)

    def most_is_left(self) -> bool:
        """Whether at least twice as many bytes are left as were done; skipped files do not count."""
        return self._bytes_total - self._bytes_done >= 2 * (self._bytes_done - self._bytes_skipped)

    def end(self, kind: EventKind, path: Path, message: str = "", audio_s: float = 0.0) -> None:
        """Count a path as done, and report it."""
        self._files_done += 1
        self._bytes_done += (size := _size(path))
        if kind == "skipped":
            self._bytes_skipped += size
        self.report(kind, path, message, audio_s)

    def report(self, kind: EventKind, path: Path, message: str = "", audio_s: float = 0.0) -> None:
        """Report a step."""
        if self._on_event is not None:
            self._on_event(
                AddEvent(
                    kind,
                    path,
                    message,
                    audio_s,
                    self._bytes_done,
                    self._bytes_total,
                    self._files_done,
                    self._files_total,
                )
            )


def _size(path: Path) -> int:
    """Size of a file in bytes; 0 for anything else."""
    with suppress(OSError):
        if path.is_file():
            return path.stat().st_size
    return 0
