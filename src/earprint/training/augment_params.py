"""A batch as it was drawn, before it is audio."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Whole = NDArray[np.int64]
Real = NDArray[np.float64]

NONE = -1
"""Number of an item where there is none."""

COLOURS = 4
"""Terms of a smooth random spectrum."""


@dataclass(frozen=True)
class Drawn:
    """One batch, before it is audio; all arrays have one entry for each clip.

    Attributes
    ----------
    tracks : ndarray of int64
        Numbers of the music.
    starts : ndarray of int64
        Where each begins in the music's samples; where its coded twin does, for the query, if that is heard.
    first : ndarray of int64
        Place of the clip in its track, in samples.
    shift : ndarray of int64
        How much later the query begins, in samples.
    pace, speed : ndarray of float64
        Playing speed of both sides, and of the query besides; 1 for unchanged.
    others, others_first : ndarray of int64
        Other music that sounds with it on both sides, or `NONE`, and where it begins.
    others_gain_db : ndarray of float64
        Its level against the first.
    call, call_first : ndarray of int64
        The call that the query is cut from, or `NONE`, and where in it.
    noises, noise_first : ndarray of int64, shape (2, batch)
        Two noises and where they begin.
    noise_pace : ndarray of float64, shape (2, batch)
        Their playing speed.
    noise_tilt_db : ndarray of float64
        Tilt of their spectrum, in dB per octave.
    noise_colour_db, colour_db : ndarray of float64, shape (batch, COLOURS)
        Terms of a smooth curve that the noises' spectrum, and that of all there is, is weighed by.
    second_noise : ndarray of float64
        Level of the second noise against the first, 0 for none.
    rooms, devices : ndarray of int64
        Responses, or `NONE`.
    room_pace : ndarray of float64
        Playing speed of the rooms' responses.
    room_decay_db, room_tail_db : ndarray of float64
        How much faster (below 0) or slower the rooms' responses die away, in dB per second, and how much
        louder what follows the direct sound is.
    noisy : ndarray of bool
        Whether there is noise.
    low_hz, high_hz, order : ndarray of float64
        Band limits.
    snr_db, gain_db : ndarray of float64
    clipped : ndarray of float64
        Share of the peak at which it is clipped; 1 for not at all.
    mask_first, mask_width : ndarray of int64
        Mel bands that are hidden.
    """

    tracks: Whole
    starts: Whole
    first: Whole
    shift: Whole
    pace: Real
    speed: Real
    others: Whole
    others_first: Whole
    others_gain_db: Real
    call: Whole
    call_first: Whole
    noises: Whole
    noise_first: Whole
    noise_pace: Real
    noise_tilt_db: Real
    noise_colour_db: Real
    colour_db: Real
    second_noise: Real
    rooms: Whole
    devices: Whole
    room_pace: Real
    room_decay_db: Real
    room_tail_db: Real
    noisy: NDArray[np.bool_]
    low_hz: Real
    high_hz: Real
    order: Real
    snr_db: Real
    gain_db: Real
    clipped: Real
    mask_first: Whole
    mask_width: Whole
