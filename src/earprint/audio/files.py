"""Find audio files, and tell by their bytes whether two are the same."""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from earprint.errors import AudioError

AUDIO_EXTENSIONS = frozenset(
    {
        ".3gp", ".aac", ".ac3", ".aif", ".aifc", ".aiff", ".amr", ".ape", ".asf", ".au", ".avi",
        ".caf", ".dts", ".eac3", ".flac", ".flv", ".m2ts", ".m4a", ".m4b", ".m4v", ".mka", ".mkv",
        ".mov", ".mp2", ".mp3", ".mp4", ".mpc", ".mpeg", ".mpg", ".mts", ".oga", ".ogg", ".ogv",
        ".opus", ".ra", ".rm", ".snd", ".spx", ".tak", ".ts", ".tta", ".voc", ".w64", ".wav",
        ".wave", ".webm", ".wma", ".wmv", ".wv",
    }
)  # fmt: skip
"""Extensions, in lower case, of the files taken from folders."""


def find_audio_files(
    paths: Iterable[str | os.PathLike[str]], *, on_warning: Callable[[str], None] | None = None
) -> Iterator[Path]:
    """List the audio files that paths stand for.

    Parameters
    ----------
    paths : iterable of paths
        A file is taken whatever its name; a folder gives all files with one of `AUDIO_EXTENSIONS`
        under it, sorted by path. In folders, names that begin with a dot are left out (macOS writes
        a ``._x.mp3`` beside each ``x.mp3``), and links to folders are followed once.
    on_warning : callable, optional
        Gets one line for each folder that cannot be read.

    Returns
    -------
    iterator of Path
        In the order of `paths`, each file once.

    Raises
    ------
    AudioError
        At once, if a path does not exist.
    """
    # One string would be taken for an iterable of letters.
    listed = [Path(p) for p in ([paths] if isinstance(paths, (str, os.PathLike)) else paths)]
    for path in listed:
        if not path.exists():
            raise AudioError(f"{path}: no such file or folder; check the path")
    return _walk(listed, on_warning)


def _walk(paths: list[Path], on_warning: Callable[[str], None] | None) -> Iterator[Path]:
    seen: set[str] = set()
    for path in paths:
        for file in sorted(_files_under(path, on_warning)) if path.is_dir() else [path]:
            key = os.path.abspath(file)  # noqa: PTH100 - resolve() would merge files by their links
            if key not in seen:
                seen.add(key)
                yield file


def _files_under(folder: Path, on_warning: Callable[[str], None] | None) -> Iterator[Path]:
    def report(error: OSError) -> None:
        if on_warning is not None:
            on_warning(f"{error.filename}: cannot be read ({error.strerror}); check its permissions")

    visited: set[str] = set()  # real paths, so that a link to a parent folder does not go round for ever
    for parent, folders, names in os.walk(folder, onerror=report, followlinks=True):
        real = os.path.realpath(parent)
        if real in visited:
            folders.clear()
            continue
        visited.add(real)
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for name in names:
            if not name.startswith(".") and Path(name).suffix.lower() in AUDIO_EXTENSIONS:
                yield Path(parent, name)


def content_hash(path: str | os.PathLike[str]) -> str:
    """Hash a file's bytes.

    Parameters
    ----------
    path : path
        Any file.

    Returns
    -------
    str
        BLAKE2b of 128 bits as 32 hexadecimal digits.

    Raises
    ------
    AudioError
        If the file cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except FileNotFoundError as error:
        raise AudioError(f"{os.fspath(path)}: no such file; check the path") from error
    except OSError as error:
        raise AudioError(
            f"{os.fspath(path)}: cannot be read ({error.strerror or error}); check its permissions"
        ) from error
