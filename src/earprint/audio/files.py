"""Find audio files, and compare them by a hash of their bytes."""

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from earprint.errors import AudioError, check_path

AUDIO_EXTENSIONS = frozenset(
    {
        ".3gp", ".aac", ".ac3", ".aif", ".aifc", ".aiff", ".amr", ".ape", ".asf", ".au", ".avi",
        ".caf", ".dts", ".eac3", ".flac", ".flv", ".m2ts", ".m4a", ".m4b", ".m4v", ".mka", ".mkv",
        ".mov", ".mp2", ".mp3", ".mp4", ".mpc", ".mpeg", ".mpg", ".mts", ".oga", ".ogg", ".ogv",
        ".opus", ".ra", ".rm", ".snd", ".spx", ".tak", ".ts", ".tta", ".voc", ".w64", ".wav",
        ".wave", ".webm", ".wma", ".wmv", ".wv",
    }
)  # fmt: skip
"""Extensions, in lower case, of the files that are found in folders."""


def unreadable(path: str | os.PathLike[str], error: OSError) -> AudioError:
    """Describe in one line why a file or folder could not be opened."""
    name = os.fspath(path)
    if isinstance(error, FileNotFoundError) or error.errno == errno.ELOOP:
        if Path(name).is_symlink():
            return AudioError(f"{name}: is a link to a missing file; mend or remove it")
        if isinstance(error, FileNotFoundError):
            return AudioError(f"{name}: no such file or folder; check the path")
    return AudioError(f"{name}: cannot be read ({error.strerror or error}); check its permissions")


def path_name(path: str | os.PathLike[str]) -> str:
    """Return the text of a path.

    Raises
    ------
    TypeError
        If it is no path, or one of bytes.
    AudioError
        If it is empty, or holds a NUL character.
    """
    return check_path(path, "file or folder", AudioError, "an empty path; name a file or folder")


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a folder (True) or a regular file (False).

    Raises
    ------
    AudioError
        If it is neither: an empty path, a missing or unreadable one, a pipe or a device.
    """
    name = path_name(path)
    try:
        mode = Path(name).stat().st_mode
    except OSError as error:
        raise unreadable(name, error) from error
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
        raise AudioError(f"{name}: is not a regular file; leave it out")
    return stat.S_ISDIR(mode)


def find_audio_files(
    paths: Iterable[str | os.PathLike[str]], *, on_warning: Callable[[str], None] | None = None
) -> Iterator[Path]:
    """List the audio files of paths: files themselves, and the audio files in folders.

    Parameters
    ----------
    paths : iterable of paths
        A file is listed whatever its extension. Of a folder and its subfolders, all regular files with one of
        `AUDIO_EXTENSIONS` are listed, sorted by path, except names that begin with a dot (macOS writes a
        ``._x.mp3`` beside each ``x.mp3``). Links to folders are followed once.
    on_warning : callable, optional
        Called with one line for each folder that cannot be read, and for each of ``paths`` that is a folder
        without audio files.

    Returns
    -------
    iterator of Path
        In the order of ``paths``, each file once.

    Raises
    ------
    AudioError
        At once, if a path does not exist, or is neither a file nor a folder.

    See Also
    --------
    survey : the same, with an error for each path that gives no file.
    """
    # A single string would be iterated over by characters.
    listed: list[str | os.PathLike[str]] = []
    listed += [paths] if isinstance(paths, (str, os.PathLike)) else paths
    for path in listed:
        is_folder(path)
    return _without_errors(listed, on_warning)


def _without_errors(
    paths: list[str | os.PathLike[str]], on_warning: Callable[[str], None] | None
) -> Iterator[Path]:
    for path, error in survey(paths):
        if error is None:
            yield path
        elif on_warning is not None:
            on_warning(str(error))


def survey(paths: Iterable[str | os.PathLike[str]]) -> Iterator[tuple[Path, AudioError | None]]:
    """List the audio files of paths, and an error for each path that gives none.

    Parameters
    ----------
    paths : iterable of paths
        As for `find_audio_files`.

    Yields
    ------
    path : Path
        A file; or a path that gives no file: one of ``paths``, or a folder below it. Each is listed once.
    error : AudioError or None
        None for a file.

    Raises
    ------
    AudioError
        If one of the paths is empty.
    """
    seen: set[str] = set()
    for named in paths:
        for path, error in _survey_one(named):
            key = os.path.abspath(path)  # noqa: PTH100 - resolve() would merge files by their links
            if key not in seen:
                seen.add(key)
                yield path, error


def _survey_one(named: str | os.PathLike[str]) -> list[tuple[Path, AudioError | None]]:
    try:
        return _survey_folder(Path(named)) if is_folder(named) else [(Path(named), None)]
    except AudioError as error:
        if not os.fspath(named):
            raise
        return [(Path(named), error)]


def _survey_folder(folder: Path) -> list[tuple[Path, AudioError | None]]:
    failed: list[tuple[Path, AudioError | None]] = []

    def report(error: OSError) -> None:
        failed.append((Path(error.filename), unreadable(error.filename, error)))

    files = sorted(_files_under(folder, report))
    if not files and not failed:
        failed = [(folder, AudioError(f"{folder}: holds no audio files; name a folder that does"))]
    return failed + [(file, None) for file in files]


def _files_under(folder: Path, on_error: Callable[[OSError], None]) -> Iterator[Path]:
    visited: set[str] = set()  # real paths, so that a link to a parent folder is followed once
    for parent, folders, names in os.walk(folder, onerror=on_error, followlinks=True):
        real = os.path.realpath(parent)
        if real in visited:
            folders.clear()
            continue
        visited.add(real)
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for name in names:
            file = Path(parent, name)
            if not name.startswith(".") and file.suffix.lower() in AUDIO_EXTENSIONS and _may_hold_audio(file):
                yield file


def _may_hold_audio(file: Path) -> bool:
    """Whether this is a regular file, or cannot be examined, so that opening it will report the error."""
    try:
        return stat.S_ISREG(file.stat().st_mode)
    except OSError:
        return True


def content_hash(path: str | os.PathLike[str]) -> str:
    """Hash a file's bytes.

    Parameters
    ----------
    path : path
        Any regular file.

    Returns
    -------
    str
        BLAKE2b of 128 bits as 32 hexadecimal digits.

    Raises
    ------
    AudioError
        If the file cannot be read, or is a pipe or device.
    """
    is_folder(path)  # refuses what may never end; a folder cannot be opened
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError as error:
        raise unreadable(path, error) from error
