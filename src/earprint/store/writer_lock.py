"""One writer at a time: a lock on the library's folder that ends with its process.

The operating system releases `writer.lock` when its holder ends, even by a kill. `writer.pid`
beside it says who holds it; it means nothing while the lock is free.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from earprint.errors import LibraryError, LibraryLockedError

LOCK_WAIT_S = 5.0
"""Seconds a writer waits for another one to end."""


@contextmanager
def writing(folder: Path, on_wait: Callable[[str], None] | None = None) -> Iterator[None]:
    """Hold the writer lock of a library.

    Parameters
    ----------
    folder : Path
        The library's folder.
    on_wait : callable, optional
        Gets one line that says who is being waited for, if anybody.

    Raises
    ------
    LibraryLockedError
        If another writer does not end in time.
    LibraryError
        If the folder cannot be written.
    """
    lock = FileLock(folder / "writer.lock")
    note = folder / "writer.pid"
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if on_wait is not None:
                on_wait(f"{folder}: {_holder(note)} is writing to this library; waiting for it to end")
            lock.acquire(timeout=LOCK_WAIT_S)
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


def _holder(note: Path) -> str:
    holder = ""
    with suppress(OSError):
        holder = note.read_text(encoding="ascii").strip()
    return f"process {holder}" if holder else "another process"


def _unwritable(folder: Path, error: OSError) -> LibraryError:
    return LibraryError(
        f"{folder}: cannot be written ({error.strerror or error}); check the folder's permissions"
    )
