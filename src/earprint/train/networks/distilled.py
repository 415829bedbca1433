"""A dense network that learns to make the fingerprints of a wider one, its teacher, which is frozen.

A wider network that only training has to afford may make better fingerprints; a small one that is shown them
need not find them by itself (Hinton et al. 2015, "Distilling the knowledge in a neural network"). While it
learns, what the student hears, distorted or nearly clean, is contrasted with the teacher's fingerprints of
the clean side. In evaluation, and when it is exported, the student stands on both sides.
"""

from typing import Final

from torch import Tensor, nn

from earprint.constants import FINGERPRINT_DIM
from earprint.train.networks.dense import DenseNetwork

WIDE_CHANNELS: Final = (32, 64, 128, 192, 384)
"""Channels of the teacher's stem and blocks: four times the work of a dense network."""


class DistilledNetwork(nn.Module):
    """A frozen teacher for the clean side while training, and the student that learns.

    Parameters
    ----------
    dim : int
        Components of a fingerprint.
    """

    def __init__(self, dim: int = FINGERPRINT_DIM) -> None:
        super().__init__()
        self.teacher = DenseNetwork(WIDE_CHANNELS, dim=dim)
        self.student = DenseNetwork(dim=dim)
        self.teacher.requires_grad_(requires_grad=False).eval()

    @property
    def reference(self) -> DenseNetwork:
        """What the clean side goes through: the teacher while the student learns, else the student."""
        return self.teacher if self.training else self.student

    def forward(self, x: Tensor) -> Tensor:
        """Fingerprint by the student; see `DenseNetwork`."""
        out: Tensor = self.student(x)
        return out

    def train(self, mode: bool = True) -> "DistilledNetwork":
        """Set the mode; the teacher stays as it is."""
        super().train(mode)
        self.teacher.eval()
        return self

    def begin_with(self, weights: dict[str, Tensor]) -> None:
        """Take a wide dense network for the teacher, or teacher and student of another such run.

        Raises
        ------
        RuntimeError
            If the weights are of another network.
        """
        whole = any(key.startswith("teacher.") for key in weights)
        (self if whole else self.teacher).load_state_dict(weights)
