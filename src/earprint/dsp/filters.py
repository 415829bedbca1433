"""Gains of zero-phase filters over frequency, and the telephone band.

`band_pass_gains` and `tilt_gains` use arithmetic alone, so they take NumPy arrays and torch tensors alike:
distortions of training and of the evaluation can share one formula.
"""

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from earprint.dsp.fft import fft_frequencies, fft_length

Audio = NDArray[np.float32]

PHONE_BAND_HZ: Final = (300.0, 3400.0)
"""Pass band of a telephone call (ITU-T G.712), in Hz."""

PHONE_ORDER: Final = 8
"""Order of the Butterworth edges of `phone_band`."""

PHONE_TAIL: Final = 1_600
"""Zeros after the signal, in samples (0.1 s): the filter's response would wrap around without them."""

TILT_PIVOT_HZ: Final = 1_000.0
"""Frequency that a tilt leaves unchanged, in Hz."""

TILT_FLAT_BELOW_HZ: Final = 60.0
"""A tilt is constant below this frequency, in Hz."""


def band_pass_gains(hz: Any, low_hz: Any, high_hz: Any, order: Any) -> Any:
    """Gains of a Butterworth high-pass and low-pass in series, with half power at the corners.

    Magnitude of the Butterworth response, ``1 / sqrt(1 + (f / fc)^(2 n))`` (S. Butterworth, "On the theory of
    filter amplifiers", 1930), and of its mirror image for the high-pass. Zero phase.

    Parameters
    ----------
    hz : ndarray or Tensor
        Frequencies; above 0 if there is no high-pass.
    low_hz, high_hz : float, ndarray or Tensor
        Corner of the high-pass (0 for none) and of the low-pass.
    order : int, ndarray or Tensor
        Slope of each edge: 6 dB per octave and order.

    Returns
    -------
    ndarray or Tensor
        All arguments broadcast.
    """
    with np.errstate(over="ignore", divide="ignore"):  # far outside the band the gain is 0
        high_pass = 1.0 + (low_hz / hz) ** (2 * order)
        low_pass = 1.0 + (hz / high_hz) ** (2 * order)
        return 1.0 / (high_pass * low_pass) ** 0.5


def tilt_gains(hz: Any, db_per_octave: Any) -> Any:
    """Gains of a spectral tilt about `TILT_PIVOT_HZ`, constant below `TILT_FLAT_BELOW_HZ`. Zero phase.

    ``10^(d log2(f / f0) / 20) = (f / f0)^(d log2(10) / 20)`` for a tilt of d dB per octave about f0.

    Parameters
    ----------
    hz : ndarray or Tensor
        Frequencies.
    db_per_octave : float, ndarray or Tensor
        Positive for a brighter sound.

    Returns
    -------
    ndarray or Tensor
        The arguments broadcast.
    """
    return (hz.clip(TILT_FLAT_BELOW_HZ) / TILT_PIVOT_HZ) ** (db_per_octave * math.log2(10.0) / 20.0)


def phone_band(samples: Audio) -> Audio:
    """Keep `PHONE_BAND_HZ`, shape (n,) -> (n,)."""
    length = fft_length(len(samples) + PHONE_TAIL)
    hz = np.maximum(fft_frequencies(length), 1e-3)
    gain = band_pass_gains(hz, *PHONE_BAND_HZ, PHONE_ORDER)
    filtered = np.fft.irfft(np.fft.rfft(samples, length) * gain, length)[: len(samples)]
    return np.asarray(filtered, dtype=np.float32)
