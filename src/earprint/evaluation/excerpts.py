"""Excerpts: where in which recording a query begins, and the noise, room and device drawn for it.

Every condition uses the same excerpts, so that conditions can be compared pair by pair. The seed alone
decides all random choices. Times are in seconds, audio is 16 kHz mono float32.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from earprint.audio.resampling import resample_mono
from earprint.constants import PAST_S, SAMPLE_RATE
from earprint.evaluation.material import Audio, Material

MARGIN_S: Final = 0.05
"""Free space that excerpts leave at the end of a recording, in seconds."""

NOISE_START_S: Final = 600.0
"""Noises begin up to here in their files, in seconds. Shorter files loop."""

DEVICE_STREAM: Final = 1
SPEECH_STREAM: Final = 2
"""Random streams of devices and of speech: giving either leaves all other choices as they are."""


@dataclass(frozen=True)
class Excerpt:
    """A place in a recording, with everything random that conditions may need.

    Attributes
    ----------
    path : Path
        The recording.
    duration_s : float
        Length of the recording.
    start_s, length_s : float
        Where the excerpt begins, and its length.
    present : bool
        Whether the library holds the recording.
    noise : Path or None
    noise_start_s : float
        Where the noise begins in its file.
    room : Path or None
    rt60_s : float or None
        Reverberation time of the room, if it could be estimated.
    device : Path or None
    speech : Path or None
    speech_start_s : float
    """

    path: Path
    duration_s: float
    start_s: float
    length_s: float
    present: bool = True
    noise: Path | None = None
    noise_start_s: float = 0.0
    room: Path | None = None
    rt60_s: float | None = None
    device: Path | None = None
    speech: Path | None = None
    speech_start_s: float = 0.0


def draw_excerpts(
    recordings: Sequence[tuple[Path, float]],
    count: int,
    length_s: float,
    seed: int,
    *,
    material: Material | None = None,
    rt60s_s: Mapping[Path, float | None] | None = None,
    present: bool = True,
) -> list[Excerpt]:
    """Draw excerpts; every recording is used once before any is used again.

    Parameters
    ----------
    recordings : sequence of (Path, float)
        Files and their lengths in seconds. Those shorter than the excerpt are not used.
    count : int
    length_s : float
    seed : int
    material : Material, optional
        Its noises, rooms, devices and speech are drawn from.
    rt60s_s : mapping of Path to float, optional
        Reverberation times of the rooms.
    present : bool
        Whether the library holds the recordings.

    Returns
    -------
    list of Excerpt
        Empty if every recording is too short.
    """
    material = material or Material(())
    rng = np.random.default_rng(seed)
    device_rng = np.random.default_rng([seed, DEVICE_STREAM])
    speech_rng = np.random.default_rng([seed, SPEECH_STREAM])
    usable = [(path, duration) for path, duration in recordings if is_long_enough(duration, length_s)]
    order: list[int] = []
    excerpts = []
    for _ in range(count if usable else 0):
        order = order or rng.permutation(len(usable)).tolist()
        path, duration_s = usable[order.pop()]
        start_s = float(rng.uniform(0, duration_s - length_s - MARGIN_S))
        noise = _draw(material.noises, rng)
        noise_start_s = float(rng.uniform(0, NOISE_START_S))
        room = _draw(material.rooms, rng)
        excerpts.append(
            Excerpt(
                path, duration_s, start_s, length_s, present,
                noise=noise,
                noise_start_s=noise_start_s,
                room=room,
                rt60_s=None if room is None else (rt60s_s or {}).get(room),
                device=_draw(material.devices, device_rng),
                speech=_draw(material.speech, speech_rng),
                speech_start_s=float(speech_rng.uniform(0, NOISE_START_S)),
            )
        )  # fmt: skip
    return excerpts


def _draw(files: Sequence[Path], rng: np.random.Generator) -> Path | None:
    return files[int(rng.integers(len(files)))] if files else None


def is_long_enough(duration_s: float, length_s: float) -> bool:
    """Whether a recording has room for excerpts of ``length_s`` seconds."""
    return duration_s > length_s + 2 * MARGIN_S


def cut(recording: Audio, start_s: float, length_s: float, speed: float = 1.0) -> tuple[Audio, Audio]:
    """Cut an excerpt, and up to a second before it, out of a recording.

    Parameters
    ----------
    recording : ndarray of float32, shape (m,)
    start_s, length_s : float
    speed : float
        How many times faster than the recording the excerpt is played, pitch included.

    Returns
    -------
    excerpt : ndarray of float32, shape (round(length_s * 16000),)
        Shorter if the recording ends before.
    past : ndarray of float32, shape (at most 16000,)
    """
    start, length = round(start_s * SAMPLE_RATE), round(length_s * SAMPLE_RATE)
    margin = round(PAST_S * SAMPLE_RATE)
    if speed == 1:
        return recording[start : start + length], recording[max(0, start - margin) : start]
    before = min(start, round(margin * speed))
    # Two samples more than are needed, so that rounding leaves none missing.
    stop = start + int(np.ceil(length * speed)) + 2
    if stop > len(recording):
        return recording[:0], recording[:0]
    played = change_speed(recording[start - before : stop], speed)
    past = round(before / speed)
    return played[past : past + length], played[max(0, past - margin) : past]


def change_speed(samples: Audio, factor: float) -> Audio:
    """Play a recording faster (above 1) or slower, so that tempo and pitch change together.

    Parameters
    ----------
    samples : ndarray of float32, shape (n,)
    factor : float
        Rounded to a multiple of 1/16000.

    Returns
    -------
    ndarray of float32, shape (about n / factor,)
    """
    return resample_mono(samples, round(SAMPLE_RATE * factor))
