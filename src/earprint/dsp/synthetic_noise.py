"""Synthetic noises: pink noise, babble of many talkers, mains hum.

A seed (PCG64) gives the same noise again.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from earprint.constants import SAMPLE_RATE
from earprint.dsp.fft import fft_frequencies

Audio = NDArray[np.float32]
Frequencies = NDArray[np.float64]

FORMANTS_HZ: Final = np.array(
    [
        [730, 1090, 2440],
        [270, 2290, 3010],
        [300, 870, 2240],
        [530, 1840, 2480],
        [570, 840, 2410],
        [440, 1020, 2240],
    ],
    dtype=np.float64,
)
"""First three formants of six vowels, in Hz (Peterson and Barney, 1952, men), shape (6, 3)."""


def pink_noise(n: int, seed: int) -> Audio:
    """Make pink noise: its power density falls by 3 dB per octave above 20 Hz; unit power, shape (n,)."""
    rng = np.random.Generator(np.random.PCG64(seed))
    return _unit(_coloured(n, rng, lambda f: 1.0 / np.sqrt(np.maximum(f, 20.0))))


def babble_noise(n: int, seed: int, *, talkers: int = 8) -> Audio:
    """Make babble noise: noise with the formants of vowels, which change at the rate of syllables.

    Parameters
    ----------
    n : int
        Samples.
    seed : int
    talkers : int
        Number of voices. Each has its own vocal tract length, level, pitch and rhythm.

    Returns
    -------
    ndarray of float32, shape (n,)
        Of unit power.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    total = 0.1 * _coloured(n, rng, lambda f: 1.0 / (100.0 + f))
    times = np.arange(n) / SAMPLE_RATE
    for _ in range(talkers):
        size, loudness = rng.uniform(0.9, 1.25), 10.0 ** (rng.uniform(-9.0, 3.0) / 20.0)
        syllables_hz, pitch_hz = rng.uniform(3.0, 5.5), rng.uniform(90.0, 240.0)
        for formants in FORMANTS_HZ[rng.choice(len(FORMANTS_HZ), size=3, replace=False)]:
            voice = _coloured(n, rng, _vowel(formants * size))
            # Each vowel has its own envelope over the syllables; most of them are quiet.
            knots = np.arange(0.0, n / SAMPLE_RATE + 2.0 / syllables_hz, 1.0 / syllables_hz)
            envelope = rng.random(len(knots)) ** 3
            total += loudness * voice * np.interp(times, knots, envelope) * _glottis(times, pitch_hz)
    return _unit(total)


def mains_hum(n: int, seed: int, *, mains_hz: float = 50.0) -> Audio:
    """Make mains hum: 20 harmonics of random amplitude and some white noise; unit power, shape (n,)."""
    rng = np.random.Generator(np.random.PCG64(seed))
    times = np.arange(n) / SAMPLE_RATE
    hum = 0.05 * rng.standard_normal(n)
    for k in range(1, 21):
        amplitude = rng.uniform(0.2, 1.0) / k
        hum += amplitude * np.sin(2 * np.pi * (mains_hz * k * times + rng.random()))
    return _unit(hum)


def _coloured(
    n: int, rng: np.random.Generator, gain: Callable[[Frequencies], Frequencies]
) -> NDArray[np.float64]:
    """Make Gaussian noise with a given gain over frequency and a mean power near 1, shape (n,)."""
    length = _drawn_length(n)
    shape = gain(fft_frequencies(length))
    shape = shape / np.sqrt(np.mean(shape**2))
    noise: NDArray[np.float64] = np.fft.irfft(np.fft.rfft(rng.standard_normal(length)) * shape, length)
    return noise[:n]


def _drawn_length(n: int) -> int:
    """Samples drawn for a noise of ``n``: 2^a times 1, 1.25 or 1.5.

    Not `earprint.dsp.fft.fft_length`: another length would give another noise for each seed.
    """
    power = 1 << max(n - 1, 1).bit_length()
    return next(length for length in (power * 5 // 8, power * 3 // 4, power) if length >= n)


def _vowel(formants_hz: Frequencies) -> Callable[[Frequencies], Frequencies]:
    """Gain of a vowel over frequency: resonances at its formants, of half width 60 Hz + 5 %."""

    def gain(f: Frequencies) -> Frequencies:
        distance = (f[:, np.newaxis] - formants_hz) / (60.0 + 0.05 * formants_hz)
        peaks = 1.0 / (1.0 + distance**2) / np.sqrt(formants_hz)
        return np.asarray(peaks.sum(axis=1) + 1e-4, dtype=np.float64)

    return gain


def _glottis(times: NDArray[np.float64], pitch_hz: float) -> NDArray[np.float64]:
    """Amplitude modulation by the vocal folds: a gain between 0 and 1 at a wavering pitch, shape (n,)."""
    cycles = pitch_hz * times + 2.0 * np.sin(2 * np.pi * 0.7 * times)
    pulses: NDArray[np.float64] = (0.5 + 0.5 * np.sin(2 * np.pi * cycles)) ** 2
    return pulses


def _unit(samples: NDArray[np.float64]) -> Audio:
    """Scale to a mean power of 1."""
    return np.asarray(samples / np.sqrt(np.mean(samples**2)), dtype=np.float32)
