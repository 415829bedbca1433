"""Mix noise into a signal at a signal-to-noise ratio (SNR)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from earprint.errors import AudioError

Audio = NDArray[np.float32]


def snr_gain(signal_power: Any, noise_power: Any, snr_db: Any) -> Any:
    """Gain of a noise that gives a signal-to-noise ratio.

    From ``SNR = 10 log10(signal_power / (gain^2 noise_power))``.

    Parameters
    ----------
    signal_power, noise_power : float, ndarray or Tensor
        Mean squares; that of the noise above 0.
    snr_db : float, ndarray or Tensor
        Ratio of the mean powers, in dB.

    Returns
    -------
    float, ndarray or Tensor
        The arguments broadcast.

    Examples
    --------
    >>> snr_gain(4.0, 1.0, 0.0)
    2.0
    """
    return (signal_power / noise_power) ** 0.5 * 10.0 ** (-snr_db / 20.0)


def mean_power(samples: Audio) -> float:
    """Mean square of samples, summed in double precision; 0 of none."""
    return float(np.mean(samples.astype(np.float64) ** 2)) if len(samples) else 0.0


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
        If the noise is too short, or if the samples or the noise are silent: no ratio exists then.
    """
    if len(noise) < len(samples):
        raise AudioError(f"noise: {len(noise)} samples cannot cover {len(samples)}; make the noise longer")
    noise = noise[: len(samples)]
    power, noise_power = mean_power(samples), mean_power(noise)
    if power == 0.0 or noise_power == 0.0:
        which = "excerpt" if power == 0.0 else "noise"
        raise AudioError(f"{which}: is silent, so no signal-to-noise ratio exists; choose another")
    gain = np.float64(snr_gain(power, noise_power, snr_db))
    return np.asarray(samples + gain * noise, dtype=np.float32)
