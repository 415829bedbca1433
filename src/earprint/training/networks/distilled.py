"""A dense network that learns to reproduce the fingerprints of a wider, trained one (knowledge distillation).

A student that is given good fingerprints as targets needs fewer examples than one that must find them (Hinton
et al. 2015, "Distilling the knowledge in a neural network"). The teacher is the query network of a pair
(`earprint.training.networks.query`), and it is frozen. In training, the student fingerprints the distorted
side and the teacher the clean side. In evaluation and after export, the student fingerprints both.
"""

from torch import Tensor, nn

from earprint.constants import FINGERPRINT_DIM
from earprint.training.augmentation import Augmentations
from earprint.training.networks.dense import DenseNetwork
from earprint.training.networks.query import QUERY_CHANNELS, weights_of_part
from earprint.training.networks.registry import register_network


@register_network(
    "dense-distilled",
    encoder="dense",
    head_width=128,  # of both its parts: the greatest common divisor of 384 and 640
    # The student must learn clean audio too.
    settings={"augmentation": Augmentations().updated(noise={"snr_db": (-4.0, 40.0)})},
    role="student",
    initial_weights="the query network of a pair",
    exported_as="dense",
)
class DistilledNetwork(nn.Module):
    """The network dense, distilled from the query network of the pair in --start-from.

    It holds both: the frozen teacher, for the clean side in training, and the student, which learns.

    Parameters
    ----------
    dim : int
        Components of a fingerprint.
    """

    def __init__(self, dim: int = FINGERPRINT_DIM) -> None:
        super().__init__()
        self.teacher = DenseNetwork(QUERY_CHANNELS, dim=dim)
        self.student = DenseNetwork(dim=dim)
        self.teacher.requires_grad_(requires_grad=False).eval()

    @property
    def reference(self) -> DenseNetwork:
        """The network of the clean side: the teacher in training mode, else the student."""
        return self.teacher if self.training else self.student

    def forward(self, x: Tensor) -> Tensor:
        """Fingerprint by the student; see `DenseNetwork`."""
        out: Tensor = self.student(x)
        return out

    def train(self, mode: bool = True) -> "DistilledNetwork":
        """Set the mode of the student; the teacher stays in evaluation mode."""
        super().train(mode)
        self.teacher.eval()
        return self

    def load_initial_weights(self, weights: dict[str, Tensor]) -> None:
        """Load the query network of a pair as the teacher, or teacher and student of another such run.

        Raises
        ------
        RuntimeError
            If the weights are of another network.
        """
        of_queries = weights_of_part(weights, "query")
        if of_queries:
            self.teacher.load_state_dict(of_queries)
        else:
            self.load_state_dict(weights)
