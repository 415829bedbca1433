"""Clipped peaks."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from earprint.training.augmentation.base import Params, Tensors, WaveformAugmentation, register
from earprint.training.augmentation.sources import Clips, Int
from earprint.training.settings import Limits


def clip_peaks(audio: Tensor, share: Tensor) -> Tensor:
    """Clip each row, shape (rows, n), at ``share`` of its peak, shape (rows,); 1 leaves it unchanged."""
    limit = audio.abs().amax(dim=1, keepdim=True) * share[:, None]
    return torch.maximum(torch.minimum(audio, limit), -limit)


@register("clipping")
@dataclass(frozen=True)
class Clipping(WaveformAugmentation):
    """Hard clipping, as of an overdriven input.

    Attributes
    ----------
    probability : float
        Probability that it is applied to a clip, 0 to 1.
    peak_share : tuple of float
        Range of the clipping level relative to the clip's peak, uniform.
    """

    draw_order = 10
    limits: ClassVar[Limits] = {"peak_share": (0.01, 1.0)}
    probability: float = 0.1
    peak_share: tuple[float, float] = (0.3, 0.9)

    def draw(self, rng: np.random.Generator, rows: Int, clips: Clips) -> Params:
        """Draw clipping levels."""
        return {"peak_share": rng.uniform(*self.peak_share, len(rows))}

    def apply(self, audio: Tensor, params: Tensors) -> Tensor:
        """Clip."""
        return clip_peaks(audio, params["peak_share"])
