"""A dense network that learns to make the fingerprints of a wider, trained one: its teacher, which is frozen.

A network that finds good fingerprints by itself needs many examples; one that is shown them needs fewer
(Hinton et al. 2015, "Distilling the knowledge in a neural network"). The teacher is the queries' network of a
pair (`earprint.training.networks.query`). While the student learns, what it hears, distorted or nearly clean,
is contrasted with the teacher's fingerprints of the clean side. In evaluation, and when it is exported, the
student stands on both sides.
"""

from torch import Tensor, nn

from earprint.constants import FINGERPRINT_DIM
from earprint.training.networks.dense import DenseNetwork
from earprint.training.networks.query import QUERY_CHANNELS, of_side


class DistilledNetwork(nn.Module):
    """A frozen teacher for the clean side while training, and the student that learns.

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
        """Take the queries' network of a pair for the teacher, or teacher and student of another such run.

        Raises
        ------
        RuntimeError
            If the weights are of another network.
        """
        of_queries = of_side(weights, "query")
        if of_queries:
            self.teacher.load_state_dict(of_queries)
        else:
            self.load_state_dict(weights)
