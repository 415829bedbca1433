"""Time offset and playback rate of the music."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from earprint.constants import SAMPLE_RATE
from earprint.training.augmentation.base import Params, ReadingAugmentation, register
from earprint.training.augmentation.sources import Clips, Int
from earprint.training.settings import Limits


@register("shift")
@dataclass(frozen=True)
class Shift(ReadingAugmentation):
    """Offset of the query against the grid of reference positions.

    The default range is half a step of the dense encoder (40 ms) and 2 ms more.

    Attributes
    ----------
    probability : float
        Probability that it is applied to a clip, 0 to 1.
    offset_s : tuple of float
        Range of the offset in seconds, uniform.
    """

    draw_order = 10
    limits: ClassVar[Limits] = {"offset_s": (-0.8, 0.8)}
    probability: float = 1.0
    offset_s: tuple[float, float] = (-0.022, 0.022)

    def draw(self, rng: np.random.Generator, rows: Int, clips: Clips) -> Params:
        """Draw offsets in samples."""
        low, high = (seconds * SAMPLE_RATE for seconds in self.offset_s)
        return {"shift": np.round(rng.uniform(low, high, len(rows))).astype(np.int64)}

    def apply(self, clips: Clips, rows: Int, params: Params) -> None:
        """Move the distorted side."""
        clips.shift[rows] = params["shift"]


@dataclass(frozen=True)
class _RandomRate(ReadingAugmentation):
    limits: ClassVar[Limits] = {"rate": (0.25, 4.0)}
    rate: tuple[float, float] = (1.0, 1.0)

    def draw(self, rng: np.random.Generator, rows: Int, clips: Clips) -> Params:
        """Draw rates."""
        return {"rate": rng.uniform(*self.rate, len(rows))}


@register("playback_rate")
@dataclass(frozen=True)
class PlaybackRate(_RandomRate):
    """Both sides are played at another rate, as a record would be: pitch and tempo change together.

    One recording becomes many, in other keys and tempi.

    Attributes
    ----------
    probability : float
        Probability that it is applied to a clip, 0 to 1.
    rate : tuple of float
        Range of the playback rate, uniform; 1 is unchanged.
    """

    draw_order = 30
    probability: float = 0.4
    rate: tuple[float, float] = (0.82, 1.18)

    def apply(self, clips: Clips, rows: Int, params: Params) -> None:
        """Set the rate of both sides."""
        clips.rate[rows] = params["rate"]


@register("query_speed")
@dataclass(frozen=True)
class QuerySpeed(_RandomRate):
    """The query alone is played at another rate, about its middle, with pitch and tempo changed alike.

    Attributes
    ----------
    probability : float
        Probability that it is applied to a clip, 0 to 1.
    rate : tuple of float
        Range of the playback rate, uniform; 1 is unchanged.
    """

    draw_order = 40
    probability: float = 0.15
    rate: tuple[float, float] = (0.96, 1.04)

    def apply(self, clips: Clips, rows: Int, params: Params) -> None:
        """Set the rate of the distorted side."""
        clips.query_rate[rows] = params["rate"]
