"""What can go wrong, as one family of exceptions.

Every message is one line that names the thing at fault, the cause, and what to do next.
"""


class EarprintError(Exception):
    """Root of every error that earprint raises on purpose."""


class AudioError(EarprintError):
    """A file or stream gives no usable audio."""


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
