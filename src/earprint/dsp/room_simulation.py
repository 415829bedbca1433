"""Simulated room impulse responses, for reverberation times (RT60) that few measured rooms have.

Shoebox rooms by the image-source method (J. B. Allen and D. A. Berkley, "Image method for efficiently
simulating small-room acoustics", JASA 65, 1979), as pyroomacoustics implements it. Sabine's formula gives the
absorption of the walls for the RT60 drawn. Above `HALL_FROM_S` the room is a hall: it is larger, and ray
tracing follows the late reflections, because image sources would be too many. Sabine's formula is inexact for
flat or very dry rooms. So the RT60 of every response is measured, and responses that miss it are drawn again.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from earprint.constants import SAMPLE_RATE
from earprint.dsp.reverberation import align_direct_sound
from earprint.dsp.rt60 import T20_TO_DB, estimate_rt60
from earprint.errors import TrainingError

RT60_RANGE_S: Final = (0.15, 3.0)
"""Default range of RT60, in seconds, drawn log-uniformly."""

RT60_LIMITS_S: Final = (0.1, 3.0)
"""Range that may be asked for, in seconds."""

RT60_TOLERANCE: Final = 0.25
"""Largest relative difference of the measured RT60 from the one drawn."""

LONGEST_S: Final = 1.0
"""Responses are cut off here, in seconds: no more audio before a training clip is known."""

MAX_ORDER: Final = 60
"""Reflection order of the image sources; their number grows with its cube."""

ROOM_SIZES_M: Final = ((2.5, 2.5, 2.3), (12.0, 10.0, 4.5))
"""Smallest and largest room: length, width, height, in metres."""

HALL_FROM_S: Final = 1.0
"""RT60 above which a hall is simulated, in seconds."""

HALL_SIZES_M: Final = ((8.0, 8.0, 3.5), (40.0, 30.0, 15.0))
"""Smallest and largest hall: length, width, height, in metres."""

HALL_ORDER: Final = 10
"""Reflection order of the image sources in a hall; ray tracing follows the later reflections."""

RECEIVER_RADIUS_M: Final = 0.5
"""Radius of the microphone for ray tracing, in metres."""

CLEARANCE_M: Final = 0.3
"""Least distance of source and microphone from each other and from the walls, in metres."""


def simulate_rooms(
    count: int, seed: int, rt60_range_s: tuple[float, float] = RT60_RANGE_S
) -> Iterator[NDArray[np.float32]]:
    """Draw rooms with positions of source and microphone, and simulate their impulse responses.

    Parameters
    ----------
    count : int
    seed : int
    rt60_range_s : tuple of float
        Shortest and longest RT60, within `RT60_LIMITS_S`.

    Returns
    -------
    iterator of ndarray of float32, shape (at most 16000,)
        Direct sound at sample 0, peak 1.

    Raises
    ------
    TrainingError
        At once, if pyroomacoustics is not installed or the range is invalid.
    """
    low, high = rt60_range_s
    if not RT60_LIMITS_S[0] <= low <= high <= RT60_LIMITS_S[1]:
        raise TrainingError(
            f"RT60 from {low:g} to {high:g} s: not a range of seconds within {RT60_LIMITS_S[0]:g} and "
            f"{RT60_LIMITS_S[1]:g}; give the shortest and the longest, such as 0.2 0.8"
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
        rt60_s = float(np.exp(rng.uniform(np.log(low), np.log(high))))
        response = _draw(rt60_s, rng)
        if response is not None:
            made += 1
            yield response


def _draw(rt60_s: float, rng: np.random.Generator) -> NDArray[np.float32] | None:
    """Response of a random room with about this RT60; None if the room drawn cannot have it or does not."""
    import pyroomacoustics

    hall = rt60_s > HALL_FROM_S
    size = rng.uniform(*(HALL_SIZES_M if hall else ROOM_SIZES_M))
    source, microphone = (rng.uniform(CLEARANCE_M, size - CLEARANCE_M) for _ in range(2))
    if np.linalg.norm(source - microphone) < CLEARANCE_M:
        return None
    try:
        absorption, order = pyroomacoustics.inverse_sabine(rt60_s, size)
    except ValueError:  # a room of this size cannot be that dry
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
        room.set_ray_tracing(receiver_radius=RECEIVER_RADIUS_M)
    room.add_source(source)
    room.add_microphone(microphone)
    room.compute_rir()
    response = align_direct_sound(np.asarray(room.rir[0][0], dtype=np.float32))
    measured_s = estimate_rt60(response, (T20_TO_DB,))
    if measured_s is None or abs(measured_s / rt60_s - 1) > RT60_TOLERANCE:
        return None
    response = response[: round(LONGEST_S * SAMPLE_RATE)]
    return np.asarray(response / np.abs(response).max(), dtype=np.float32)
