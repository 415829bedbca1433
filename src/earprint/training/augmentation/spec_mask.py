"""Masked mel bands."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from earprint.constants import N_MELS
from earprint.training.augmentation.base import LogMelAugmentation, Params, Tensors, register
from earprint.training.augmentation.sources import Clips, Int
from earprint.training.settings import Limits


def mask_bands(log_mel: Tensor, first: Tensor, width: Tensor) -> Tensor:
    """Replace bands ``first`` to ``first + width`` of each row by the row's mean.

    The frequency mask of SpecAugment (Park et al. 2019, section 2).

    Parameters
    ----------
    log_mel : Tensor, shape (rows, frames, bands)
    first, width : Tensor of int64, shape (rows,)
    """
    band = torch.arange(log_mel.shape[2], device=log_mel.device)[None]
    hidden = (band >= first[:, None]) & (band < (first + width)[:, None])
    mean = log_mel.mean(dim=(1, 2), keepdim=True)
    return torch.where(hidden[:, None], mean, log_mel)


@register("spec_mask")
@dataclass(frozen=True)
class SpecMask(LogMelAugmentation):
    """Frequency masking: adjacent mel bands are replaced by the mean (SpecAugment, Park et al. 2019).

    Attributes
    ----------
    probability : float
        Probability that it is applied to a clip, 0 to 1.
    width_bands : tuple of int
        Range of the number of masked bands, of 64, uniform.
    """

    on_codec_queries = True
    limits: ClassVar[Limits] = {"width_bands": (1, N_MELS)}
    probability: float = 0.2
    width_bands: tuple[int, int] = (3, 13)

    def draw(self, rng: np.random.Generator, rows: Int, clips: Clips) -> Params:
        """Draw widths and first bands."""
        low, high = self.width_bands
        width = rng.integers(low, high + 1, len(rows))
        return {"first": rng.integers(N_MELS - width + 1), "width": width}

    def apply(self, log_mel: Tensor, params: Tensors) -> Tensor:
        """Mask."""
        return mask_bands(log_mel, params["first"], params["width"])
