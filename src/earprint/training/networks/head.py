"""The split head, and the base class of the networks that see one segment at a time.

In the split head each component of a fingerprint has its own small network. It is the "divide and encode"
block of Lai et al. 2015, as in NAFP (Chang et al. 2021) and the paper (section 2.3).
"""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from earprint.constants import FINGERPRINT_DIM


def windows_through(x: Tensor, gather: nn.Conv1d, project: nn.Conv1d) -> Tensor:
    """Compute ``project(elu(gather(x)))`` by matrix products instead of grouped convolutions.

    The result is the same. On a GPU it is faster: cuDNN is slow at many small groups.

    Parameters
    ----------
    x : Tensor, shape (batch, width, steps)
    gather : nn.Conv1d
        From ``width`` in ``dim`` groups to ``branch`` units for each of them.
    project : nn.Conv1d
        From those to one component for each group; kernel 1.

    Returns
    -------
    Tensor, shape (batch, dim, steps - kernel + 1)
    """
    (kernel,), groups = gather.kernel_size, gather.groups
    batch, width, _ = x.shape
    windows = x.unfold(2, kernel, 1)
    rows = windows.shape[2]
    windows = windows.reshape(batch, groups, width // groups, rows, kernel).permute(1, 0, 3, 2, 4)
    windows = windows.reshape(groups, batch * rows, -1)
    weight = gather.weight.reshape(groups, -1, windows.shape[2])
    assert gather.bias is not None
    assert project.bias is not None
    hidden = torch.bmm(windows, weight.transpose(1, 2)) + gather.bias.reshape(groups, 1, -1)
    out = torch.bmm(functional.elu(hidden), project.weight.reshape(groups, -1, 1))[:, :, 0]
    out = out + project.bias[:, None]
    return out.reshape(groups, batch, rows).transpose(0, 1)


def through_branches(x: Tensor, gather: nn.Conv1d, project: nn.Conv1d, every: int = 1) -> Tensor:
    """Compute ``project(elu(gather(x)))``: each group turns each window of steps into one component.

    Parameters
    ----------
    x : Tensor, shape (batch, width, steps)
    gather, project : nn.Conv1d
        See `windows_through`.
    every : int
        Compute only every Nth window.

    Returns
    -------
    Tensor, shape (batch, dim, ceil((steps - kernel + 1) / every))
    """
    if x.is_cuda:
        return windows_through(x, gather, project)[:, :, ::every]
    hidden = functional.conv1d(x, gather.weight, gather.bias, every, groups=gather.groups)
    out: Tensor = project(functional.elu(hidden))
    return out


class SplitHead(nn.Module):
    """Cut a feature vector into ``dim`` groups, and map each to one component: linear, ELU, linear.

    Parameters
    ----------
    width : int
        Length of the feature vector, a multiple of ``dim``.
    dim : int
        Components of a fingerprint.
    branch : int
        Hidden units of each component's branch.
    """

    def __init__(self, width: int, dim: int, branch: int) -> None:
        super().__init__()
        self.gather = nn.Conv1d(width, dim * branch, 1, groups=dim)
        self.project = nn.Conv1d(dim * branch, dim, 1, groups=dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, width) to unit vectors (batch, dim)."""
        x = through_branches(x.unsqueeze(2), self.gather, self.project).squeeze(2)
        return functional.normalize(x.float(), dim=1, eps=1e-6)


class SegmentNetwork(nn.Module):
    """Base class: blocks over the map of one segment, then the split head.

    A subclass sets `CHANNELS` and defines `build_blocks` and `prepare`. Input: (batch, 96, 64) log-mel
    segments in decibels. Output: (batch, dim) unit vectors.

    Parameters
    ----------
    dim : int
        Components of a fingerprint.
    branch : int
        Hidden units of each component's branch in the split head.
    """

    CHANNELS: ClassVar[tuple[int, ...]]

    def __init__(self, dim: int = FINGERPRINT_DIM, branch: int = 32) -> None:
        super().__init__()
        self.blocks, width = self.build_blocks()
        self.head = SplitHead(width, dim, branch)

    def build_blocks(self) -> tuple[nn.Sequential, int]:
        """Return the blocks and the number of values they give for one segment."""
        raise NotImplementedError

    def prepare(self, x: Tensor) -> Tensor:
        """Map (batch, 1, 64, 96) decibels to the input of the first block."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Fingerprint a batch of segments."""
        x = self.prepare(x.transpose(1, 2).unsqueeze(1))
        out: Tensor = self.head(self.blocks(x).flatten(1))
        return out
