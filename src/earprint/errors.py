"""The exceptions that earprint raises.

Every message is one line: what is at fault, the cause, and what to do next.
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
    """A model is unknown, damaged, or does not fit the library."""


class LibraryError(EarprintError):
    """A library cannot be opened, read or written."""


class LibraryLockedError(LibraryError):
    """Another process is writing to the library."""


class TrainingError(EarprintError):
    """Training data or a checkpoint cannot be used."""


class EvaluationError(EarprintError):
    """An evaluation cannot be run, or an outside program in it fails."""
