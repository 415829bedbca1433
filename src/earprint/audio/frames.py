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

from collections.abc import Iterator
from dataclasses import dataclass

import av
import numpy as np
from numpy.typing import NDArray

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
        self._pending: list[av.AudioFrame] = []
        self._pending_samples = 0
        self._kind: tuple[str, int, int] | None = None  # format, channels, rate of the pending frames
        self._end_s: float | None = None  # clock time up to which there is audio or silence
        self._frame_end_s = 0.0  # clock time at which the previous frame ends

    def push(self, frame: av.AudioFrame) -> Iterator[Chunk]:
        """Take the next frame; give the chunks that are complete."""
        rate = frame.sample_rate
        if frame.samples <= 0 or rate <= 0:
            return
        kind = (frame.format.name, frame.layout.nb_channels, rate)
        gap_s = self._advance(frame)
        if self._pending and (kind != self._kind or gap_s or self._pending_samples >= _CHUNK_S * rate):
            yield self._join()
        if gap_s:
            self._damage.filled_s += gap_s
            yield from _silence(gap_s, rate)
        self._kind = kind
        self._pending.append(frame)
        self._pending_samples += frame.samples

    def flush(self) -> Iterator[Chunk]:
        """Give what is left."""
        if self._pending:
            yield self._join()

    def _advance(self, frame: av.AudioFrame) -> float:
        """Move the clock over a frame; return the silence due before it, in seconds."""
        length_s = frame.samples / frame.sample_rate
        time_s = frame.time
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
        """Average the channels of the pending frames, which are all of one kind."""
        assert self._kind is not None
        format_name, channels, rate = self._kind
        planar = format_name.endswith("p")
        # shape (channels, n) of a planar format, (1, n * channels) of a packed one
        samples = as_float32(np.concatenate([f.to_ndarray() for f in self._pending], axis=1))
        if format_name.startswith(("flt", "dbl")) and not self._is_sane(samples):
            samples = self._tame(samples, 1 if planar else channels)
        by_channel = samples if planar else samples.reshape(-1, channels).T
        mono = by_channel[0].copy() if channels > 1 else by_channel[0]
        for channel in by_channel[1:]:
            mono += channel
        if channels > 1:
            mono *= np.float32(1.0 / channels)
        self._damage.frames += len(self._pending)
        self._pending.clear()
        self._pending_samples = 0
        return Chunk(mono, rate)

    @staticmethod
    def _is_sane(samples: NDArray[np.float32]) -> bool:
        return bool(samples.max() <= WILD_LEVEL and samples.min() >= -WILD_LEVEL)  # False for NaN

    def _tame(self, samples: NDArray[np.float32], values_per_sample: int) -> NDArray[np.float32]:
        """Silence the frames that run wild, and the single samples that are not finite."""
        samples = samples.copy()
        stop = 0
        for frame in self._pending:
            start, stop = stop, stop + frame.samples * values_per_sample
            part = samples[:, start:stop]
            if self._is_sane(part):
                continue
            self._damage.wild_frames += 1
            part[~np.isfinite(part)] = 0.0
            if not self._is_sane(part):
                part[:] = 0.0
        return samples


def _silence(length_s: float, sample_rate: int) -> Iterator[Chunk]:
    left = round(length_s * sample_rate)
    while left > 0:
        n = min(left, sample_rate)
        yield Chunk(np.zeros(n, dtype=np.float32), sample_rate)
        left -= n
