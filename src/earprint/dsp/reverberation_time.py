"""Reverberation time of a room, from its impulse response.

ISO 3382-1: the energy of the response, integrated backwards from its end (Schroeder, "New method of measuring
reverberation time", JASA 37, 1965), falls along a straight line in decibels; the time for 60 dB is read off a
part of that line. T30 takes -5 to -35 dB, T20 takes -5 to -25 dB; the noise floor must lie 10 dB below that
part, otherwise nothing is said. Integration ends where the response sinks into its noise floor; the floor's
energy is taken out (Chu, "Comparison of reverberation measurements", JASA 63, 1978), and what is missing
after that point is added as the energy of the same exponential decay.

Responses are 16 kHz mono with the direct sound at sample 0; times are in seconds, levels in dB.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from earprint.constants import SAMPLE_RATE

FIT_FROM_DB: Final = -5.0
"""Level below the start of the decay at which the fit begins."""

FIT_TO_DB: Final = (-35.0, -25.0)
"""Levels at which it ends: of T30, and of T20, which is taken where T30 is not to be had."""

HEADROOM_DB: Final = 10.0
"""Distance that the noise floor keeps from the part that is fitted."""

SMOOTHING_S: Final = 0.01
"""Length of the pieces whose mean energy shows where the noise floor begins."""

FLOOR_SHARE: Final = 0.1
"""Share of the response, at its end, that shows the noise floor."""

FLAT_DB: Final = 1.5
"""A response whose last tenth is this little below the tenth before it ends in its noise floor."""

SHORTEST_S: Final = 0.05
"""Responses below this tell nothing about a room."""

T60_EDGES_S: Final = (0.1, 0.3, 0.45, 0.6, 0.75, 1.0)
"""Bounds of the groups in which rooms are reported; around the paper's 0.2, 0.4, 0.5, 0.7 and 0.8 s."""


def estimate_t60(response: NDArray[np.float32]) -> float | None:
    """Estimate the reverberation time of an impulse response.

    Parameters
    ----------
    response : ndarray of float32, shape (n,)

    Returns
    -------
    float or None
        None if the response is too short or too noisy for 20 dB of its decay to be seen.
    """
    energy = response.astype(np.float64) ** 2
    piece = round(SMOOTHING_S * SAMPLE_RATE)
    pieces = energy[: len(energy) // piece * piece].reshape(-1, piece).mean(axis=1)
    if len(pieces) * SMOOTHING_S < SHORTEST_S or not pieces.max() > 0:
        return None
    # Trailing zeros, as of a padded file, are no noise floor.
    pieces = pieces[: int(np.flatnonzero(pieces > 1e-14 * pieces.max())[-1]) + 1]
    last = max(1, round(FLOOR_SHARE * len(pieces)))
    floor = pieces[-last:].mean()
    before = pieces[-2 * last : -last].mean() if len(pieces) >= 2 * last else np.inf
    if floor > before * 10 ** (-FLAT_DB / 10):  # a floor indeed, and not the cut-off end of the decay
        energy = energy - floor
    peak = int(np.argmax(pieces))
    above = np.flatnonzero(pieces[peak:] < floor * 10 ** (HEADROOM_DB / 20))
    knee = piece * (peak + int(above[0]) if len(above) else len(pieces))
    level_at_knee = pieces[max(0, knee // piece - 2) : max(1, knee // piece)].mean()
    t60 = None
    for _ in range(4):  # the decay tells the missing energy, which tells the decay
        missing = 0.0 if t60 is None else level_at_knee * t60 * SAMPLE_RATE / np.log(1e6)
        t60 = _fit(energy[:knee], missing)
        if t60 is None:
            return None
    return t60


def _fit(energy: NDArray[np.float64], missing: float) -> float | None:
    """Fit a line to the integrated decay of energies, shape (n,), and a sum of energies after them."""
    decay = np.cumsum(energy[::-1])[::-1] + missing
    decay_db = 10 * np.log10(np.maximum(decay / decay[0], 1e-30)) if len(decay) else decay
    for to_db in FIT_TO_DB:
        # Where the integration was cut off, the last part of the curve hangs on the guess of what is missing.
        if not len(decay_db) or decay_db[-1] > to_db - (0 if missing else HEADROOM_DB):
            continue
        first, last = int(np.argmax(decay_db <= FIT_FROM_DB)), int(np.argmax(decay_db <= to_db))
        if last - first < SMOOTHING_S * SAMPLE_RATE:
            continue
        times = np.arange(first, last) / SAMPLE_RATE
        slope = float(np.polyfit(times, decay_db[first:last], 1)[0])
        return -60.0 / slope
    return None


def t60_group(t60_s: float | None) -> str:
    """Name the group of a reverberation time, such as ``T60 0.3-0.45 s``."""
    if t60_s is None:
        return "T60 unknown"
    above = [edge for edge in T60_EDGES_S if t60_s >= edge]
    below = [edge for edge in T60_EDGES_S if t60_s < edge]
    if not below:
        return f"T60 {above[-1]:g} s and more"
    return f"T60 {above[-1]:g}-{below[0]:g} s" if above else f"T60 below {below[0]:g} s"
