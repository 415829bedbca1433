"""How often and how strongly the queries of training are distorted."""

from dataclasses import dataclass
from typing import Any

TILT_HZ = 1_000.0
"""Frequency at which a tilt changes nothing, in Hz."""

TILT_FROM_HZ = 60.0
"""Frequency below which a tilt or another curve goes no further, in Hz."""

DIRECT_S = 0.005
"""How long the direct sound of a response, which begins it, is taken to last, in seconds."""


@dataclass(frozen=True)
class Distortions:
    """How often and how strongly queries are distorted. Probabilities are per clip.

    Attributes
    ----------
    snr_db : tuple of float
        Range of the signal-to-noise ratio, uniform.
    measured, simulated : float
        Probability of a measured or a simulated room's response; else none.
    device : float
        Probability of a device's response, with a room or without.
    second_noise : float
        Probability that a second noise sounds too.
    band_limit : float
        Probability of a high- and a low-pass.
    clip : float
        Probability of clipped peaks.
    mask : float
        Probability of a masked stretch of mel bands.
    speed : float
        Probability of another speed, up to ``speed_range`` faster or slower.
    pace : float
        Probability that both sides are played at another pace, up to ``pace_range`` faster or slower: so
        one recording becomes many, with other keys and tempi.
    medley : float
        Probability that on both sides another recording sounds too, quieter by up to ``medley_db`` dB: music
        that nobody recorded.
    noise_pace : float
        Probability that a noise is played at another pace, up to ``noise_pace_range`` faster or slower: so
        few recorded noises become many.
    noise_tilt : float
        Probability that the noises' spectrum is tilted, by up to ``noise_tilt_db`` in dB per octave.
    noise_colour, colour : float
        Probability that the noises' spectrum, or that of all that is heard (as of a microphone), is weighed
        by a smooth random curve, of terms of up to ``noise_colour_db`` and ``colour_db`` each.
    room_pace : float
        Probability that a room's response is played at another pace, up to ``room_pace_range`` faster or
        slower, as if the room were smaller or larger.
    room_shape : float
        Probability that a room's response dies away faster or slower, by ``room_decay_db`` in dB per second,
        and that what follows its direct sound is louder or quieter, by up to ``room_tail_db``: as if the room
        were furnished otherwise, and one sat elsewhere in it.
    shift_s : float
        Time offset of the query against the reference grid, uniform in +-shift_s, in seconds.
    gain_db : tuple of float
        Range of the level, uniform.
    noise_with_response : float
        Probability of noise where there is a response; without one there is always noise.
    codec : float
        Probability that a recording whose coded twin is in the store (`earprint train pack --codecs`) is
        heard as that twin.
    call : float
        Probability that a query is one of its recording's calls (`earprint train calls`), if there are any:
        then room, noise and codec are the call's, and only level and masks are drawn here.
    quietest : float
        Mean square, of full scale, that a clip has at least: the energy gate of the paper notes.
    """

    snr_db: tuple[float, float] = (-4.0, 20.0)
    measured: float = 0.25
    simulated: float = 0.25
    device: float = 0.25
    second_noise: float = 0.3
    band_limit: float = 0.35
    clip: float = 0.1
    mask: float = 0.2
    speed: float = 0.15
    speed_range: float = 0.04
    pace: float = 0.4
    pace_range: float = 0.18
    medley: float = 0.25
    medley_db: float = 9.0
    noise_pace: float = 0.5
    noise_pace_range: float = 0.35
    noise_tilt: float = 0.5
    noise_tilt_db: float = 4.0
    noise_colour: float = 0.5
    noise_colour_db: float = 4.0
    colour: float = 0.3
    colour_db: float = 2.5
    room_pace: float = 0.5
    room_pace_range: float = 0.2
    room_shape: float = 0.5
    room_decay_db: tuple[float, float] = (-40.0, 15.0)
    room_tail_db: float = 6.0
    shift_s: float = 0.022
    gain_db: tuple[float, float] = (-30.0, 3.0)
    noise_with_response: float = 1.0
    codec: float = 0.5
    call: float = 0.15
    quietest: float = 1e-6

    @classmethod
    def noise_alone(cls, snr_db: tuple[float, float], **changes: Any) -> "Distortions":
        """Noise at some ratio, a time offset and another level, and nothing else but what ``changes`` say."""
        return cls(**{**dict.fromkeys(_OTHERS, 0.0), "snr_db": snr_db, **changes})


_OTHERS = (
    "measured", "simulated", "device", "second_noise", "band_limit", "clip", "mask", "speed", "pace",
    "medley", "noise_pace", "noise_tilt", "noise_colour", "colour", "room_pace", "room_shape", "codec",
    "call",
)  # fmt: skip
"""Probabilities of all but one noise."""


PAPER_DISTORTIONS = Distortions.noise_alone(
    (0.0, 25.0), measured=1 / 3, simulated=1 / 3, noise_with_response=0.5, shift_s=0.04, gain_db=(0.0, 0.0),
    quietest=1e-4,
)  # fmt: skip
"""Noise, reverberation, or both, a third each (paper, section 2.2, and its notes)."""
