"""Band-pass filters.

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
