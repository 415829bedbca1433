"""Find the silent windows of a recording.

The paper discards segments whose energy, relative to the recording's peak, is below a threshold (section
2.1). Here they are flagged and not removed, so that the other windows keep their times.
"""

import numpy as np
from numpy.typing import NDArray

from earprint.constants import SILENCE_MEAN_SQUARE


def silent_windows(
    energies: NDArray[np.float32], peak: float, n_windows: int, step: int, width: int, first: int = 0
) -> NDArray[np.bool_]:
    """Flag windows whose mean square is 60 dB or more below the recording's squared peak.

    Parameters
    ----------
    energies : ndarray of float32, shape (frames,)
        Mean square of each frame.
    peak : float
        Largest magnitude of the whole recording.
    n_windows : int
        Number of windows. Window ``i`` covers frames ``first + [i * step, i * step + width)``, as far as they
        exist.
    step, width, first : int
        In frames.

    Returns
    -------
    ndarray of bool, shape (n_windows,)
    """
    total = np.concatenate(([0.0], np.cumsum(energies, dtype=np.float64)))
    start = first + np.arange(n_windows) * step
    stop = np.clip(start + width, 0, len(energies))
    start = np.clip(start, 0, len(energies))
    mean = (total[stop] - total[start]) / np.maximum(stop - start, 1)
    silent: NDArray[np.bool_] = mean <= SILENCE_MEAN_SQUARE * peak**2
    return silent
