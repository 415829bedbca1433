"""Simulated room responses, for the reverberation times in which measured rooms are few.

Shoebox rooms by the image-source method (Allen and Berkley 1979) as pyroomacoustics implements it, with a
wall absorption from Sabine's formula for the reverberation time wanted.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from earprint.constants import SAMPLE_RATE
from earprint.demo.degrade import align_direct_sound
from earprint.errors import TrainingError

T60_RANGE_S = (0.15, 1.0)
"""Reverberation times drawn, log-uniformly, in seconds."""

LONGEST_S = 1.0
"""Responses are cut here, in seconds."""

MAX_ORDER = 30
"""Reflections followed; higher orders are dense, weak and slow to compute."""


def simulate_rooms(count: int, seed: int) -> Iterator[NDArray[np.float32]]:
    """Draw rooms, places of source and microphone, and yield their responses, direct sound at 0, peak 1.

    Parameters
    ----------
    count : int
    seed : int

    Yields
    ------
    ndarray of float32, shape (at most 16000,)

    Raises
    ------
    TrainingError
        If pyroomacoustics is not installed.
    """
    try:
        import pyroomacoustics
    except ImportError as error:
        raise TrainingError(
            "simulated rooms need pyroomacoustics; `pip install 'earprint[train]'`"
        ) from error
    rng = np.random.default_rng(seed)
    made = 0
    while made < count:
        size = rng.uniform((2.5, 2.5, 2.3), (12.0, 10.0, 4.5))
        t60_s = float(np.exp(rng.uniform(*np.log(T60_RANGE_S))))
        try:
            absorption, order = pyroomacoustics.inverse_sabine(t60_s, size)
        except ValueError:  # this room cannot be that dry
            continue
        room = pyroomacoustics.ShoeBox(
            size,
            fs=SAMPLE_RATE,
            materials=pyroomacoustics.Material(absorption),
            max_order=min(order, MAX_ORDER),
        )
        source, microphone = rng.uniform(0.3, size - 0.3), rng.uniform(0.3, size - 0.3)
        if np.linalg.norm(source - microphone) < 0.3:
            continue
        room.add_source(source)
        room.add_microphone(microphone)
        room.compute_rir()
        response = align_direct_sound(np.asarray(room.rir[0][0], dtype=np.float32))
        response = response[: int(LONGEST_S * SAMPLE_RATE)]
        made += 1
        yield response / np.abs(response).max()
