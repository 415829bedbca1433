"""Conversion of paths to text that SQLite and JSON can hold, and back."""

import os
import re
from pathlib import Path

from earprint.errors import LibraryError, check_path


def named_path(path: str | os.PathLike[str], kind: str) -> Path:
    """Return a path that a caller gives for a file or folder of a library.

    Parameters
    ----------
    path : path
    kind : str
        "file" or "folder", for messages.

    Raises
    ------
    TypeError
        If it is no path, or one of bytes.
    LibraryError
        If it is empty, or holds a NUL character.
    """
    return Path(check_path(path, kind, LibraryError, f"an empty path names no {kind}; give its path"))


def path_text(path: str | os.PathLike[str]) -> str:
    """Return the absolute path as `storable` text."""
    return storable(os.path.abspath(os.fspath(path)))  # noqa: PTH100 - resolves no links, unlike Path.resolve


def storable(text: str) -> str:
    r"""Return text that SQLite and JSON can hold: bytes that are not Unicode become ``\udc..`` escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def stored_path(text: str) -> Path:
    r"""Return the path of a text made by `path_text`; only names that contain ``\udc..`` are ambiguous."""
    path = Path(text)
    if "\\udc" in text and not path.exists():
        return Path(re.sub(r"\\udc([89a-f][0-9a-f])", lambda byte: chr(0xDC00 + int(byte[1], 16)), text))
    return path
