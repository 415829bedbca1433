"""The head that the window networks share: each component of a fingerprint has a small network of its own.

The "divide and encode" block of Lai et al. 2015, as in NAFP (Chang et al. 2021) and the paper (section 2.3).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


def windows_through(x: Tensor, gather: nn.Conv1d, project: nn.Conv1d) -> Tensor:
    """``project(elu(gather(x)))`` of grouped convolutions, as matrix products.

    The same numbers as the convolutions give, and what they are on a GPU: cuDNN is slow at many small groups.

    Parameters
    ----------
    x : Tensor, shape (batch, width, steps)
    gather : nn.Conv1d
        From ``width`` in ``dim`` groups to ``branch`` units for each of them.
    project : nn.Conv1d
        From those to one component for each group, kernel 1.

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
    """Gather windows of steps and make one component of each group: ``project(elu(gather(x)))``.

    Parameters
    ----------
    x : Tensor, shape (batch, width, steps)
    gather, project : nn.Conv1d
        See `windows_through`.
    every : int
        Give only every so manieth window.

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
    """Cut a feature vector into ``dim`` pieces and make one component of each: linear, ELU, linear.

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
