"""Lengths and frequencies of fast Fourier transforms (FFTs)."""

import numpy as np
from numpy.typing import NDArray

from earprint.constants import SAMPLE_RATE


def fft_length(n: int) -> int:
    """Smallest even number 2^a 3^b 5^c that is at least ``n``: FFTs of such lengths are fast.

    Examples
    --------
    >>> fft_length(1001)
    1024
    >>> fft_length(1030)
    1080
    """
    best = 1 << (n - 1).bit_length()
    five = 1
    while five < best:
        three = five
        while three < best:
            length = three * 2
            while length < n:
                length *= 2
            best = min(best, length)
            three *= 3
        five *= 5
    return best


def fft_frequencies(length: int) -> NDArray[np.float64]:
    """Frequency of each bin of a real FFT, in Hz, shape (length // 2 + 1,)."""
    return np.fft.rfftfreq(length, 1.0 / SAMPLE_RATE).astype(np.float64)
