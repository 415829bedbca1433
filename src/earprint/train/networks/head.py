"""The head that the window networks share: each component of a fingerprint has a small network of its own.

The "divide and encode" block of Lai et al. 2015, as in NAFP (Chang et al. 2021) and the paper (section 2.3).
"""

from torch import Tensor, nn
from torch.nn import functional


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
        x = self.project(functional.elu(self.gather(x.unsqueeze(2)))).squeeze(2)
        return functional.normalize(x.float(), dim=1, eps=1e-6)
