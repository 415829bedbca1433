"""Impulse responses of rooms and of recording devices."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from earprint.constants import SAMPLE_RATE
from earprint.training.augmentation.base import Params, SpectrumAugmentation, Tensors, register
from earprint.training.augmentation.sources import Clips, Int, Sources
from earprint.training.augmentation.spectrum import Spectrum
from earprint.training.settings import Limits

ROOM_RESPONSE_S = 1.0
"""Responses of rooms are cut to this length, in seconds."""

DEVICE_RESPONSE_S = 0.25
"""Responses of devices are cut to this length, in seconds."""

DIRECT_SOUND_S = 0.005
"""Length of the direct sound, with which every response begins, in seconds."""


def reshape_responses(responses: Tensor, decay_db_per_s: Tensor, tail_db: Tensor) -> Tensor:
    """Change the decay and the level of responses after their direct sound.

    Parameters
    ----------
    responses : Tensor, shape (rows, n)
        Direct sound at 0.
    decay_db_per_s : Tensor, shape (rows,)
        Added slope in dB per second; below 0 they decay faster.
    tail_db : Tensor, shape (rows,)
        Gain in dB of all that follows the direct sound (`DIRECT_SOUND_S`).

    Returns
    -------
    Tensor, shape (rows, n)
    """
    after_s = torch.arange(responses.shape[1], device=responses.device) / SAMPLE_RATE - DIRECT_SOUND_S
    gain_db = torch.where(after_s > 0, tail_db[:, None] + decay_db_per_s[:, None] * after_s, 0.0)
    return responses * 10 ** (gain_db / 20)


@register("room")
@dataclass(frozen=True)
class Room(SpectrumAugmentation):
    """Reverberation: the impulse response of a measured or a simulated room, with one second of past music.

    Another playback rate of the response makes the room smaller or larger. Another decay and another level
    of what follows the direct sound stand for other furniture and another distance to the loudspeaker.

    Attributes
    ----------
    probability : float
        Probability that it is applied to a clip, 0 to 1.
    simulated_share : float
        Share of simulated rooms, 0 to 1. Where the store has none of the category that is drawn, the clip
        gets no room.
    scale_probability : float
        Probability that the response is played at another rate, 0 to 1.
    scale_rate : tuple of float
        Range of that rate, uniform; above 1 the room becomes smaller.
    decay_probability : float
        Probability of another decay, 0 to 1.
    decay_db_per_s : tuple of float
        Range of the added slope in dB per second, uniform below and above 0, each half of the time.
    tail_probability : float
        Probability of another level after the direct sound, 0 to 1.
    tail_db : tuple of float
        Range of that gain in dB, uniform.
    """

    draw_order = 10
    limits: ClassVar[Limits] = {
        "scale_rate": (0.25, 4.0), "decay_db_per_s": (-1_000.0, 100.0), "tail_db": (-60.0, 60.0),
    }  # fmt: skip
    probability: float = 0.5
    simulated_share: float = 0.5
    scale_probability: float = 0.5
    scale_rate: tuple[float, float] = (0.8, 1.2)
    decay_probability: float = 0.5
    decay_db_per_s: tuple[float, float] = (-40.0, 15.0)
    tail_probability: float = 0.5
    tail_db: tuple[float, float] = (-6.0, 6.0)

    def choose(self, rng: np.random.Generator, clips: Clips) -> Int:
        """Choose clips, without the share of categories that the store lacks."""
        rows = super().choose(rng, clips)
        return rows[rng.random(len(rows)) < sum(self._shares(clips.sources).values())]

    def draw(self, rng: np.random.Generator, rows: Int, clips: Clips) -> Params:
        """Draw responses and how they are changed."""
        count, shares = len(rows), self._shares(clips.sources)
        drawn = rng.choice(len(shares), count, p=np.array([*shares.values()]) / sum(shares.values()))
        numbers = np.zeros(count, np.int64)
        for number, category in enumerate(shares):
            places = np.flatnonzero(drawn == number)
            if len(places):
                numbers[places] = clips.sources.response_samplers[category].draw(rng, len(places))
        clips.has_response[rows] = True
        scale_rows = np.flatnonzero(rng.random(count) < self.scale_probability)
        decay = rng.uniform(-1, 1, count) * (rng.random(count) < self.decay_probability)
        faster, slower = self.decay_db_per_s
        decay *= np.where(decay < 0, -faster, slower)
        tail_db = rng.uniform(*self.tail_db, count) * (rng.random(count) < self.tail_probability)
        shape_rows = np.flatnonzero((decay != 0) | (tail_db != 0))
        return {
            "starts": clips.sources.responses.starts[numbers],
            "lengths": clips.sources.responses.lengths[numbers],
            "scale_rows": scale_rows,
            "scale_rate": rng.uniform(*self.scale_rate, len(scale_rows)),
            "shape_rows": shape_rows,
            "decay_db_per_s": decay[shape_rows],
            "tail_db": tail_db[shape_rows],
        }

    def responses(self, params: Tensors, sources: Sources) -> Tensor:
        """Read the responses and change them, shape (chosen, n)."""
        n = round(ROOM_RESPONSE_S * SAMPLE_RATE)
        starts, lengths = params["starts"], params["lengths"]
        first = torch.zeros_like(starts)
        out = sources.responses.play(starts, lengths, first, n, params["scale_rows"], params["scale_rate"])
        rows = params["shape_rows"]
        if len(rows):
            out[rows] = reshape_responses(out[rows], params["decay_db_per_s"], params["tail_db"])
        return out

    def apply(self, spectrum: Spectrum, params: Tensors, sources: Sources) -> Tensor:
        """Return the responses' spectra."""
        return spectrum.of(self.responses(params, sources))

    def _shares(self, sources: Sources) -> dict[str, float]:
        """Shares of the categories that the store has."""
        shares = {"room": 1 - self.simulated_share, "simulated": self.simulated_share}
        return {
            name: share for name, share in shares.items() if share and len(sources.response_samplers[name])
        }


@register("device")
@dataclass(frozen=True)
class Device(SpectrumAugmentation):
    """The impulse response of a loudspeaker, a telephone or a microphone, after that of a room.

    Attributes
    ----------
    probability : float
        Probability that it is applied to a clip, 0 to 1.
    """

    draw_order = 20
    probability: float = 0.25

    def choose(self, rng: np.random.Generator, clips: Clips) -> Int:
        """Choose clips; none if the store has no devices."""
        rows = super().choose(rng, clips)
        return rows if len(clips.sources.response_samplers["device"]) else rows[:0]

    def draw(self, rng: np.random.Generator, rows: Int, clips: Clips) -> Params:
        """Draw devices."""
        clips.has_response[rows] = True
        numbers = clips.sources.response_samplers["device"].draw(rng, len(rows))
        responses = clips.sources.responses
        return {"starts": responses.starts[numbers], "lengths": responses.lengths[numbers]}

    def apply(self, spectrum: Spectrum, params: Tensors, sources: Sources) -> Tensor:
        """Return the responses' spectra."""
        at = torch.arange(round(DEVICE_RESPONSE_S * SAMPLE_RATE), device=spectrum.device)
        return spectrum.of(sources.responses.gather(params["starts"], params["lengths"], at[None]))
