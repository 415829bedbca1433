"""The folder that a library is: what may lie in it, and how large it is."""

from contextlib import suppress
from pathlib import Path

from earprint.errors import LibraryError
from earprint.store.database import FILE_NAME

OWN_FILES = (FILE_NAME, "segments", "writer.lock", "writer.pid")
"""Beginnings of the names that a library folder holds."""


def check_folder(path: Path, *, create: bool) -> None:
    """See that a library is or can be made at a path; make the folder."""
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
    """Bytes of all files under a folder."""
    total = 0
    for file in path.rglob("*"):
        with suppress(OSError):  # a journal may vanish meanwhile
            total += file.stat().st_size if file.is_file() else 0
    return total
