"""Open a source of audio: a path, a seekable file object, or a pipe.

Python opens the files and FFmpeg reads them through a callback. So FFmpeg does not interpret names such as
``a:b.mp3`` as addresses, and a playlist with the extension of an audio file cannot make it open other files
or addresses. A pipe is streamed. Only an mp4 whose index is at its end is first copied to a temporary file,
because nothing can be decoded without the index.
"""

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import av

from earprint.audio.decoder_frames import describe_error
from earprint.audio.files import path_name, unreadable
from earprint.errors import AudioError

AudioSource = str | os.PathLike[str] | BinaryIO

_SPOOL_BYTES = 64 << 20
"""Bytes of a pipe kept in memory before they move to a temporary file."""

_MAX_PEEK_BYTES = 1 << 20
"""Bytes of a pipe that are searched for an mp4's index."""

TAG_OPTIONS: dict[str, Any] = (
    {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}
)
"""Option by which PyAV before 19 does not raise an error on tags that are not UTF-8."""


def name_of(source: AudioSource) -> str:
    """Name of a source in messages."""
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source)
    name = getattr(source, "name", None)
    return name if isinstance(name, str) else "<stream>"


def open_container(source: AudioSource, name: str, stack: ExitStack) -> Any:
    """Open a source as a PyAV container.

    Parameters
    ----------
    source : path or binary file object
        What to open. A file object is read from its current position.
    name : str
        Its name in messages.
    stack : ExitStack
        Closes what is opened here.

    Returns
    -------
    av.container.InputContainer

    Raises
    ------
    AudioError
        If the source is missing, a folder, unreadable, empty, or in a format unknown to FFmpeg.
    """
    if isinstance(source, (str, os.PathLike)):
        path = Path(path_name(source))
        try:
            if path.is_dir():
                raise AudioError(f"{name}: is a folder; name the files in it")
            file: Any = stack.enter_context(path.open("rb"))
        except OSError as error:
            raise unreadable(source, error) from error
    else:
        file = source
    seekable = bool(file.seekable()) if hasattr(file, "seekable") else hasattr(file, "seek")
    if not seekable:
        file = _Pipe(file)
        if file.needs_seeking():
            file = stack.enter_context(_spool(file))
            seekable = True
    if not (file.read(1) if seekable else file.head):
        raise AudioError(f"{name}: is empty; replace it or leave it out")
    if seekable:
        file.seek(-1, os.SEEK_CUR)
    try:
        return stack.enter_context(_open_file(file))
    except av.error.FFmpegError as error:
        raise AudioError(
            f"{name}: is not audio or video that can be read ({describe_error(error)}); "
            "check that it plays elsewhere, or leave it out"
        ) from error


def _open_file(file: Any) -> Any:
    # No protocol has this name: FFmpeg may open nothing else.
    return av.open(file, mode="r", options={"protocol_whitelist": "none"}, **TAG_OPTIONS)


class _Pipe:
    """A binary file object that cannot seek, with access to its first bytes before they are read.

    Attributes
    ----------
    head : bytes
        First bytes that were not read yet.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.head = b""
        self._peek(8)

    def _peek(self, size: int) -> None:
        while len(self.head) < size:
            data = self._file.read(size - len(self.head))
            if not data:
                return
            self.head += data

    def read(self, size: int) -> bytes:
        """Read up to ``size`` bytes; none at the end."""
        if self.head:
            data, self.head = self.head[:size], self.head[size:]
            return data
        return self._file.read(size) or b""

    def needs_seeking(self) -> bool:
        """Whether this is an mp4 with its index at the end, which cannot be streamed."""
        start = 0
        while start < _MAX_PEEK_BYTES:
            self._peek(start + 8)
            size = int.from_bytes(self.head[start : start + 4], "big")
            kind = self.head[start + 4 : start + 8]
            if start == 0 and kind != b"ftyp":
                return False
            if kind in (b"mdat", b"moov", b"moof") or size < 8:
                return kind == b"mdat"
            start += size
        return False


def _spool(pipe: _Pipe) -> Any:
    """Read a pipe to its end into a temporary file."""
    file = tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES)  # noqa: SIM115 - caller closes it
    while data := pipe.read(1 << 20):
        file.write(data)
    file.seek(0)
    return file
