"""A pack of the store on the training device: many items are read at once, at any positions."""

import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from earprint.training.packed_audio import Pack

POWER_BLOCK = 1_600
"""Resolution of precomputed power in samples, 100 ms."""

NONE = -1
"""Stands for a missing position."""

BLOCKS_AT_ONCE = 4_096
"""Blocks whose power is computed at a time: 26 MB of float32."""


class DevicePack:
    """A pack whose samples lie on the training device.

    Parameters
    ----------
    pack : Pack
    device : torch.device

    Attributes
    ----------
    samples : Tensor
        Of all items, in the pack's type.
    items : list of Item
    starts, lengths : ndarray of int64, shape (items,)
        Where each item lies in ``samples``.
    twins, at : ndarray of int64, shape (items,)
        Where its coded copy begins, and where in its recording a codec query begins; `NONE` if there is none.
    """

    def __init__(self, pack: Pack, device: torch.device) -> None:
        self.device = device
        self.samples = _as_tensor(pack.samples).to(device)
        self.scale = 1 / 32_768 if pack.samples.dtype == np.int16 else 1.0
        self.items = pack.items
        self.starts = np.array([item.start for item in pack.items], np.int64)
        self.lengths = np.array([item.length for item in pack.items], np.int64)
        self.twins = np.array([NONE if item.twin is None else item.twin for item in pack.items], np.int64)
        self.at = np.array([NONE if item.at is None else item.at for item in pack.items], np.int64)
        self._energy: NDArray[np.float64] | None = None

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

    def interpolate(self, starts: Tensor, lengths: Tensor, at: Tensor, *, loop: bool = False) -> Tensor:
        """Samples at fractional positions (float64). Outside an item as in `gather`.

        Cubic interpolation (Catmull and Rom 1974): the slope at each sample is that of the chord between its
        neighbours.
        """
        whole = at.floor()
        index, t = whole.long(), (at - whole).float()
        p0, p1, p2, p3 = (self.gather(starts, lengths, index + k, loop=loop) for k in (-1, 0, 1, 2))
        rising = (p2 - p0) / 2
        curve = p0 - 2.5 * p1 + 2 * p2 - p3 / 2
        bend = (p3 - p0) / 2 + 1.5 * (p1 - p2)
        return ((bend * t + curve) * t + rising) * t + p1

    def play(
        self,
        starts: Tensor,
        lengths: Tensor,
        first: Tensor,
        n: int,
        rate_rows: Tensor,
        rate: Tensor,
        *,
        loop: bool = False,
    ) -> Tensor:
        """Read items from ``first`` on, some of them at another playback rate.

        Parameters
        ----------
        starts, lengths, loop
            See `gather`.
        first : Tensor of int64, shape (batch,)
            Positions in the items, in samples.
        n : int
            Samples to return.
        rate_rows : Tensor of int64, shape (k,)
            Rows that are played at another rate.
        rate : Tensor, shape (k,)
            Their rates; 2 is twice as fast.

        Returns
        -------
        Tensor of float32, shape (batch, n)
        """
        steps = torch.arange(n, device=self.device)
        out = self.gather(starts, lengths, first[:, None] + steps, loop=loop)
        if len(rate_rows):
            at = first[rate_rows][:, None] + rate.double()[:, None] * steps
            out[rate_rows] = self.interpolate(starts[rate_rows], lengths[rate_rows], at, loop=loop)
        return out

    def power(self, numbers: NDArray[np.int64], first: NDArray[np.int64], n: int) -> NDArray[np.float64]:
        """Mean square, of full scale, of ``n`` samples from ``first`` on of some items, shape (batch,).

        Exact to `POWER_BLOCK` samples at either end. After the end of an item is silence.
        """
        if self._energy is None:
            self._energy = self._energy_before_each_block()
        start = self.starts[numbers]
        stop = np.minimum(start + first + n, start + self.lengths[numbers])
        low, high = (start + first) // POWER_BLOCK, np.maximum(stop, 0) // POWER_BLOCK
        high = np.maximum(high, low + 1)
        heard = (high - low) * POWER_BLOCK
        power: NDArray[np.float64] = (self._energy[high] - self._energy[low]) / heard
        power *= np.minimum(1.0, heard / n)
        return power

    def _energy_before_each_block(self) -> NDArray[np.float64]:
        """Sum of squares of all samples before each block, shape (blocks + 1,)."""
        parts = []
        for part in torch.split(self.samples, BLOCKS_AT_ONCE * POWER_BLOCK):
            squares = part.float().mul_(self.scale).square_()
            missing = -len(squares) % POWER_BLOCK
            padded = torch.nn.functional.pad(squares, (0, missing))
            parts.append(padded.reshape(-1, POWER_BLOCK).double().sum(dim=1).cpu().numpy())
        return np.concatenate([[0.0], np.cumsum(np.concatenate(parts))])


def to_device(values: NDArray[np.generic], device: torch.device) -> Tensor:
    """Copy an array to the device; to CUDA without waiting for earlier work."""
    tensor = torch.from_numpy(np.ascontiguousarray(values))
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def _as_tensor(samples: NDArray[np.generic]) -> Tensor:
    """The memory-mapped samples as a tensor, without a copy. Nothing writes to it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(np.asarray(samples))
