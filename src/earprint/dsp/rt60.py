"""Reverberation time RT60: the time in which the sound of a room falls by 60 dB, from its impulse response.

ISO 3382-1: the energy of the response is integrated backwards from its end (M. R. Schroeder, "New method of
measuring reverberation time", JASA 37, 1965). In decibels this curve falls along a straight line, and RT60 is
read off the slope of a part of it: -5 to -35 dB for T30, -5 to -25 dB for T20. The noise floor must lie 10 dB
below that part. Integration stops where the response reaches its noise floor; the energy of the floor is
subtracted (W. T. Chu, "Comparison of reverberation measurements using Schroeder's impulse method and
decay-curve averaging method", JASA 63, 1978), and the energy after that point is extrapolated from the decay.

Responses are 16 kHz mono with the direct sound at sample 0.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from earprint.constants import SAMPLE_RATE

FIT_FROM_DB: Final = -5.0
"""Level at which the fitted part begins, relative to the start of the decay."""

T20_TO_DB: Final = -25.0
"""Level at which the fitted part of T20 ends."""

T30_TO_DB: Final = -35.0
"""Level at which the fitted part of T30 ends."""

HEADROOM_DB: Final = 10.0
"""Distance from the fitted part down to the noise floor, at least."""

SMOOTHING_S: Final = 0.01
"""Length of the blocks whose mean energy shows where the noise floor begins, in seconds."""

FLOOR_SHARE: Final = 0.1
"""Share of the response, at its end, from which the noise floor is measured."""

FLAT_DB: Final = 1.5
"""If the last tenth of a response is less than this below the tenth before, it consists of noise floor."""

SHORTEST_S: Final = 0.05
"""Shorter responses give no estimate, in seconds."""

RT60_EDGES_S: Final = (0.1, 0.3, 0.45, 0.6, 0.75, 1.0)
"""Edges of the ranges in which rooms are reported, in seconds; they separate the paper's 0.2 to 0.8 s."""


def estimate_rt60(
    response: NDArray[np.float32], to_db: Sequence[float] = (T30_TO_DB, T20_TO_DB)
) -> float | None:
    """Estimate the reverberation time of an impulse response.

    Parameters
    ----------
    response : ndarray of float32, shape (n,)
    to_db : sequence of float
        Levels at which the fitted part may end; the first that the noise floor permits is used.

    Returns
    -------
    float or None
        RT60 in seconds; None if the response is too short, silent, or too noisy.
    """
    energy = response.astype(np.float64) ** 2
    size = round(SMOOTHING_S * SAMPLE_RATE)
    blocks = energy[: len(energy) // size * size].reshape(-1, size).mean(axis=1)
    if len(blocks) * SMOOTHING_S < SHORTEST_S or not blocks.max() > 0:
        return None
    # Trailing zeros, as of a padded file, are no noise floor.
    blocks = blocks[: int(np.flatnonzero(blocks > 1e-14 * blocks.max())[-1]) + 1]
    last = max(1, round(FLOOR_SHARE * len(blocks)))
    floor = blocks[-last:].mean()
    before = blocks[-2 * last : -last].mean() if len(blocks) >= 2 * last else np.inf
    if floor > before * 10 ** (-FLAT_DB / 10):  # a noise floor, and not the cut-off end of the decay
        energy = energy - floor
    peak = int(np.argmax(blocks))
    below = np.flatnonzero(blocks[peak:] < floor * 10 ** (HEADROOM_DB / 20))
    knee = size * (peak + int(below[0]) if len(below) else len(blocks))
    level_at_knee = blocks[max(0, knee // size - 2) : max(1, knee // size)].mean()
    rt60 = None
    for _ in range(4):  # the slope gives the missing energy, which changes the slope
        missing = 0.0 if rt60 is None else level_at_knee * rt60 * SAMPLE_RATE / np.log(1e6)
        rt60 = _fit(energy[:knee], missing, to_db)
        if rt60 is None:
            return None
    return rt60


def _fit(energy: NDArray[np.float64], missing: float, to_db: Sequence[float]) -> float | None:
    """RT60 by a line through the integrated decay of energies, shape (n,), followed by a ``missing`` sum."""
    decay = np.cumsum(energy[::-1])[::-1] + missing
    decay_db = 10 * np.log10(np.maximum(decay / decay[0], 1e-30)) if len(decay) else decay
    for end_db in to_db:
        # Near the cut the curve depends on the extrapolated energy, so keep away from it.
        if not len(decay_db) or decay_db[-1] > end_db - (0 if missing else HEADROOM_DB):
            continue
        first, last = int(np.argmax(decay_db <= FIT_FROM_DB)), int(np.argmax(decay_db <= end_db))
        if last - first < SMOOTHING_S * SAMPLE_RATE:
            continue
        times = np.arange(first, last) / SAMPLE_RATE
        slope = float(np.polyfit(times, decay_db[first:last], 1)[0])
        return -60.0 / slope
    return None


def rt60_range(rt60_s: float | None) -> str:
    """Name the range of `RT60_EDGES_S` that a reverberation time falls in.

    Examples
    --------
    >>> rt60_range(0.4)
    'RT60 0.3-0.45 s'
    >>> rt60_range(None)
    'RT60 unknown'
    """
    if rt60_s is None:
        return "RT60 unknown"
    above = [edge for edge in RT60_EDGES_S if rt60_s >= edge]
    below = [edge for edge in RT60_EDGES_S if rt60_s < edge]
    if not below:
        return f"RT60 {above[-1]:g} s and more"
    return f"RT60 {above[-1]:g}-{below[0]:g} s" if above else f"RT60 below {below[0]:g} s"
