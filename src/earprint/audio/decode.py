"""Decode any format that FFmpeg reads to 16 kHz mono.

A source is a path or a binary file object, seekable or not (a pipe). Its best audio stream is decoded block
by block while the file is read, so memory use does not grow with its length. Sample i of all blocks together
is i / 16000 s after the start of the audio.

Decoding goes on after damage: packets that cannot be decoded are skipped, silence takes their time (see
`earprint.audio.decoder_frames`), and a one-line warning says how much.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from earprint.audio.decoder_frames import Chunk, Damage, FrameJoiner, describe_error
from earprint.audio.resampling import MonoResampler
from earprint.audio.sources import AudioSource, name_of, open_container
from earprint.constants import SAMPLE_RATE
from earprint.errors import AudioError

OnWarning = Callable[[str], None]

_SHORT_S = 1.0
_SHORT_SHARE = 0.02
"""A warning is given if audio is shorter than its claimed duration by more than both (seconds, share)."""

_UNTIMED_FORMATS = frozenset({"aac", "ac3", "eac3", "dts", "truehd", "loas", "amr"})
"""Raw streams without a duration: FFmpeg estimates it from the bit rate of the first frames."""

_MAX_READ_ERRORS = 100
"""After this many read errors in a row, the rest of a file is skipped."""


def stream_audio(
    source: AudioSource, *, block_s: float = 10.0, on_warning: OnWarning | None = None
) -> Iterator[NDArray[np.float32]]:
    """Decode a file or stream to 16 kHz mono, block by block.

    Parameters
    ----------
    source : path or binary file object
        What to decode. A file object is read from its current position, and is left open.
    block_s : float
        Length of a block, in seconds.
    on_warning : callable, optional
        Called at the end of the source with one line for each kind of fault: damage that was mended, or audio
        shorter than the file claims.

    Yields
    ------
    ndarray of float32, shape (n,)
        Consecutive blocks of ``round(block_s * 16000)`` samples; the last may be shorter.

    Raises
    ------
    AudioError
        While iterating: if the source is missing, cannot be read, is empty, is not audio, has no audio
        stream, or gives no samples.

    See Also
    --------
    load_audio : the whole recording as one array.
    """
    if not block_s > 0:
        raise AudioError(f"block length {block_s} s: not positive; give a length such as 10")
    yield from _reblock(_decode(source, on_warning), max(1, round(block_s * SAMPLE_RATE)))


def load_audio(source: AudioSource, *, on_warning: OnWarning | None = None) -> NDArray[np.float32]:
    """Decode a whole file or stream to 16 kHz mono.

    Parameters
    ----------
    source : path or binary file object
        What to decode.
    on_warning : callable, optional
        As for `stream_audio`.

    Returns
    -------
    ndarray of float32, shape (n,)

    Raises
    ------
    AudioError
        As for `stream_audio`.
    """
    return np.concatenate(list(_decode(source, on_warning)))


def _decode(source: AudioSource, on_warning: OnWarning | None) -> Iterator[NDArray[np.float32]]:
    """Decode a source to 16 kHz mono blocks of any length; at least one sample in total."""
    name = name_of(source)
    with ExitStack() as stack:
        try:
            container = open_container(source, name, stack)
            stream = _audio_stream(container, name)
            # One thread: callers decode several files at once, and threads would delay errors.
            stream.codec_context.thread_count = 1
            damage = Damage()
            n = 0
            for block in _to_16k(_chunks(container, stream, damage)):
                n += len(block)
                if len(block):
                    yield block
            if n == 0 or 0 < damage.frames == damage.garbage_frames:
                cause = damage.describe() or "it holds none that can be decoded"
                raise AudioError(
                    f"{name}: no audio came out of it ({cause}); "
                    "check that it plays elsewhere, or leave it out"
                )
            if on_warning is not None:
                _warn(name, on_warning, damage, n / SAMPLE_RATE, _claimed_s(container, stream))
        except OSError as error:  # from reading a file object, and FFmpeg's own errors
            raise AudioError(
                f"{name}: cannot be read ({describe_error(error)}); check the file and its disk"
            ) from error


def _audio_stream(container: Any, name: str) -> Any:
    stream = container.streams.best("audio")
    if stream is None and container.streams.audio:
        stream = container.streams.audio[0]
    if stream is None:
        raise AudioError(f"{name}: has no audio track; leave it out")
    if stream.codec_context is None:
        raise AudioError(
            f"{name}: its audio track is in a format without a decoder; convert it to another one"
        )
    return stream


def _chunks(container: Any, stream: Any, damage: Damage) -> Iterator[Chunk]:
    start_s = None if stream.start_time is None else float(stream.start_time * stream.time_base)
    joiner = FrameJoiner(damage, start_s)
    for packet in _packets(container, stream, damage):
        try:
            frames = packet.decode()
        except av.error.FFmpegError as error:
            damage.note_error(error)
            continue
        for frame in frames:
            yield from joiner.push(frame)
    yield from joiner.flush()


def _packets(container: Any, stream: Any, damage: Damage) -> Iterator[Any]:
    """Yield the packets of a stream, also after errors; the last one flushes the decoder."""
    errors_in_a_row = 0
    while errors_in_a_row < _MAX_READ_ERRORS:
        try:
            for packet in container.demux(stream):
                errors_in_a_row = 0
                yield packet
        except av.error.FFmpegError as error:
            damage.note_error(error)
            errors_in_a_row += 1
        else:
            return


def _to_16k(chunks: Iterable[Chunk]) -> Iterator[NDArray[np.float32]]:
    resampler: MonoResampler | None = None
    for chunk in chunks:
        if resampler is None or resampler.sample_rate != chunk.sample_rate:
            if resampler is not None:
                yield resampler.flush()
            resampler = MonoResampler(chunk.sample_rate)
        yield resampler.push(chunk.samples)
    if resampler is not None:
        yield resampler.flush()


def _reblock(blocks: Iterable[NDArray[np.float32]], size: int) -> Iterator[NDArray[np.float32]]:
    waiting: list[NDArray[np.float32]] = []
    n_waiting = 0
    for block in blocks:
        waiting.append(block)
        n_waiting += len(block)
        if n_waiting >= size:
            joined = np.concatenate(waiting)
            whole = n_waiting // size * size
            for start in range(0, whole, size):
                yield joined[start : start + size]
            waiting = [joined[whole:].copy()]
            n_waiting -= whole
    if n_waiting:
        yield np.concatenate(waiting)


def _claimed_s(container: Any, stream: Any) -> float | None:
    """Duration of the audio according to the file, in seconds; None where FFmpeg only estimates it."""
    if container.format.name in _UNTIMED_FORMATS:
        return None
    if stream.duration is not None:
        claimed_s = float(stream.duration * stream.time_base)
    elif container.duration is not None and not container.streams.video:
        # it is counted from 0, and the audio may begin later
        start_s = 0.0 if stream.start_time is None else float(stream.start_time * stream.time_base)
        claimed_s = container.duration / av.time_base - max(0.0, start_s)
    else:
        return None
    bit_rate = stream.codec_context.bit_rate or 0
    if container.format.name == "mp3" and bit_rate > 0:
        # Without a header that counts the frames, FFmpeg divides the size by the bit rate of the first few,
        # which is wrong for a variable bit rate.
        guess_s = 8 * container.size / bit_rate
        if abs(claimed_s - guess_s) < 0.05 * guess_s:
            return None
    return claimed_s


def _warn(name: str, on_warning: OnWarning, damage: Damage, got_s: float, claimed_s: float | None) -> None:
    mended = damage.describe()
    if mended is not None:
        on_warning(f"{name}: is damaged: {mended}")
    if claimed_s is not None and claimed_s - got_s > max(_SHORT_S, _SHORT_SHARE * claimed_s):
        on_warning(
            f"{name}: gave {got_s:.1f} s of the {claimed_s:.1f} s it claims to hold; "
            "it may be cut off or damaged"
        )
