"""What happens to music on its way to a microphone: noise, rooms and telephones, all synthetic.

Conventions: 16 kHz mono float32 arrays of shape (n,); levels in dB; times in seconds. A
signal-to-noise ratio is the ratio of mean powers over the whole excerpt, and it is met exactly. A
room response starts with the direct sound at sample 0, so that reverberation does not move a
recording in time. Every random number comes from a seed (PCG64), so that an excerpt can be made
again.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from earprint.constants import SAMPLE_RATE
from earprint.errors import AudioError

Audio = NDArray[np.float32]
Frequencies = NDArray[np.float64]

PHONE_BAND_HZ: Final = (300.0, 3400.0)
"""Pass band of a telephone call (ITU-T G.712)."""

DIRECT_SOUND_DB: Final = -10.0
"""The direct sound of a response is its first sample within this of the peak, in dB."""

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


def add_noise(samples: Audio, noise: Audio, snr_db: float) -> Audio:
    """Add noise at a signal-to-noise ratio that is exact over the excerpt.

    Parameters
    ----------
    samples : ndarray of float32, shape (n,)
    noise : ndarray of float32, shape (m,)
        At least as long as ``samples``; its start is used.
    snr_db : float
        Ratio of the mean powers, in dB.

    Returns
    -------
    ndarray of float32, shape (n,)
        May exceed +-1.

    Raises
    ------
    AudioError
        If the noise is too short, or if either of the two is silent, which leaves no ratio to set.
    """
    if len(noise) < len(samples):
        raise AudioError(f"noise: {len(noise)} samples cannot cover {len(samples)}; make the noise longer")
    noise = noise[: len(samples)]
    power, noise_power = _power(samples), _power(noise)
    if power == 0.0 or noise_power == 0.0:
        which = "excerpt" if power == 0.0 else "noise"
        raise AudioError(f"{which}: is silent, so no signal-to-noise ratio exists; choose another")
    gain = np.sqrt(power / noise_power) * 10.0 ** (-snr_db / 20.0)
    return np.asarray(samples + gain * noise, dtype=np.float32)


def pink_noise(n: int, seed: int) -> Audio:
    """Make noise whose power falls by 3 dB per octave above 20 Hz, of unit power, shape (n,)."""
    rng = np.random.Generator(np.random.PCG64(seed))
    return _unit(_coloured(n, rng, lambda f: 1.0 / np.sqrt(np.maximum(f, 20.0))))


def crowd_noise(n: int, seed: int, *, talkers: int = 8) -> Audio:
    """Make a babble of voices: noise shaped by vowels that change at the rate of syllables.

    Parameters
    ----------
    n : int
        Samples.
    seed : int
    talkers : int
        Voices, each with a voice size, a loudness and a rhythm of its own.

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
            # Each vowel comes and goes by itself, about a third of the syllables long.
            knots = np.arange(0.0, n / SAMPLE_RATE + 2.0 / syllables_hz, 1.0 / syllables_hz)
            spoken = rng.random(len(knots)) ** 3
            total += loudness * voice * np.interp(times, knots, spoken) * _glottis(times, pitch_hz)
    return _unit(total)


def mains_hum(n: int, seed: int, *, mains_hz: float = 50.0) -> Audio:
    """Make the hum of the mains, with random harmonics and some hiss, of unit power, shape (n,)."""
    rng = np.random.Generator(np.random.PCG64(seed))
    times = np.arange(n) / SAMPLE_RATE
    hum = 0.05 * rng.standard_normal(n)
    for k in range(1, 21):
        strength = rng.uniform(0.2, 1.0) / k
        hum += strength * np.sin(2 * np.pi * (mains_hz * k * times + rng.random()))
    return _unit(hum)


def rir(t60_s: float, seed: int, *, direct_to_reverberant_db: float = 3.0) -> Audio:
    """Make a synthetic room response: direct sound, early reflections, decaying diffuse tail.

    The tail is Gaussian noise under an exponential that falls by 60 dB in ``t60_s`` (Polack's model
    of diffuse reverberation), starting after 5 ms; a dozen single reflections come early.

    Parameters
    ----------
    t60_s : float
        Reverberation time, in seconds.
    seed : int
    direct_to_reverberant_db : float
        Energy of the direct sound over that of everything after it, in dB.

    Returns
    -------
    ndarray of float32, shape (about t60_s * 16000,)
        Sample 0 is the direct sound, of height 1.

    Raises
    ------
    AudioError
        If ``t60_s`` is not above 0.
    """
    if not t60_s > 0.0:
        raise AudioError(f"room: a reverberation time of {t60_s} s is not above 0; give seconds")
    rng = np.random.Generator(np.random.PCG64(seed))
    n = max(int(t60_s * SAMPLE_RATE), SAMPLE_RATE // 100)
    times = np.arange(n) / SAMPLE_RATE
    decay = 10.0 ** (-3.0 * times / t60_s)
    response = rng.standard_normal(n) * decay
    first = SAMPLE_RATE // 200
    response[:first] = 0.0
    places = rng.integers(SAMPLE_RATE // 700, min(SAMPLE_RATE // 20, n), size=12)
    np.add.at(response, places, rng.choice([-1.0, 1.0], 12) * rng.uniform(1, 3, 12) * decay[places])
    response *= 10.0 ** (-direct_to_reverberant_db / 20.0) / np.sqrt(np.sum(response**2))
    response[0] = 1.0
    return response.astype(np.float32)


def align_direct_sound(response: Audio) -> Audio:
    """Cut what precedes a measured response's direct sound, its first sample near the peak.

    With the direct sound at 0 a reverberated signal is not delayed against the dry one.

    Parameters
    ----------
    response : ndarray of float32, shape (n,)
        Not silent.

    Returns
    -------
    ndarray of float32, shape (at most n,)
        A view.
    """
    loud = np.abs(response) >= 10.0 ** (DIRECT_SOUND_DB / 20.0) * np.abs(response).max()
    return response[int(np.argmax(loud)) :]


def reverberate(samples: Audio, response: Audio, *, past: Audio | None = None) -> Audio:
    """Play a recording in a room.

    Parameters
    ----------
    samples : ndarray of float32, shape (n,)
    response : ndarray of float32, shape (m,)
        Room response whose direct sound is sample 0, as `rir` makes it.
    past : ndarray of float32, shape (p,), optional
        What sounded before ``samples``: its reverberation is still in the room when they begin.

    Returns
    -------
    ndarray of float32, shape (n,)
    """
    known = samples if past is None else np.concatenate([past, samples])
    size = _fast_length(len(known) + len(response) - 1)
    spectrum = np.fft.rfft(known, size) * np.fft.rfft(response, size)
    whole = np.fft.irfft(spectrum, size)[: len(known)]
    return np.asarray(whole[len(known) - len(samples) :], dtype=np.float32)


def phone_band(samples: Audio) -> Audio:
    """Keep `PHONE_BAND_HZ`, with edges as steep as an eighth-order filter's, shape (n,) -> (n,)."""
    low, high = PHONE_BAND_HZ
    size = _fast_length(len(samples) + SAMPLE_RATE // 10)
    f = np.maximum(np.fft.rfftfreq(size, 1.0 / SAMPLE_RATE), 1e-3)
    gain = 1.0 / np.sqrt((1.0 + (low / f) ** 16) * (1.0 + (f / high) ** 16))
    filtered = np.fft.irfft(np.fft.rfft(samples, size) * gain, size)[: len(samples)]
    return np.asarray(filtered, dtype=np.float32)


def _power(samples: Audio) -> float:
    return float(np.mean(samples.astype(np.float64) ** 2)) if len(samples) else 0.0


def _coloured(
    n: int, rng: np.random.Generator, gain: Callable[[Frequencies], Frequencies]
) -> NDArray[np.float64]:
    """Make Gaussian noise with a given gain over frequency and a mean power near 1, shape (n,)."""
    size = _fast_length(n)
    shape = gain(np.fft.rfftfreq(size, 1.0 / SAMPLE_RATE).astype(np.float64))
    shape = shape / np.sqrt(np.mean(shape**2))
    noise: NDArray[np.float64] = np.fft.irfft(np.fft.rfft(rng.standard_normal(size)) * shape, size)
    return noise[:n]


def _vowel(formants_hz: Frequencies) -> Callable[[Frequencies], Frequencies]:
    """Give the gain of a vowel: resonances about 100 Hz wide over a falling voice spectrum."""

    def gain(f: Frequencies) -> Frequencies:
        distance = (f[:, np.newaxis] - formants_hz) / (60.0 + 0.05 * formants_hz)
        peaks = 1.0 / (1.0 + distance**2) / np.sqrt(formants_hz)
        return np.asarray(peaks.sum(axis=1) + 1e-4, dtype=np.float64)

    return gain


def _glottis(times: NDArray[np.float64], pitch_hz: float) -> NDArray[np.float64]:
    """Give the pulsing of a voice: a gain between 0 and 1 at a pitch that wavers, shape (n,)."""
    cycles = pitch_hz * times + 2.0 * np.sin(2 * np.pi * 0.7 * times)
    pulses: NDArray[np.float64] = (0.5 + 0.5 * np.sin(2 * np.pi * cycles)) ** 2
    return pulses


def _fast_length(n: int) -> int:
    """Give the next length at or above ``n`` of the form 2^a * {1, 1.25, 1.5}: a fast transform."""
    power = 1 << max(n - 1, 1).bit_length()
    return next(size for size in (power * 5 // 8, power * 3 // 4, power) if size >= n)


def _unit(samples: NDArray[np.float64]) -> Audio:
    """Scale to a mean power of 1."""
    return np.asarray(samples / np.sqrt(np.mean(samples**2)), dtype=np.float32)
