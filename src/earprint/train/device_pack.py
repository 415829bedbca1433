"""A pack of the store on the device that trains, read at any positions of many items at once."""

import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from earprint.train.store import Pack


class DevicePack:
    """A pack whose samples lie on the training device, and whose items can be drawn by category."""

    def __init__(self, pack: Pack, device: torch.device) -> None:
        self.samples = _as_tensor(pack.samples).to(device)
        self.scale = 1 / 32_768 if pack.samples.dtype == np.int16 else 1.0
        self.items = pack.items

    def gather(self, starts: Tensor, lengths: Tensor, at: Tensor, *, loop: bool = False) -> Tensor:
        """Samples at whole positions within items.

        Parameters
        ----------
        starts, lengths : Tensor of int64, shape (batch,)
            Where each item lies.
        at : Tensor of int64, shape (batch, n)
            In samples from each item's start.
        loop : bool
            Positions outside the item wrap around; otherwise they are silence.

        Returns
        -------
        Tensor of float32, shape (batch, n)
        """
        limit = lengths[:, None]
        if loop:
            return self.samples[at.remainder(limit).add_(starts[:, None])].float().mul_(self.scale)
        index = at.clamp_min(0).minimum(limit - 1).add_(starts[:, None])
        return self.samples[index].float().mul_(self.scale).mul_((at >= 0) & (at < limit))

    def interpolate(self, starts: Tensor, lengths: Tensor, at: Tensor) -> Tensor:
        """Samples at fractional positions (float64), linearly interpolated; outside is silence."""
        whole = at.floor()
        index = whole.long()
        before = self.gather(starts, lengths, index)
        after = self.gather(starts, lengths, index + 1)
        return before + (at - whole).float() * (after - before)


def _as_tensor(samples: NDArray[np.generic]) -> Tensor:
    """The memory-mapped samples as a tensor, without a copy; nothing ever writes to it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(np.asarray(samples))
