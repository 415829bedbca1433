"""The writer lock: one writer at a time.

Writers of one process queue: each waits until the one before it has ended. Among processes, the operating
system's lock on `writer.lock` decides. The system releases it when its holder ends, even by a kill.
`writer.pid` beside it names the holder's process; its content has no meaning while the lock is free.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from weakref import WeakValueDictionary

from filelock import FileLock, Timeout

from earprint.errors import LibraryError, LibraryLockedError

LOCK_WAIT_S = 5.0
"""Seconds that a writer waits for a writer of another process."""


class _Queue:
    """The writers of one folder in this process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.owner: int | None = None


_queues: WeakValueDictionary[tuple[int, str], _Queue] = WeakValueDictionary()
"""Queues by process and folder. A forked process must not inherit its parent's."""

_queues_lock = threading.Lock()


@contextmanager
def writing(
    folder: Path, on_wait: Callable[[str], None] | None = None, wait_s: float = LOCK_WAIT_S
) -> Iterator[None]:
    """Hold the writer lock of a library.

    Another thread of this process is waited for as long as it writes.

    Parameters
    ----------
    folder : Path
        The library's folder.
    on_wait : callable, optional
        Called with one line of text that names the process that is being waited for.
    wait_s : float
        Longest time to wait for another process, in seconds.

    Raises
    ------
    LibraryLockedError
        If another process still writes after ``wait_s``, or if this thread holds the lock already.
    LibraryError
        If the folder cannot be written.
    """
    with _turn(folder):
        lock = FileLock(folder / "writer.lock")
        note = folder / "writer.pid"
        try:
            try:
                lock.acquire(timeout=0)
            except Timeout:
                if on_wait is not None:
                    on_wait(f"{folder}: {_holder(note)} is writing to this library; waiting for it to end")
                lock.acquire(timeout=wait_s)
        except Timeout:
            raise LibraryLockedError(
                f"{folder}: {_holder(note)} is writing to this library; try again when it has ended"
            ) from None
        except OSError as error:
            raise _unwritable(folder, error) from error
        try:
            try:
                note.write_text(str(os.getpid()), encoding="ascii")
            except OSError as error:
                raise _unwritable(folder, error) from error
            yield
        finally:
            with suppress(OSError):
                note.unlink()
            lock.release()


@contextmanager
def _turn(folder: Path) -> Iterator[None]:
    """Wait for this process's other writers of a folder."""
    with _queues_lock:
        queue = _queues.setdefault((os.getpid(), os.path.realpath(folder)), _Queue())
    if queue.owner == threading.get_ident():
        raise LibraryLockedError(
            f"{folder}: this thread is changing the library already; start the next change after this one"
        )
    with queue.lock:
        queue.owner = threading.get_ident()
        try:
            yield
        finally:
            queue.owner = None


def _holder(note: Path) -> str:
    holder = ""
    with suppress(OSError):
        holder = note.read_text(encoding="ascii").strip()
    return f"process {holder}" if holder else "another process"


def _unwritable(folder: Path, error: OSError) -> LibraryError:
    return LibraryError(
        f"{folder}: cannot be written ({error.strerror or error}); check the folder's permissions"
    )
