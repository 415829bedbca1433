"""Zero-phase filters: band limits, spectral tilt and smooth random frequency responses."""

import math
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

import numpy as np
import torch
from torch import Tensor

from earprint.constants import SAMPLE_RATE
from earprint.dsp.filters import TILT_FLAT_BELOW_HZ, band_pass_gains, tilt_gains
from earprint.training.augmentation.base import Params, SpectrumAugmentation, Tensors, register
from earprint.training.augmentation.sources import Clips, Int, Sources
from earprint.training.augmentation.spectrum import Spectrum, octaves_share
from earprint.training.settings import Limits

EQUALIZER_TERMS: Final = 4
"""Cosines in a random frequency response."""

LOWEST_HZ: Final = 1e-3
"""The bin at 0 Hz counts as this frequency, so that no gain is 0 / 0."""


def equalizer_gains(terms_db: Tensor, hz: Tensor) -> Tensor:
    """Gains of a smooth frequency response: cosines over the octaves from `TILT_FLAT_BELOW_HZ` up.

    Parameters
    ----------
    terms_db : Tensor, shape (rows, terms)
        Amplitudes in dB. Term ``k`` has ``k + 1`` half periods between `TILT_FLAT_BELOW_HZ` and half the
        sample rate.
    hz : Tensor, shape (1, bins)

    Returns
    -------
    Tensor, shape (rows, bins)
    """
    share = octaves_share(hz, TILT_FLAT_BELOW_HZ)
    half_periods = torch.arange(1, terms_db.shape[1] + 1, device=terms_db.device)[:, None]
    return 10 ** (terms_db @ (torch.pi * half_periods * share).cos() / 20)


@register("band_limit")
@dataclass(frozen=True)
class BandLimit(SpectrumAugmentation):
    """A high-pass and a low-pass of the Butterworth shape, for music and noise alike.

    Attributes
    ----------
    probability : float
        Probability that it is applied to a clip, 0 to 1.
    low_hz, high_hz : tuple of float
        Ranges of the corners of the high-pass and of the low-pass in Hz, log-uniform.
    slope_order : tuple of float
        Range of the order, 6 dB per octave each, log-uniform.
    """

    draw_order = 30
    limits: ClassVar[Limits] = {
        "low_hz": (1.0, SAMPLE_RATE / 2), "high_hz": (1.0, SAMPLE_RATE), "slope_order": (0.5, 20.0),
    }  # fmt: skip
    probability: float = 0.35
    low_hz: tuple[float, float] = (40.0, 500.0)
    high_hz: tuple[float, float] = (2_500.0, 7_500.0)
    slope_order: tuple[float, float] = (1.0, 8.0)

    def draw(self, rng: np.random.Generator, rows: Int, clips: Clips) -> Params:
        """Draw corners and orders."""
        ranges = {"low_hz": self.low_hz, "high_hz": self.high_hz, "order": self.slope_order}
        return {
            name: np.exp(rng.uniform(math.log(ends[0]), math.log(ends[1]), len(rows)))
            for name, ends in ranges.items()
        }

    def apply(self, spectrum: Spectrum, params: Tensors, sources: Sources) -> Tensor:
        """Return the gains."""
        low_hz, high_hz, order = (params[name][:, None] for name in ("low_hz", "high_hz", "order"))
        gains: Tensor = band_pass_gains(spectrum.hz.clamp_min(LOWEST_HZ), low_hz, high_hz, order)
        return gains


@dataclass(frozen=True)
class _RandomEqualizer(SpectrumAugmentation):
    limits: ClassVar[Limits] = {"terms_db": (-30.0, 30.0)}
    terms_db: tuple[float, float] = (0.0, 0.0)

    def draw(self, rng: np.random.Generator, rows: Int, clips: Clips) -> Params:
        """Draw the terms."""
        return {"terms_db": rng.uniform(*self.terms_db, (len(rows), EQUALIZER_TERMS))}

    def apply(self, spectrum: Spectrum, params: Tensors, sources: Sources) -> Tensor:
        """Return the gains."""
        return equalizer_gains(params["terms_db"], spectrum.hz)


@register("equalizer")
@dataclass(frozen=True)
class Equalizer(_RandomEqualizer):
    """A smooth random frequency response, such as a microphone's, for music and noise alike.

    It is a sum of four cosines over the octaves from 60 Hz up.

    Attributes
    ----------
    probability : float
        Probability that it is applied to a clip, 0 to 1.
    terms_db : tuple of float
        Range of the amplitude of each cosine in dB, uniform.
    """

    draw_order = 40
    probability: float = 0.3
    terms_db: tuple[float, float] = (-2.5, 2.5)


@register("noise_equalizer")
@dataclass(frozen=True)
class NoiseEqualizer(_RandomEqualizer):
    """A smooth random frequency response of the noise alone: many noises of few recordings.

    It is a sum of four cosines over the octaves from 60 Hz up.

    Attributes
    ----------
    probability : float
        Probability that it is applied to a clip, 0 to 1.
    terms_db : tuple of float
        Range of the amplitude of each cosine in dB, uniform.
    """

    draw_order = 60
    target: ClassVar[Literal["all", "music", "noise"]] = "noise"
    probability: float = 0.5
    terms_db: tuple[float, float] = (-4.0, 4.0)


@register("noise_tilt")
@dataclass(frozen=True)
class NoiseTilt(SpectrumAugmentation):
    """A spectral tilt of the noise alone, about 1 kHz: many noises of few recordings.

    Attributes
    ----------
    probability : float
        Probability that it is applied to a clip, 0 to 1.
    db_per_octave : tuple of float
        Range of the tilt in dB per octave, uniform; positive is brighter.
    """

    draw_order = 50
    target: ClassVar[Literal["all", "music", "noise"]] = "noise"
    limits: ClassVar[Limits] = {"db_per_octave": (-24.0, 24.0)}
    probability: float = 0.5
    db_per_octave: tuple[float, float] = (-4.0, 4.0)

    def draw(self, rng: np.random.Generator, rows: Int, clips: Clips) -> Params:
        """Draw tilts."""
        return {"db_per_octave": rng.uniform(*self.db_per_octave, len(rows))}

    def apply(self, spectrum: Spectrum, params: Tensors, sources: Sources) -> Tensor:
        """Return the gains."""
        gains: Tensor = tilt_gains(spectrum.hz, params["db_per_octave"][:, None])
        return gains
