"""Questions: excerpts at random places of recordings, put under named conditions.

The same excerpts, noises, rooms and devices are used under every condition, so that conditions can be
compared pair by pair; the seed alone decides them. `earprint.evaluation.rendering` makes audio of them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from earprint.evaluation.condition_names import Kind
from earprint.evaluation.query import Query
from earprint.evaluation.rendering import render

__all__ = [
    "Condition", "Kind", "Query", "conditions", "draw_excerpts", "long_enough", "render", "under",
]  # fmt: skip

PHONE_SNR_DB = 10.0
"""Noise of the phone condition, in dB."""

MARGIN_S = 0.05
"""Left free at the end of a recording, in seconds."""

NOISE_START_S = 600.0
"""Noises begin up to here in their files, in seconds; shorter ones loop."""

DEVICE_STREAM = 1
"""Tells the random numbers of devices from those of places, so that devices do not move them."""


@dataclass(frozen=True)
class Condition:
    """A way to distort.

    Attributes
    ----------
    name : str
    snr_db : float or None
        None for no noise.
    room, phone : bool
    speed : float
        Playing speed, 1 for unchanged.
    codec : str or None
        Codec of the phone.
    """

    name: str
    snr_db: float | None = None
    room: bool = False
    phone: bool = False
    speed: float = 1.0
    codec: str | None = None


def conditions(
    snrs_db: Sequence[float],
    noise: bool,
    rooms: bool,
    *,
    speeds_percent: Sequence[float] = (),
    wanted: Iterable[Kind] | None = None,
    codec: str | None = None,
) -> list[Condition]:
    """List the conditions that are wanted and that the material at hand allows.

    Parameters
    ----------
    snrs_db : sequence of float
    noise, rooms : bool
        Whether there are any.
    speeds_percent : sequence of float
        Changes of speed; 3 plays 3 % faster.
    wanted : iterable of Kind, optional
        All by default.
    codec : str, optional
        Of the phone.
    """
    asked = set(Kind if wanted is None else wanted)
    out = []
    if Kind.clean in asked:
        out.append(Condition("clean"))
    if noise and Kind.noise in asked:
        out += [Condition(f"noise {snr:g} dB", snr) for snr in snrs_db]
    if rooms and Kind.room in asked:
        out.append(Condition("room", room=True))
    if noise and rooms and Kind.room_noise in asked:
        out += [Condition(f"room + noise {snr:g} dB", snr, room=True) for snr in snrs_db]
    if noise and rooms and Kind.phone in asked:
        out.append(Condition("phone", PHONE_SNR_DB, room=True, phone=True, codec=codec))
    if Kind.speed in asked:
        out += [Condition(f"speed {percent:+g} %", speed=1 + percent / 100) for percent in speeds_percent]
    return out


def kind_of(condition: str) -> Kind:
    """Family of a condition, from its name, which may have more after a comma."""
    if condition.startswith("room + noise"):
        return Kind.room_noise
    return Kind(condition.partition(",")[0].partition(" ")[0])


def draw_excerpts(
    files: Sequence[tuple[Path, float]],
    count: int,
    length_s: float,
    seed: int,
    *,
    noises: Sequence[Path] = (),
    rooms: Sequence[Path] = (),
    devices: Sequence[Path] = (),
    present: bool = True,
) -> list[Query]:
    """Draw places, noises, rooms and devices; every file is used once before any is used again.

    Parameters
    ----------
    files : sequence of (Path, float)
        Recordings and their lengths in seconds; those shorter than the excerpt are left out.
    count : int
    length_s : float
    seed : int
    noises, rooms, devices : sequence of Path
    present : bool

    Returns
    -------
    list of Query
        Clean ones; `under` makes the other conditions of them.
    """
    rng = np.random.default_rng(seed)
    device_rng = np.random.default_rng([seed, DEVICE_STREAM])
    usable = [(path, duration) for path, duration in files if long_enough(duration, length_s)]
    order: list[int] = []
    out = []
    for _ in range(count if usable else 0):
        order = order or rng.permutation(len(usable)).tolist()
        path, duration = usable[order.pop()]
        out.append(
            Query(
                path,
                start_s=float(rng.uniform(0, duration - length_s - MARGIN_S)),
                length_s=length_s,
                condition="clean",
                snr_db=None,
                noise=noises[int(rng.integers(len(noises)))] if noises else None,
                noise_start_s=float(rng.uniform(0, NOISE_START_S)),
                room=rooms[int(rng.integers(len(rooms)))] if rooms else None,
                phone=False,
                present=present,
                device=devices[int(device_rng.integers(len(devices)))] if devices else None,
            )
        )
    return out


def long_enough(duration_s: float, length_s: float) -> bool:
    """Tell whether a recording has room for excerpts of some length, in seconds."""
    return duration_s > length_s + 2 * MARGIN_S


def under(
    query: Query,
    condition: Condition,
    *,
    t60s_s: Mapping[Path, float | None] | None = None,
    duration_s: float | None = None,
) -> Query:
    """Put a drawn excerpt under a condition.

    Parameters
    ----------
    query : Query
        As drawn.
    condition : Condition
    t60s_s : mapping of Path to float, optional
        Reverberation times of the rooms.
    duration_s : float, optional
        Length of the recording. One played faster takes more of it, and is moved to where there is enough.
    """
    start_s = query.start_s
    if duration_s is not None and condition.speed > 1:
        start_s = max(0.0, min(start_s, duration_s - condition.speed * query.length_s - MARGIN_S))
    room = query.room if condition.room else None
    return replace(
        query,
        start_s=start_s,
        condition=condition.name,
        snr_db=condition.snr_db,
        noise=query.noise if condition.snr_db is not None else None,
        room=room,
        phone=condition.phone,
        speed=condition.speed,
        device=query.device if condition.phone else None,
        codec=condition.codec,
        t60_s=(t60s_s or {}).get(room) if room is not None else None,
    )
