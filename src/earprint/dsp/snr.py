"""Mix noise into a signal at a signal-to-noise ratio (SNR).

Samples are 16 kHz mono float32 arrays of shape (n,).
"""

import numpy as np
from numpy.typing import NDArray

from earprint.errors import AudioError

Audio = NDArray[np.float32]


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


def _power(samples: Audio) -> float:
    return float(np.mean(samples.astype(np.float64) ** 2)) if len(samples) else 0.0
