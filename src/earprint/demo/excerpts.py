"""Queries of the demonstration: excerpts of recordings, distorted under a named condition.

An excerpt keeps up to `PAST_S` of the audio before it, whose reverberation reaches into the excerpt. Audio is
16 kHz mono float32, times are in seconds from the start of the recording.
"""

from dataclasses import dataclass
from os import PathLike
from typing import Final

import numpy as np
from numpy.typing import NDArray

from earprint.audio import stream_audio
from earprint.constants import PAST_S, SAMPLE_RATE
from earprint.dsp.filters import phone_band
from earprint.dsp.reverberation import reverberate, synthetic_rir
from earprint.dsp.snr import add_noise
from earprint.dsp.synthetic_noise import babble_noise, mains_hum, pink_noise

Audio = NDArray[np.float32]

CONDITIONS: Final = ("noise 10 dB", "noise 0 dB", "room + noise 10 dB", "phone")
"""Conditions of the demonstration. ``phone`` is a room, noise at 10 dB SNR and the telephone band."""

CLEAN: Final = "clean"
"""The condition without distortion."""

RT60_RANGE_S: Final = (0.3, 0.8)
"""Range of the rooms' RT60, in seconds: a furnished room to a classroom."""

AUDIBLE_RMS: Final = 1e-4
"""Excerpts with a root mean square below this (-80 dB of full scale) are silent and make no query."""


@dataclass(frozen=True)
class Excerpt:
    """A part of a recording, and the audio just before it.

    Attributes
    ----------
    samples : ndarray of float32, shape (n,)
    past : ndarray of float32, shape (p,)
        At most `PAST_S` long; shorter at the start of the recording.
    start_s : float
        Position of ``samples`` in the recording.
    """

    samples: Audio
    past: Audio
    start_s: float

    @property
    def audible(self) -> bool:
        """Whether the excerpt is not silent."""
        return len(self.samples) > 0 and float(np.sqrt(np.mean(self.samples**2))) > AUDIBLE_RMS


def cut(path: str | PathLike[str], start_s: float, length_s: float) -> Excerpt:
    """Cut an excerpt from a file, which is decoded only up to the excerpt's end.

    Parameters
    ----------
    path : path
        Audio file.
    start_s, length_s : float
        In seconds; the excerpt is shorter if the recording ends in it.

    Raises
    ------
    earprint.errors.AudioError
        If the file gives no audio.
    """
    start = round(start_s * SAMPLE_RATE)
    stop = start + round(length_s * SAMPLE_RATE)
    first = max(0, start - round(PAST_S * SAMPLE_RATE))
    parts, position = [np.zeros(0, dtype=np.float32)], 0
    for block in stream_audio(path):
        parts.append(block[max(first - position, 0) : max(stop - position, 0)])
        position += len(block)
        if position >= stop:
            break
    audio = np.concatenate(parts)
    return Excerpt(audio[start - first :], audio[: start - first], start / SAMPLE_RATE)


def duration_s(path: str | PathLike[str]) -> float:
    """Measure the length of a recording by decoding it, in seconds.

    Raises
    ------
    earprint.errors.AudioError
        If the file gives no audio.
    """
    return sum(len(block) for block in stream_audio(path)) / SAMPLE_RATE


def distort(excerpt: Excerpt, condition: str, seed: int) -> Audio:
    """Distort an excerpt under a condition.

    Parameters
    ----------
    excerpt : Excerpt
        Audible.
    condition : str
        One of `CONDITIONS`, or `CLEAN`.
    seed : int
        Choice of noise and room.

    Returns
    -------
    ndarray of float32, shape of ``excerpt.samples``
        Peak at most 1, unless the condition is `CLEAN`.
    """
    if condition == CLEAN:
        return excerpt.samples
    rng = np.random.Generator(np.random.PCG64(seed))
    samples, n = excerpt.samples, len(excerpt.samples)
    if condition in {"room + noise 10 dB", "phone"}:
        room = synthetic_rir(float(rng.uniform(*RT60_RANGE_S)), int(rng.integers(2**31)))
        samples = reverberate(samples, room, past=excerpt.past)
    makers = (pink_noise, babble_noise, babble_noise, mains_hum)
    noise = makers[int(rng.integers(len(makers)))](n, int(rng.integers(2**31)))
    samples = add_noise(samples, noise, 0.0 if condition == "noise 0 dB" else 10.0)
    if condition == "phone":
        samples = phone_band(samples)
    return samples / np.float32(max(1.0, float(np.abs(samples).max())))
