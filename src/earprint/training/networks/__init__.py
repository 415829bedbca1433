"""The networks as torch modules. Importing this package registers every network of its modules."""

import importlib
import pkgutil

from earprint.training.networks.attention import AttentionNetwork, PlainNetwork
from earprint.training.networks.dense import DenseNetwork
from earprint.training.networks.distilled import DistilledNetwork
from earprint.training.networks.nafp import NafpNetwork
from earprint.training.networks.query import QueryNetwork
from earprint.training.networks.registry import (
    NETWORKS,
    NetworkSpec,
    build_network,
    check_dim,
    network_spec,
    reference_side,
    register_network,
)

__all__ = [
    "NETWORKS",
    "AttentionNetwork",
    "DenseNetwork",
    "DistilledNetwork",
    "NafpNetwork",
    "NetworkSpec",
    "PlainNetwork",
    "QueryNetwork",
    "build_network",
    "check_dim",
    "discover_networks",
    "network_spec",
    "reference_side",
    "register_network",
]


def discover_networks() -> None:
    """Import every module of this package, so that each registers its networks."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")


discover_networks()
