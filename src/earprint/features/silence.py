"""Which windows of a recording hold nothing to remember.

The paper leaves out segments whose energy, after the track's peak is brought to full scale, falls below a
threshold (section 2.1). They are flagged here and never removed, so that no other window changes its time.
"""

import numpy as np
from numpy.typing import NDArray

from earprint.constants import SILENCE_MEAN_SQUARE


def silent_windows(
    energies: NDArray[np.float32], peak: float, n_windows: int, step: int, width: int, first: int = 0
) -> NDArray[np.bool_]:
    """Flag windows whose mean square lies 60 dB or more below the track's squared peak.

    Parameters
    ----------
    energies : ndarray of float32, shape (frames,)
        Mean square of each frame.
    peak : float
        Largest magnitude of the whole recording.
    n_windows : int
        Windows to judge; window ``i`` covers frames ``first + [i * step, i * step + width)``, as far as they
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
