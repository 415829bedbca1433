"""A larger dense network for queries alone, trained to match the fingerprints of a smaller reference network.

Every second of every recording goes through the reference network, so that one must be cheap. A query lasts a
few seconds and carries all the noise and reverberation, so its network can be larger. With the reference
network frozen, existing libraries stay valid: only the query network learns. It begins as the reference
network, widened by channels that change nothing at first (Chen et al. 2016, "Net2Net: accelerating learning
via knowledge transfer"). Or both learn together, and the pair becomes a new model.
"""

from functools import partial
from typing import Final

import torch
from torch import Tensor, nn

from earprint.constants import FINGERPRINT_DIM, N_MELS
from earprint.errors import TrainingError
from earprint.training.networks.dense import DenseNetwork, ValidBlock
from earprint.training.networks.registry import register_network

QUERY_CHANNELS: Final = (24, 48, 96, 160, 320)
"""Channels of the stem and of the four blocks: 2.5 times the work of the reference network."""

BANDS: Final = N_MELS // 32
"""Bands under the head."""

_Map = list[int]
"""For each channel of the wide network, the channel of the narrow one that it copies, or -1 for a new one."""


@register_network(
    "dense-query",
    encoder="dense",
    head_width=128,  # of both its parts: the greatest common divisor of 384 and 640
    role="query",
    initial_weights="the model whose fingerprints its queries must match",
    exported_as="dense",
)
class QueryNetwork(nn.Module):
    """A wider network for queries, whose fingerprints match those of the dense network in --start-from.

    It holds both: the dense network for references, frozen or not, and the one for queries, which learns.

    Parameters
    ----------
    dim : int
        Components of a fingerprint.
    channels : tuple of int
        Of the query network.
    frozen : bool
        Whether the reference network keeps its weights.
    """

    def __init__(
        self,
        dim: int = FINGERPRINT_DIM,
        channels: tuple[int, int, int, int, int] = QUERY_CHANNELS,
        *,
        frozen: bool = True,
    ) -> None:
        super().__init__()
        self.reference = DenseNetwork(dim=dim)
        self.query = DenseNetwork(channels, dim=dim)
        self.frozen = frozen
        if frozen:
            self.reference.requires_grad_(requires_grad=False).eval()

    def forward(self, x: Tensor) -> Tensor:
        """Fingerprint queries; see `DenseNetwork`."""
        out: Tensor = self.query(x)
        return out

    def train(self, mode: bool = True) -> "QueryNetwork":
        """Set the mode; a frozen reference network stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.reference.eval()
        return self

    def load_initial_weights(self, weights: dict[str, Tensor]) -> None:
        """Load the weights of a dense network into both parts, or those of another such pair.

        A query network of fewer channels is widened.

        Raises
        ------
        RuntimeError
            If the weights are of another network.
        TrainingError
            If they are of a wider one.
        """
        given = {part: weights_of_part(weights, part) for part in ("reference", "query")}
        self.reference.load_state_dict(given["reference"] or weights)
        of_queries = given["query"] or self.reference.state_dict()
        channels = _channels(of_queries)
        if channels == _channels(self.query.state_dict()):
            self.query.load_state_dict(of_queries)
            return
        narrow = DenseNetwork(channels, dim=self.query.gather.groups)
        narrow.load_state_dict(of_queries)
        widen(narrow.to(self.query.gather.weight.device), self.query)


register_network(
    "dense-pair",
    encoder="dense",
    head_width=128,
    role="pair",
    exported_as="dense",
    summary="The networks dense and dense-query, trained together.",
)(partial(QueryNetwork, frozen=False))


def weights_of_part(weights: dict[str, Tensor], part: str) -> dict[str, Tensor]:
    """Return the weights of one part of a network, such as ``query``, without its prefix; maybe none."""
    prefix = f"{part}."
    return {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}


def _channels(weights: dict[str, Tensor]) -> tuple[int, int, int, int, int]:
    """Channels of a dense network's stem and blocks, from its weights."""
    stem, *blocks = (
        len(weights[key])
        for key in ("stem.weight", *(f"blocks.{number}.conv2.weight" for number in range(4)))
        if key in weights
    )
    if len(blocks) != 4:
        raise RuntimeError("no weights of a dense network")
    return stem, blocks[0], blocks[1], blocks[2], blocks[3]


@torch.no_grad()
def widen(narrow: DenseNetwork, wide: DenseNetwork) -> None:
    """Make a wider network compute what a narrower one does; its other channels keep their random weights.

    Old channels give no weight to new ones, so the output does not change at first. The gradient then raises
    these weights.

    Parameters
    ----------
    narrow, wide : DenseNetwork
        Of the same ``dim`` and ``branch``.

    Raises
    ------
    TrainingError
        If a layer of the wide one is narrower, or the head's groups do not fit.
    """
    before: _Map = [0]
    stem = _leading(narrow.stem, wide.stem)
    _copy_convolution(narrow.stem, wide.stem, stem, before)
    _copy_norm(narrow.stem_norm, wide.stem_norm, stem)
    before = stem
    blocks = list(zip(narrow.blocks, wide.blocks, strict=True))
    for number, (old, new) in enumerate(blocks):
        assert isinstance(old, ValidBlock)
        assert isinstance(new, ValidBlock)
        inner = _leading(old.conv1, new.conv1)
        last = number == len(blocks) - 1
        after = _for_head(narrow, wide) if last else _leading(old.conv2, new.conv2)
        _copy_convolution(old.conv1, new.conv1, inner, before)
        _copy_norm(old.norm1, new.norm1, inner)
        _copy_convolution(old.conv2, new.conv2, after, inner)
        _copy_norm(old.norm2, new.norm2, after)
        _copy_convolution(old.skip, new.skip, after, before)
        before = after
    _copy_head(narrow, wide, before)


def _leading(old: nn.Conv2d, new: nn.Conv2d) -> _Map:
    """Old channels first, new ones after them."""
    if new.out_channels < old.out_channels:
        raise TrainingError(f"{new.out_channels} channels cannot hold {old.out_channels}; give more")
    return [*range(old.out_channels), *[-1] * (new.out_channels - old.out_channels)]


def _for_head(narrow: DenseNetwork, wide: DenseNetwork) -> _Map:
    """Place old channels where the head's groups read them: each group reads its own channels and bands.

    Two neighbouring groups share whole channels. If their number is odd, they share the middle one by its
    bands. If the number is odd among the old channels and even among the new, each of the two groups gets it
    whole.
    """
    groups = narrow.gather.groups
    old, new = (2 * n.gather.in_channels // (BANDS * groups) for n in (narrow, wide))
    if new < old or (new % 2 and not old % 2):
        raise TrainingError(f"{new} channels for two groups of the head cannot hold {old}; give others")
    half = old // 2
    pair = [-1] * new
    for channel in range(old):
        place = channel if channel < half else new - (old - channel)
        pair[new // 2 if old % 2 and new % 2 and channel == half else place] = channel
    if old % 2 and not new % 2:
        pair[half] = half
    return [-1 if channel < 0 else block * old + channel for block in range(groups // 2) for channel in pair]


def _copy_convolution(old: nn.Conv2d, new: nn.Conv2d, outputs: _Map, inputs: _Map) -> None:
    here, there = torch.tensor(outputs), torch.tensor(inputs)
    kept_out, kept_in = (here >= 0).nonzero()[:, 0], (there >= 0).nonzero()[:, 0]
    new.weight[kept_out] = 0.0
    new.weight[kept_out[:, None], kept_in] = old.weight[here[kept_out][:, None], there[kept_in]]


def _copy_norm(old: nn.BatchNorm2d, new: nn.BatchNorm2d, outputs: _Map) -> None:
    here = torch.tensor(outputs)
    kept = (here >= 0).nonzero()[:, 0]
    for name in ("weight", "bias", "running_mean", "running_var"):
        getattr(new, name)[kept] = getattr(old, name)[here[kept]]


def _copy_head(narrow: DenseNetwork, wide: DenseNetwork, channels: _Map) -> None:
    old, new = narrow.gather, wide.gather
    groups = old.groups
    before, after = old.in_channels // groups, new.in_channels // groups
    old_weight = old.weight.reshape(groups, -1, before, old.weight.shape[2])
    new_weight = torch.zeros_like(new.weight).reshape(groups, -1, after, old.weight.shape[2])
    for flat in range(new.in_channels):
        channel = channels[flat // BANDS]
        if channel >= 0:
            group, slot = divmod(channel * BANDS + flat % BANDS, before)
            if group == flat // after:  # where two groups hold a channel, each copies its own band
                new_weight[group, :, flat % after] = old_weight[group, :, slot]
    new.weight.copy_(new_weight.reshape(new.weight.shape))
    assert old.bias is not None
    assert new.bias is not None
    new.bias.copy_(old.bias)
    wide.project.load_state_dict(narrow.project.state_dict())
