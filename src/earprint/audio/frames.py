"""From a decoder's frames to one continuous mono signal.

A damaged file gives frames that are missing, hold garbage, or change rate and layout on the way.
Here they become consecutive chunks of mono float32 at the file's own rate, in which every sample
sits at the time the file gives it:

- a frame whose timestamp leaves a hole of more than `MIN_GAP_S` after the previous one is preceded
  by that much silence; rounding of timestamps (1 ms in Matroska) and constant offsets (encoder
  priming) stay below that, so that sound files come out untouched;
- holes beyond `MAX_GAP_S` are taken for a jump of the clock, not for lost audio, and are closed;
- samples that are not finite become 0, and a frame that reaches beyond +-`WILD_LEVEL` (a decoder
  run wild) becomes silence.

What was mended is counted in `Damage`, whose one line of warning names it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from av.audio.plane import AudioPlane
from numpy.typing import DTypeLike, NDArray

from earprint.audio.resampling import as_float32

MIN_GAP_S = 0.016
"""Shorter holes between frames are rounding, in seconds; one lost frame is 20 ms and more.

Ogg pages cut by an editor misplace a second of Opus by 10 ms and put the next one right again."""

MAX_GAP_S = 60.0
"""Longer holes are not filled, in seconds."""

MAX_FILL_S = 600.0
"""Silence put into one file altogether, in seconds; bounds what mad timestamps can cause."""

CLOCK_RESTART_S = 1.0
"""Timestamps that fall back by more begin a new clock, in seconds (joined recordings)."""

WILD_LEVEL = 4.0
"""No decoder gives more than this on real audio; full scale is 1."""

_CHUNK_S = 1.0
"""Frames are handled together in chunks of this length, in seconds; one of mp3 is only 26 ms."""

_SAMPLE_TYPES: dict[str, DTypeLike] = {
    "u8": np.uint8,
    "s16": np.int16,
    "s32": np.int32,
    "s64": np.int64,
    "flt": np.float32,
    "dbl": np.float64,
}
"""FFmpeg's sample formats, without the "p" of the planar ones."""


@dataclass
class Damage:
    """What had to be mended in one file.

    Attributes
    ----------
    bad_packets : int
        Pieces of the file that could not be read or decoded.
    cause : str
        The first error among them, in FFmpeg's words.
    wild_frames, frames : int
        Frames replaced because of samples beyond `WILD_LEVEL` or not finite, of how many.
    filled_s : float
        Silence put in for missing audio, in seconds.
    jumps : int
        Jumps of the clock that were closed.
    """

    bad_packets: int = 0
    cause: str = ""
    wild_frames: int = 0
    frames: int = 0
    filled_s: float = 0.0
    jumps: int = 0

    def note_error(self, error: Exception) -> None:
        """Count one piece that gave an error."""
        self.bad_packets += 1
        self.cause = self.cause or describe_error(error)

    def describe(self) -> str | None:
        """Say in part of a line what was mended; None if nothing was."""
        parts = []
        if self.bad_packets:
            parts.append(f"{_count(self.bad_packets, 'damaged piece')} skipped ({self.cause})")
        if self.wild_frames:
            parts.append(f"{_count(self.wild_frames, 'frame')} of garbage silenced")
        if self.filled_s:
            parts.append(f"{self.filled_s:.2f} s of missing audio replaced by silence")
        if self.jumps:
            parts.append(f"{_count(self.jumps, 'jump')} of its clock closed, so later times may be off")
        return ", ".join(parts) or None


def describe_error(error: Exception) -> str:
    """Say an error in the system's or FFmpeg's words, without file name and number."""
    text = getattr(error, "strerror", None) or str(error)
    # FFmpeg has no words for some codes, such as the one for unknown features, a sign of damage.
    return "Invalid data" if text.startswith("Error number") else text


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


@dataclass
class Chunk:
    """A stretch of mono audio, shape (n,), at `sample_rate` Hz."""

    samples: NDArray[np.float32]
    sample_rate: int


class FrameJoiner:
    """Turn frames into `Chunk` objects that follow each other without holes.

    Parameters
    ----------
    damage : Damage
        Where mended faults are counted.
    start_s : float or None
        Where the stream says it begins, in seconds of its clock. It counts only if pieces before
        the first frame were lost; otherwise the first frame is the beginning, because encoder
        priming makes the two differ in sound files.
    """

    def __init__(self, damage: Damage, start_s: float | None) -> None:
        self._damage = damage
        self._start_s = start_s
        # Frames are a few milliseconds each: FFmpeg's own queue joins them faster than NumPy can.
        self._queue = av.AudioFifo()
        self._lengths: list[int] = []  # samples of each frame in the queue
        self._n_queued = 0  # their sum
        self._kind: tuple[str, int, int] | None = None  # format, channels, rate of the frames in the queue
        self._end_s: float | None = None  # clock time up to which there is audio or silence
        self._frame_end_s = 0.0  # clock time at which the previous frame ends

    def push(self, frame: av.AudioFrame) -> Sequence[Chunk]:
        """Take the next frame; give the chunks that are complete. The frame's timestamp is removed."""
        n, rate = frame.samples, frame.sample_rate
        if n <= 0 or rate <= 0:
            return ()
        kind = (frame.format.name, frame.layout.nb_channels, rate)
        gap_s = self._advance(n / rate, frame.time)
        ready: Sequence[Chunk] = ()
        if gap_s or kind != self._kind or self._n_queued >= _CHUNK_S * rate:
            ready = self._cut(kind, gap_s)
        frame.pts = None  # the queue would refuse any jump of the clock
        self._queue.write(frame)
        self._lengths.append(n)
        self._n_queued += n
        return ready

    def flush(self) -> Sequence[Chunk]:
        """Give what is left."""
        return [self._join()] if self._n_queued else ()

    def _cut(self, kind: tuple[str, int, int], gap_s: float) -> list[Chunk]:
        """Empty the queue for a frame of some kind; what it held, and the silence due after it."""
        ready = [self._join()] if self._n_queued else []
        if kind != self._kind:
            self._queue = av.AudioFifo()
            self._kind = kind
        if gap_s:
            self._damage.filled_s += gap_s
            ready += _silence(gap_s, kind[2])
        return ready

    def _advance(self, length_s: float, time_s: float | None) -> float:
        """Move the clock over a frame; return the silence due before it, in seconds."""
        if self._end_s is None:
            first_s = time_s if time_s is not None else 0.0
            if self._damage.bad_packets and self._start_s is not None:
                first_s = self._start_s
            self._end_s = self._frame_end_s = first_s
        if time_s is None:
            time_s = self._frame_end_s
        # Both must show the hole: the step from frame to frame ignores slow drift of the clock, the
        # distance from what is there already ignores a timestamp that was late once and early next.
        step_s = time_s - self._frame_end_s
        gap_s = min(step_s, time_s - self._end_s)
        if step_s < -CLOCK_RESTART_S:
            self._end_s = time_s
            gap_s = 0.0
        elif gap_s < MIN_GAP_S:
            gap_s = 0.0
        elif gap_s > MAX_GAP_S or self._damage.filled_s + gap_s > MAX_FILL_S:
            self._damage.jumps += 1
            self._end_s = time_s
            gap_s = 0.0
        self._end_s += gap_s + length_s
        self._frame_end_s = time_s + length_s
        return gap_s

    def _join(self) -> Chunk:
        """Average the channels of the frames in the queue, which are all of one kind."""
        frame = self._queue.read()
        assert self._kind is not None
        assert frame is not None
        format_name, channels, rate = self._kind
        planar = format_name.endswith("p")
        # one plane for each channel of a planar format; one of all channels of a packed one
        planes = [as_float32(plane) for plane in _planes(frame, format_name, channels)]
        if format_name.startswith(("flt", "dbl")) and not all(map(_is_sane, planes)):
            planes = self._tame(planes, 1 if planar else channels)
        by_channel = planes if planar else list(planes[0].reshape(-1, channels).T)
        mono = by_channel[0]
        if channels > 1:
            mono = mono + by_channel[1]
            for channel in by_channel[2:]:
                mono += channel
            mono *= np.float32(1.0 / channels)
        self._damage.frames += len(self._lengths)
        self._lengths.clear()
        self._n_queued = 0
        return Chunk(mono, rate)

    def _tame(self, planes: list[NDArray[np.float32]], values_per_sample: int) -> list[NDArray[np.float32]]:
        """Silence the frames that run wild, and the single samples that are not finite."""
        samples = np.stack(planes)
        stop = 0
        for length in self._lengths:
            start, stop = stop, stop + length * values_per_sample
            part = samples[:, start:stop]
            if _is_sane(part):
                continue
            self._damage.wild_frames += 1
            part[~np.isfinite(part)] = 0.0
            if not _is_sane(part):
                part[:] = 0.0
        return list(samples)


def _planes(frame: av.AudioFrame, format_name: str, channels: int) -> list[NDArray[Any]]:
    """View a frame's planes as arrays, of shape (n,) or, of a packed format, (n * channels,)."""
    planar = format_name.endswith("p")
    dtype = _SAMPLE_TYPES[format_name.removesuffix("p")]
    n_planes, n = (channels, frame.samples) if planar else (1, frame.samples * channels)
    # `frame.planes` lists one too many of eight channels, and fails at it from PyAV 19 on.
    planes = (AudioPlane(frame, number) for number in range(n_planes))
    return [np.frombuffer(memoryview(plane), dtype, count=n) for plane in planes]


def _is_sane(samples: NDArray[np.float32]) -> bool:
    return bool(samples.max() <= WILD_LEVEL and samples.min() >= -WILD_LEVEL)  # False for NaN


def _silence(length_s: float, sample_rate: int) -> list[Chunk]:
    """Chunks of a second each, all of the same zeros."""
    zeros = np.zeros(sample_rate, dtype=np.float32)
    seconds, rest = divmod(round(length_s * sample_rate), sample_rate)
    return [Chunk(zeros, sample_rate)] * seconds + [Chunk(zeros[:rest], sample_rate)] * (rest > 0)
