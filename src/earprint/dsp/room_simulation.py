"""Simulated room responses, for the reverberation times in which measured rooms are few.

Shoebox rooms by the image-source method (Allen and Berkley 1979) as pyroomacoustics implements it, with a
wall absorption from Sabine's formula for the reverberation time wanted. What rings longer than a room does
is a hall: larger, and after the first reflections by ray tracing, since images would be too many. The
formula is an estimate: a flat or very dry room rings otherwise than it says, so that every response is
measured and those that miss are drawn again.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from earprint.constants import SAMPLE_RATE
from earprint.dsp.reverberation import align_direct_sound
from earprint.errors import TrainingError

T60_RANGE_S = (0.15, 3.0)
"""Reverberation times drawn, log-uniformly, in seconds."""

T60_LIMITS_S = (0.1, 3.0)
"""Reverberation times that can be asked for, in seconds."""

T60_TOLERANCE = 0.25
"""Largest share by which a room's measured reverberation time may differ from the one drawn for it."""

LONGEST_S = 1.0
"""Responses are cut here, in seconds, as far as the past of a clip reaches into it."""

MAX_ORDER = 60
"""Reflections followed, enough for a second in all but the smallest rooms; more cost time by their cube."""

ROOM_SIZES_M = ((2.5, 2.5, 2.3), (12.0, 10.0, 4.5))
"""Smallest and largest room: length, width, height."""

HALL_FROM_S = 1.0
"""Reverberation time from which it is a hall."""

HALL_SIZES_M = ((8.0, 8.0, 3.5), (40.0, 30.0, 15.0))
"""Smallest and largest hall: length, width, height."""

HALL_ORDER = 10
"""Reflections followed in a hall before rays take over."""

EAR_M = 0.5
"""Radius within which a ray is heard."""

NEAREST_M = 0.3
"""Distance of source and microphone from each other and from the walls, at least."""


def simulate_rooms(
    count: int, seed: int, t60_range_s: tuple[float, float] = T60_RANGE_S
) -> Iterator[NDArray[np.float32]]:
    """Draw rooms, places of source and microphone, and give their responses, direct sound at 0, peak 1.

    Parameters
    ----------
    count : int
    seed : int
    t60_range_s : tuple of float
        Shortest and longest reverberation time, within `T60_LIMITS_S`.

    Returns
    -------
    iterator of ndarray of float32, shape (at most 16000,)

    Raises
    ------
    TrainingError
        At once, if pyroomacoustics is not installed or the range is none.
    """
    low, high = t60_range_s
    if not T60_LIMITS_S[0] <= low <= high <= T60_LIMITS_S[1]:
        raise TrainingError(
            f"--t60 {low:g} {high:g}: not a range of seconds within {T60_LIMITS_S[0]:g} and "
            f"{T60_LIMITS_S[1]:g}; write it like --t60 0.2 0.8"
        )
    try:
        import pyroomacoustics  # noqa: F401
    except ImportError as error:
        raise TrainingError(
            "simulated rooms need pyroomacoustics; `pip install 'earprint[train]'` or --simulate 0"
        ) from error
    return _responses(count, np.random.default_rng(seed), low, high)


def _responses(
    count: int, rng: np.random.Generator, low: float, high: float
) -> Iterator[NDArray[np.float32]]:
    made = 0
    while made < count:
        t60_s = float(np.exp(rng.uniform(np.log(low), np.log(high))))
        response = _draw(t60_s, rng)
        if response is not None:
            made += 1
            yield response


def _draw(t60_s: float, rng: np.random.Generator) -> NDArray[np.float32] | None:
    """Response of a random room that should ring for ``t60_s``; None if this room cannot or does not."""
    import pyroomacoustics

    hall = t60_s > HALL_FROM_S
    size = rng.uniform(*(HALL_SIZES_M if hall else ROOM_SIZES_M))
    source, microphone = (rng.uniform(NEAREST_M, size - NEAREST_M) for _ in range(2))
    if np.linalg.norm(source - microphone) < NEAREST_M:
        return None
    try:
        absorption, order = pyroomacoustics.inverse_sabine(t60_s, size)
    except ValueError:  # this room cannot be that dry
        return None
    room = pyroomacoustics.ShoeBox(
        size,
        fs=SAMPLE_RATE,
        materials=pyroomacoustics.Material(absorption),
        max_order=min(order, HALL_ORDER if hall else MAX_ORDER),
        ray_tracing=hall,
        air_absorption=hall,
    )
    if hall:
        pyroomacoustics.random.seed(int(rng.integers(2**31)))  # of the rays
        room.set_ray_tracing(receiver_radius=EAR_M)
    room.add_source(source)
    room.add_microphone(microphone)
    room.compute_rir()
    response = align_direct_sound(np.asarray(room.rir[0][0], dtype=np.float32))
    if abs(decay_time_s(response) / t60_s - 1) > T60_TOLERANCE:
        return None
    response = response[: round(LONGEST_S * SAMPLE_RATE)]
    return np.asarray(response / np.abs(response).max(), dtype=np.float32)


def decay_time_s(response: NDArray[np.float32]) -> float:
    """Reverberation time of a response without noise, shape (n,), in seconds.

    The slope between -5 and -25 dB of the energy still to come (T20 of ISO 3382-1).
    """
    energy = response.astype(np.float64) ** 2
    to_come = np.cumsum(energy[::-1])[::-1]
    level_db = 10 * np.log10(to_come[to_come > 0] / to_come[0])
    used = np.flatnonzero((level_db < -5) & (level_db > -25))
    slope = np.polyfit(used / SAMPLE_RATE, level_db[used], 1)[0]
    return float(-60 / slope)
