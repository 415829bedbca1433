"""Networks of the package with few channels, registered under their names while a test runs."""

import dataclasses
from functools import partial

from earprint.training.networks import NETWORKS, AttentionNetwork, DenseNetwork, NafpNetwork, PlainNetwork


class ThinAttention(AttentionNetwork):
    CHANNELS = (4, 4, 8, 8, 16, 32, 64)


class ThinPlain(PlainNetwork):
    CHANNELS = ThinAttention.CHANNELS


class ThinNafp(NafpNetwork):
    CHANNELS = (4, 4, 4, 8, 8, 8, 16, 128)


thin_dense = partial(DenseNetwork, channels=(4, 8, 16, 32, 64), branch=4)

THIN = {
    "dense": thin_dense,
    "dense-attention": partial(thin_dense, attention=True),
    "attention": ThinAttention,
    "plain": ThinPlain,
    "nafp": partial(ThinNafp, branch=2),
}


def use_network(monkeypatch, name, build):
    """Build the network called ``name`` by another function, with the capabilities it is registered with."""
    monkeypatch.setitem(NETWORKS, name, dataclasses.replace(NETWORKS[name], build=build))


def use_thin_networks(monkeypatch):
    """Use `THIN` in place of the networks of these names."""
    for name, build in THIN.items():
        use_network(monkeypatch, name, build)
