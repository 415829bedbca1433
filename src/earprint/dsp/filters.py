"""Band-pass filters and spectral tilt.

Samples are 16 kHz mono float32 arrays of shape (n,).
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from earprint.constants import SAMPLE_RATE
from earprint.dsp.fft import fast_length

Audio = NDArray[np.float32]

PHONE_BAND_HZ: Final = (300.0, 3400.0)
"""Pass band of a telephone call (ITU-T G.712)."""


def phone_band(samples: Audio) -> Audio:
    """Keep `PHONE_BAND_HZ`, with edges as steep as an eighth-order filter's, shape (n,) -> (n,)."""
    low, high = PHONE_BAND_HZ
    size = fast_length(len(samples) + SAMPLE_RATE // 10)
    f = np.maximum(np.fft.rfftfreq(size, 1.0 / SAMPLE_RATE), 1e-3)
    gain = 1.0 / np.sqrt((1.0 + (low / f) ** 16) * (1.0 + (f / high) ** 16))
    filtered = np.fft.irfft(np.fft.rfft(samples, size) * gain, size)[: len(samples)]
    return np.asarray(filtered, dtype=np.float32)


TILT_PIVOT_HZ: Final = 1_000.0
"""Frequency at which a spectral tilt changes nothing."""

TILT_FLAT_BELOW_HZ: Final = 60.0
"""A spectral tilt is constant below this frequency."""


def band_pass_gains(f: Audio, low_hz: float, high_hz: float, order: int) -> Audio:
    """Gains of a high- and a low-pass of the Butterworth shape at frequencies ``f`` in Hz, zero phase.

    The power is half at the corners; the slope is 6 dB per octave and order.
    """
    above = (f / np.float32(low_hz)) ** (2 * order)
    beyond = (f / np.float32(high_hz)) ** (2 * order)
    return np.asarray(np.sqrt(above / ((1 + above) * (1 + beyond))), np.float32)


def tilt_gains(f: Audio, db_per_octave: float) -> Audio:
    """Gains of a spectral tilt about `TILT_PIVOT_HZ` at frequencies ``f`` in Hz; positive is brighter."""
    octaves = np.log2(np.maximum(f, TILT_FLAT_BELOW_HZ) / TILT_PIVOT_HZ)
    return np.asarray(10 ** (np.float32(db_per_octave / 20) * octaves), np.float32)
