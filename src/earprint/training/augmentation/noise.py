"""Background noise at a signal-to-noise ratio."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from earprint.dsp.snr import snr_gain
from earprint.training.augmentation.base import NoiseAugmentation, Params, Tensors, register
from earprint.training.augmentation.sources import Clips, Int, Sources
from earprint.training.settings import Limits


def mean_square(audio: Tensor) -> Tensor:
    """Mean square of each row, shape (rows, 1)."""
    return audio.square().mean(dim=1, keepdim=True)


def mix_at_snr(signal: Tensor, noise: Tensor, snr_db: Tensor) -> Tensor:
    """Add noise so that the ratio of mean squares over the whole row is ``snr_db`` (paper, section 2.2).

    Parameters
    ----------
    signal, noise : Tensor, shape (rows, n)
    snr_db : Tensor, shape (rows,)

    Returns
    -------
    Tensor, shape (rows, n)
        The signal unchanged where it or the noise is silent.
    """
    power_signal, power_noise = mean_square(signal), mean_square(noise)
    gain = snr_gain(power_signal, power_noise.clamp_min(1e-20), snr_db[:, None])
    return signal + torch.where(power_noise > 0, gain, 0.0) * noise


@register("noise")
@dataclass(frozen=True)
class BackgroundNoise(NoiseAugmentation):
    """One or two of the store's noises, looped if they are short, in the same room as the music.

    The ratio is that of mean squares after reverberation and filters. Playback rates make many noises of few
    recordings.

    Attributes
    ----------
    probability : float
        Probability of noise in a clip without a room's or a device's response, 0 to 1.
    probability_with_response : float
        Probability of noise in a clip with one, 0 to 1.
    snr_db : tuple of float
        Range of the signal-to-noise ratio in dB, uniform.
    second_probability : float
        Probability of a second noise, 0 to 1.
    second_gain : tuple of float
        Range of the second noise's amplitude relative to the first, uniform.
    rate_probability : float
        Probability that a noise is played at another rate, 0 to 1.
    rate : tuple of float
        Range of the playback rate, uniform; 1 is unchanged.
    """

    limits: ClassVar[Limits] = {
        "snr_db": (-100.0, 200.0), "second_gain": (0.0, 10.0), "rate": (0.25, 4.0),
    }  # fmt: skip
    probability: float = 1.0
    probability_with_response: float = 1.0
    snr_db: tuple[float, float] = (-4.0, 20.0)
    second_probability: float = 0.3
    second_gain: tuple[float, float] = (0.3, 1.0)
    rate_probability: float = 0.5
    rate: tuple[float, float] = (0.65, 1.35)

    def choose(self, rng: np.random.Generator, clips: Clips) -> Int:
        """Choose clips, those with a response with a probability of their own."""
        if not max(self.probability, self.probability_with_response):
            return np.zeros(0, np.int64)
        probability = np.where(clips.has_response, self.probability_with_response, self.probability)
        return np.flatnonzero((rng.random(len(clips)) < probability) & ~clips.is_codec_query)

    def draw(self, rng: np.random.Generator, rows: Int, clips: Clips) -> Params:
        """Draw noises, positions, rates and ratios; first one noise for each clip, then the second ones."""
        count = len(rows)
        snr_db = rng.uniform(*self.snr_db, count)
        with_second = np.flatnonzero(rng.random(count) < self.second_probability)
        second_gain = rng.uniform(*self.second_gain, len(with_second))
        noise = clips.sources.noise
        numbers = clips.sources.noise_sampler.draw(rng, count + len(with_second))
        first = rng.integers(noise.lengths[numbers])
        rate_rows = np.flatnonzero(rng.random(len(numbers)) < self.rate_probability)
        return {
            "snr_db": snr_db,
            "with_second": with_second,
            "second_gain": second_gain,
            "starts": noise.starts[numbers],
            "lengths": noise.lengths[numbers],
            "first": first,
            "rate_rows": rate_rows,
            "rate": rng.uniform(*self.rate, len(rate_rows)),
        }

    def read(self, n: int, params: Tensors, sources: Sources) -> Tensor:
        """Read the noises, each with a mean square of 1, and add the second ones to the first."""
        noise = sources.noise.play(
            params["starts"], params["lengths"], params["first"], n,
            params["rate_rows"], params["rate"], loop=True,
        )  # fmt: skip
        noise /= mean_square(noise).sqrt() + 1e-5
        count = len(params["snr_db"])
        total = noise[:count]
        if len(noise) > count:
            total[params["with_second"]] += noise[count:] * params["second_gain"][:, None]
        return total

    def apply(self, music: Tensor, noise: Tensor, params: Tensors) -> Tensor:
        """Mix at the ratio."""
        return mix_at_snr(music, noise, params["snr_db"])
