"""Join the frames of a decoder to one continuous mono signal.

Frames of a damaged file may be missing, hold garbage, or change sample rate and layout. They are joined to
consecutive chunks of mono float32 at the file's own rate, in which every sample keeps its time:

- a gap of more than `MIN_GAP_S` between the timestamps of two frames is filled with silence. Rounding of
  timestamps (1 ms in Matroska) and constant offsets (encoder priming) are smaller, so intact files are
  unchanged;
- a gap of more than `MAX_GAP_S` is a jump of the clock and not lost audio. It is not filled;
- samples that are not finite become 0, and a frame with samples beyond +-`MAX_LEVEL` (decoded garbage)
  becomes silence.

`Damage` counts what was mended and describes it in one line for a warning.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from av.audio.plane import AudioPlane
from numpy.typing import DTypeLike, NDArray

from earprint.audio.resampling import as_float32
from earprint.errors import count

MIN_GAP_S = 0.016
"""Shorter gaps between frames are rounding, in seconds. One lost frame is 20 ms or more.

In Ogg files cut by an editor, a page may have timestamps that are 10 ms late; those of the next are right."""

MAX_GAP_S = 60.0
"""Longer gaps are not filled, in seconds."""

MAX_FILL_S = 600.0
"""Most silence filled into one file, in seconds; a limit for files with wrong timestamps."""

CLOCK_RESTART_S = 1.0
"""Timestamps that go back by more begin a new clock (joined recordings), in seconds."""

MAX_LEVEL = 4.0
"""Decoders give no larger samples on real audio; full scale is 1."""

_CHUNK_S = 1.0
"""Frames are joined to chunks of about this length, in seconds; one frame of mp3 has 26 ms."""

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
    """What was mended in one file.

    Attributes
    ----------
    bad_packets : int
        Packets that could not be read or decoded.
    cause : str
        The first error among them, in FFmpeg's words.
    garbage_frames, frames : int
        Frames with samples beyond `MAX_LEVEL` or not finite, and all frames.
    filled_s : float
        Silence filled in for missing audio, in seconds.
    jumps : int
        Jumps of the clock that were not filled.
    """

    bad_packets: int = 0
    cause: str = ""
    garbage_frames: int = 0
    frames: int = 0
    filled_s: float = 0.0
    jumps: int = 0

    def note_error(self, error: Exception) -> None:
        """Count one packet that gave an error."""
        self.bad_packets += 1
        self.cause = self.cause or describe_error(error)

    def describe(self) -> str | None:
        """Describe what was mended, as a part of a line; None if nothing was."""
        parts = []
        if self.bad_packets:
            parts.append(f"{count(self.bad_packets, 'damaged piece')} skipped ({self.cause})")
        if self.garbage_frames:
            parts.append(f"{count(self.garbage_frames, 'frame')} of garbage silenced")
        if self.filled_s:
            parts.append(f"{self.filled_s:.2f} s of missing audio replaced by silence")
        if self.jumps:
            parts.append(f"{count(self.jumps, 'jump')} of its clock closed, so later times may be off")
        return ", ".join(parts) or None


def describe_error(error: Exception) -> str:
    """Message of an error of the system or of FFmpeg, without file name and number."""
    text = getattr(error, "strerror", None) or str(error)
    # FFmpeg has no message for some codes; they mean unknown features, which damaged data seems to have.
    return "Invalid data" if text.startswith("Error number") else text


@dataclass
class Chunk:
    """Consecutive samples of mono audio, shape (n,), at ``sample_rate`` Hz."""

    samples: NDArray[np.float32]
    sample_rate: int


class FrameJoiner:
    """Join frames to `Chunk` objects that follow each other without gaps.

    Parameters
    ----------
    damage : Damage
        Counts what is mended.
    start_s : float or None
        Start time of the stream according to the file, in seconds of its clock. It is used only if packets
        before the first frame were lost. Otherwise the first frame is the start, because encoder priming
        makes the two differ in intact files.
    """

    def __init__(self, damage: Damage, start_s: float | None) -> None:
        self._damage = damage
        self._start_s = start_s
        # Frames have a few milliseconds each; FFmpeg's queue joins them faster than NumPy.
        self._queue = av.AudioFifo()
        self._lengths: list[int] = []  # samples of each frame in the queue
        self._n_queued = 0  # their sum
        self._kind: tuple[str, int, int] | None = None  # format, channels, rate of the frames in the queue
        self._end_s: float | None = None  # clock time up to which there is audio or silence
        self._frame_end_s = 0.0  # clock time at which the previous frame ends

    def push(self, frame: av.AudioFrame) -> Sequence[Chunk]:
        """Add the next frame and return the complete chunks. The frame's timestamp is removed."""
        n, rate = frame.samples, frame.sample_rate
        if n <= 0 or rate <= 0:
            return ()
        kind = (frame.format.name, frame.layout.nb_channels, rate)
        gap_s = self._advance(n / rate, frame.time)
        ready: Sequence[Chunk] = ()
        if gap_s or kind != self._kind or self._n_queued >= _CHUNK_S * rate:
            ready = self._cut(kind, gap_s)
        frame.pts = None  # the queue would refuse a jump of the clock
        self._queue.write(frame)
        self._lengths.append(n)
        self._n_queued += n
        return ready

    def flush(self) -> Sequence[Chunk]:
        """Return the last chunk."""
        return [self._join()] if self._n_queued else ()

    def _cut(self, kind: tuple[str, int, int], gap_s: float) -> list[Chunk]:
        """Empty the queue before a frame of another kind or after a gap: return its audio and the silence."""
        ready = [self._join()] if self._n_queued else []
        if kind != self._kind:
            self._queue = av.AudioFifo()
            self._kind = kind
        if gap_s:
            self._damage.filled_s += gap_s
            ready += _silence(gap_s, kind[2])
        return ready

    def _advance(self, length_s: float, time_s: float | None) -> float:
        """Advance the clock by a frame; return the silence to fill in before it, in seconds."""
        if self._end_s is None:
            first_s = time_s if time_s is not None else 0.0
            if self._damage.bad_packets and self._start_s is not None:
                first_s = self._start_s
            self._end_s = self._frame_end_s = first_s
        if time_s is None:
            time_s = self._frame_end_s
        # Both must show the gap. The step from frame to frame is not affected by slow drift of the clock, and
        # the distance from the end of the audio is not affected by one late timestamp.
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
            planes = self._silence_garbage(planes, 1 if planar else channels)
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

    def _silence_garbage(
        self, planes: list[NDArray[np.float32]], values_per_sample: int
    ) -> list[NDArray[np.float32]]:
        """Set frames with samples beyond `MAX_LEVEL`, and single samples that are not finite, to 0."""
        samples = np.stack(planes)
        stop = 0
        for length in self._lengths:
            start, stop = stop, stop + length * values_per_sample
            part = samples[:, start:stop]
            if _is_sane(part):
                continue
            self._damage.garbage_frames += 1
            part[~np.isfinite(part)] = 0.0
            if not _is_sane(part):
                part[:] = 0.0
        return list(samples)


def _planes(frame: av.AudioFrame, format_name: str, channels: int) -> list[NDArray[Any]]:
    """View a frame's planes as arrays of shape (n,), or (n * channels,) for a packed format."""
    planar = format_name.endswith("p")
    dtype = _SAMPLE_TYPES[format_name.removesuffix("p")]
    n_planes, n = (channels, frame.samples) if planar else (1, frame.samples * channels)
    # `frame.planes` lists one plane too many for eight channels, and fails there from PyAV 19 on.
    planes = (AudioPlane(frame, number) for number in range(n_planes))
    return [np.frombuffer(memoryview(plane), dtype, count=n) for plane in planes]


def _is_sane(samples: NDArray[np.float32]) -> bool:
    return bool(samples.max() <= MAX_LEVEL and samples.min() >= -MAX_LEVEL)  # False for NaN


def _silence(length_s: float, sample_rate: int) -> list[Chunk]:
    """Chunks of silence, a second each, which share one array."""
    zeros = np.zeros(sample_rate, dtype=np.float32)
    seconds, rest = divmod(round(length_s * sample_rate), sample_rate)
    return [Chunk(zeros, sample_rate)] * seconds + [Chunk(zeros[:rest], sample_rate)] * (rest > 0)
