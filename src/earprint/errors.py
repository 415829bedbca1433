"""The exceptions of earprint, all derived from `EarprintError`, and numbers in their messages.

Every message is one line that names the file or option, the cause, and the next step. Wrong arguments of a
function raise `ValueError` or `TypeError`.
"""

import os


class EarprintError(Exception):
    """Base class of all of earprint's exceptions.

    Invalid arguments raise `ValueError` and `TypeError` instead.

    Examples
    --------
    >>> import earprint
    >>> try:
    ...     earprint.embed("missing.wav")
    ... except earprint.EarprintError as error:
    ...     print(type(error).__name__, error)
    AudioError missing.wav: no such file or folder; check the path
    """


class AudioError(EarprintError):
    """A file, stream or array has no usable audio."""


class ModelError(EarprintError):
    """A model is unknown, is damaged, or does not fit the library."""


class LibraryError(EarprintError):
    """A library cannot be opened, read or written."""


class LibraryLockedError(LibraryError):
    """Another writer is changing the library."""


class TrainingError(EarprintError):
    """Training data or a checkpoint cannot be used."""


class EvaluationError(EarprintError):
    """An evaluation cannot be run, or an outside program in it fails."""


def check_path(path: object, kind: str, error: type[EarprintError], empty: str) -> str:
    """Return the text of a path that a caller gives.

    Parameters
    ----------
    path : path
    kind : str
        What the path names, such as "folder", for messages.
    error : type
        Exception for a path that names nothing.
    empty : str
        Message for an empty path.

    Raises
    ------
    TypeError
        If it is no path, or one of bytes.
    EarprintError
        Of the given type, if it is empty or holds a NUL character.
    """
    name = os.fspath(path) if isinstance(path, (str, os.PathLike)) else None
    if not isinstance(name, str):
        raise TypeError(f"the {kind} is of type {type(path).__name__}; give a path as text or pathlib.Path")
    if not name:
        raise error(empty)
    if "\0" in name:
        raise error(f"{name!r}: no {kind} has a NUL character in its name; check the path")
    return name


def count(n: int, noun: str) -> str:
    """Return a number with its noun for a message, such as ``1 file`` or ``3 files``."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
