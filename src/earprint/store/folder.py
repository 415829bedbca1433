"""The folder of a library: which files it may hold, and its size."""

from contextlib import suppress
from pathlib import Path

from earprint.errors import LibraryError
from earprint.store.database import FILE_NAME

OWN_FILES = (FILE_NAME, "segments", "writer.lock", "writer.pid")
"""How the names of a library's files begin."""


def check_folder(path: Path, *, create: bool) -> None:
    """Make the folder of a library, or refuse a path that cannot become one.

    Raises
    ------
    LibraryError
        If the path is a file, or a folder with other files, or cannot be read or made.
    """
    try:
        if path.exists() and not path.is_dir():
            raise LibraryError(f"{path}: is a file; a library is a folder, so name another path")
        there = (path / FILE_NAME).exists()  # raises where the folder cannot be searched
        if not create:
            return
        path.mkdir(parents=True, exist_ok=True)
        foreign = [entry.name for entry in path.iterdir() if not entry.name.startswith(OWN_FILES)]
    except OSError as error:
        raise LibraryError(
            f"{path}: cannot be made or read ({error.strerror}); check its permissions or name another folder"
        ) from error
    if foreign and not there:
        raise LibraryError(f"{path}: holds other files and no earprint library; name a new or empty folder")


def folder_size(path: Path) -> int:
    """Return the size of all files under a folder, in bytes."""
    total = 0
    for file in path.rglob("*"):
        with suppress(OSError):  # a journal may vanish meanwhile
            total += file.stat().st_size if file.is_file() else 0
    return total
