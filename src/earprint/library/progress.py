"""How far adding has come, told to whoever listens, with each step."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from earprint.library.results import AddEvent, EventKind

OnEvent = Callable[[AddEvent], None]


class Telling:
    """Counts files and bytes, and tells a listener.

    Parameters
    ----------
    on_event : callable or None
        Told of every step, in the calling thread.
    """

    def __init__(self, on_event: OnEvent | None) -> None:
        self._on_event = on_event
        self._files_done = self._files_total = 0
        self._bytes_done = self._bytes_total = self._bytes_skipped = 0

    def expect(self, paths: Iterable[Path]) -> None:
        """Count paths that are still to be done."""
        for path in paths:
            self._files_total += 1
            self._bytes_total += _size(path)

    def most_is_left(self) -> bool:
        """Whether twice as much is left as was done, not counting files that were passed over in no time."""
        return self._bytes_total - self._bytes_done >= 2 * (self._bytes_done - self._bytes_skipped)

    def end(self, kind: EventKind, path: Path, message: str = "", audio_s: float = 0.0) -> None:
        """Tell that a path is done, in one way or another."""
        self._files_done += 1
        self._bytes_done += (size := _size(path))
        if kind == "skipped":
            self._bytes_skipped += size
        self.tell(kind, path, message, audio_s)

    def tell(self, kind: EventKind, path: Path, message: str = "", audio_s: float = 0.0) -> None:
        """Tell of a step."""
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
    """Size of a file in bytes; 0 if it has none to tell."""
    with suppress(OSError):
        if path.is_file():
            return path.stat().st_size
    return 0
