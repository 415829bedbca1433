"""The demonstration's questions: excerpts cut from random places and spoiled in a named way.

Conventions: 16 kHz mono float32, shape (n,); times in seconds from the start of the recording. An
excerpt is cut with up to `PAST_S` of what came before it, so that a room still sounds with it as a
real one would.
"""

from dataclasses import dataclass
from os import PathLike
from typing import Final

import numpy as np
from numpy.typing import NDArray

from earprint.audio import stream_audio
from earprint.constants import SAMPLE_RATE
from earprint.dsp.filters import phone_band
from earprint.dsp.reverberation import reverberate, synthetic_rir
from earprint.dsp.snr import add_noise
from earprint.dsp.synthetic_noise import babble_noise, mains_hum, pink_noise

Audio = NDArray[np.float32]

CONDITIONS: Final = ("noise 10 dB", "noise 0 dB", "room + noise 10 dB", "phone")
"""Ways to spoil an excerpt; ``phone`` is a room, noise at 10 dB and a telephone's band."""

PAST_S: Final = 1.0
"""Audio before an excerpt that is known to the room, in seconds."""

RT60_RANGE_S: Final = (0.3, 0.8)
"""Reverberation times of the rooms, in seconds: a furnished room to a classroom."""

AUDIBLE_RMS: Final = 1e-4
"""An excerpt below this root mean square (-80 dB of full scale) is silence, and no question."""


@dataclass(frozen=True)
class Excerpt:
    """A piece of a recording and what came just before it.

    Attributes
    ----------
    samples : ndarray of float32, shape (n,)
    past : ndarray of float32, shape (p,)
        At most `PAST_S` long, shorter at the start of the recording.
    start_s : float
        Where in the recording ``samples`` begin.
    """

    samples: Audio
    past: Audio
    start_s: float

    @property
    def audible(self) -> bool:
        """Whether there is anything to hear."""
        return len(self.samples) > 0 and float(np.sqrt(np.mean(self.samples**2))) > AUDIBLE_RMS


def cut(path: str | PathLike[str], start_s: float, length_s: float) -> Excerpt:
    """Cut an excerpt from a file, reading no further than its end.

    Parameters
    ----------
    path : path
        Audio file.
    start_s, length_s : float
        In seconds; the excerpt is shorter if the recording ends before.

    Raises
    ------
    earprint.errors.AudioError
        If the file gives no audio.
    """
    start = round(start_s * SAMPLE_RATE)
    stop = start + round(length_s * SAMPLE_RATE)
    first = max(0, start - round(PAST_S * SAMPLE_RATE))
    pieces, position = [np.zeros(0, dtype=np.float32)], 0
    for block in stream_audio(path):
        pieces.append(block[max(first - position, 0) : max(stop - position, 0)])
        position += len(block)
        if position >= stop:
            break
    known = np.concatenate(pieces)
    return Excerpt(known[start - first :], known[: start - first], start / SAMPLE_RATE)


def duration_s(path: str | PathLike[str]) -> float:
    """Measure the length of a recording by decoding it, in seconds.

    Raises
    ------
    earprint.errors.AudioError
        If the file gives no audio.
    """
    return sum(len(block) for block in stream_audio(path)) / SAMPLE_RATE


def spoil(excerpt: Excerpt, condition: str, seed: int) -> Audio:
    """Spoil an excerpt in one of the `CONDITIONS`.

    Parameters
    ----------
    excerpt : Excerpt
        Audible.
    condition : str
        One of `CONDITIONS`.
    seed : int
        Choice of noise, room and their details.

    Returns
    -------
    ndarray of float32, shape of ``excerpt.samples``
        Peak at most 1.
    """
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
