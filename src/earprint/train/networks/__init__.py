"""The networks, as torch modules, and how training builds one by name."""

from torch import nn

from earprint.errors import TrainingError
from earprint.train.networks.attention import AttentionNetwork
from earprint.train.networks.dense import DenseNetwork

__all__ = ["AttentionNetwork", "DenseNetwork", "build_network"]


def build_network(name: str) -> nn.Module:
    """Make a freshly initialised network.

    Raises
    ------
    TrainingError
        If there is none of that name.
    """
    if name == "dense":
        return DenseNetwork()
    if name == "attention":
        return AttentionNetwork()
    raise TrainingError(f"{name}: unknown network; use dense or attention")
