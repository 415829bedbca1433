"""Reading the music of a batch: each clip at its position and playback rate."""

from typing import Final

import numpy as np
import torch
from torch import Tensor

from earprint.constants import PAST_S, SAMPLE_RATE
from earprint.training.augmentation.sources import Clips, Float, Int
from earprint.training.device_pack import DevicePack, to_device

CONTEXT_S: Final = 0.8
"""Clean music before and after the query on the clean side, in seconds."""

CONTEXT_STEPS: Final = 20
"""The same in the dense encoder's steps of 40 ms."""

CONTEXT: Final = round(CONTEXT_S * SAMPLE_RATE)
PAST: Final = round(PAST_S * SAMPLE_RATE)


class MusicReader:
    """Reads music for some clips of a batch.

    Parameters
    ----------
    music : DevicePack
    clips : Clips
    rows : ndarray of int64
        Numbers of the clips.
    """

    def __init__(self, music: DevicePack, clips: Clips, rows: Int) -> None:
        self.music, self.n = music, clips.n
        self._rate, self._query_rate = clips.rate[rows], clips.rate[rows] * clips.query_rate[rows]
        self._shift = to_device(clips.shift[rows], music.device)

    def clean(self, starts: Tensor, lengths: Tensor, first: Tensor) -> Tensor:
        """Read the clean side.

        Parameters
        ----------
        starts, lengths : Tensor of int64, shape (rows,)
            Where each recording lies in the pack's samples.
        first : Tensor of int64, shape (rows,)
            Position of each clip in its recording, in samples.

        Returns
        -------
        Tensor, shape (rows, CONTEXT + n + CONTEXT)
        """
        return self._read(starts, lengths, first, self._rate, -CONTEXT, self.n + CONTEXT, 0.0)

    def distorted(self, starts: Tensor, lengths: Tensor, first: Tensor) -> Tensor:
        """Read the distorted side before distortion, shape (rows, PAST + n); parameters as in `clean`."""
        shifted = first + self._shift
        return self._read(starts, lengths, shifted, self._query_rate, -PAST, self.n, self.n / 2)

    def _read(
        self, starts: Tensor, lengths: Tensor, first: Tensor, rate: Float, begin: int, end: int, pivot: float
    ) -> Tensor:
        """Samples from ``begin`` to ``end`` relative to ``first``.

        ``pivot`` is the sample, at the rate of both sides, that another rate of the query leaves in place.
        """
        device = self.music.device
        position = first[:, None]
        out = self.music.gather(starts, lengths, position + torch.arange(begin, end, device=device))
        rows = np.flatnonzero(rate != 1)
        if len(rows):
            chosen = to_device(rows, device)
            both, own = (to_device(values[rows], device)[:, None] for values in (self._rate, rate))
            from_pivot = torch.arange(begin, end, device=device, dtype=torch.float64) - pivot
            at = position[chosen] + pivot * both + from_pivot * own
            out[chosen] = self.music.interpolate(starts[chosen], lengths[chosen], at)
        return out
