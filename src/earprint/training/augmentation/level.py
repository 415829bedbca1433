"""Level of the query."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor

from earprint.training.augmentation.base import Params, Tensors, WaveformAugmentation, register
from earprint.training.augmentation.sources import Clips, Int
from earprint.training.settings import Limits


@register("level")
@dataclass(frozen=True)
class Level(WaveformAugmentation):
    """Gain of the whole query, after everything else.

    Attributes
    ----------
    probability : float
        Probability that it is applied to a clip, 0 to 1.
    gain_db : tuple of float
        Range of the gain in dB, uniform.
    """

    draw_order = 90
    on_codec_queries = True
    limits: ClassVar[Limits] = {"gain_db": (-100.0, 60.0)}
    probability: float = 1.0
    gain_db: tuple[float, float] = (-30.0, 3.0)

    def draw(self, rng: np.random.Generator, rows: Int, clips: Clips) -> Params:
        """Draw gains."""
        return {"gain_db": rng.uniform(*self.gain_db, len(rows))}

    def apply(self, audio: Tensor, params: Tensors) -> Tensor:
        """Multiply by the gain."""
        return audio * 10 ** (params["gain_db"] / 20)[:, None]
