"""The exceptions of earprint, all derived from `EarprintError`, and numbers in their messages.

Every message is one line that names the file or option, the cause, and the next step. Wrong arguments of a
function raise `ValueError` or `TypeError`.
"""


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


def count(n: int, noun: str) -> str:
    """Return a number with its noun for a message, such as ``1 file`` or ``3 files``."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
