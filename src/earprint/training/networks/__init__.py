"""The networks, as torch modules, and how training builds one by name."""

from collections.abc import Callable

from torch import nn

from earprint.constants import FINGERPRINT_DIM
from earprint.errors import TrainingError
from earprint.training.networks.attention import AttentionNetwork, PlainNetwork
from earprint.training.networks.dense import DenseNetwork
from earprint.training.networks.distilled import DistilledNetwork
from earprint.training.networks.nafp import NafpNetwork
from earprint.training.networks.query import QueryNetwork, reference_side

__all__ = [
    "NETWORKS",
    "RUN_ONCE",
    "AttentionNetwork",
    "DenseNetwork",
    "DistilledNetwork",
    "NafpNetwork",
    "PlainNetwork",
    "QueryNetwork",
    "build_network",
    "reference_side",
]

NETWORKS: dict[str, Callable[[int], nn.Module]] = {
    "dense": lambda dim: DenseNetwork(dim=dim),
    "dense-attention": lambda dim: DenseNetwork(dim=dim, attention=True),
    "dense-distilled": DistilledNetwork,
    "dense-query": QueryNetwork,
    "dense-pair": lambda dim: QueryNetwork(dim, frozen=False),
    "attention": AttentionNetwork,
    "plain": PlainNetwork,
    "nafp": NafpNetwork,
}
"""Every network by name, made from the number of components of its fingerprints."""

RUN_ONCE = ("dense", "dense-attention", "dense-distilled", "dense-query", "dense-pair")
"""Those that run once over a recording; the others see one segment at a time."""


def build_network(name: str, dim: int = FINGERPRINT_DIM) -> nn.Module:
    """Make a freshly initialised network.

    Parameters
    ----------
    name : str
        A key of `NETWORKS`.
    dim : int
        Components of a fingerprint.

    Raises
    ------
    TrainingError
        If there is none of that name, or it cannot have so many components.
    """
    if name not in NETWORKS:
        raise TrainingError(f"{name}: unknown network; use one of {', '.join(NETWORKS)}")
    try:
        return NETWORKS[name](dim)
    except ValueError as error:
        raise TrainingError(
            f"{name}: no fingerprints of {dim} components ({error}); try 64 or 128"
        ) from error
