"""The gradient of one batch, at once or in chunks that fit the memory (gradient caching).

A contrastive loss needs the whole batch: the sum of the gradients of small batches has a small batch's
negatives. The cached two-pass step (Gao et al. 2021, "Scaling deep contrastive learning batch size under
memory limited setup", section 3) holds the activations of one chunk at a time. Pass 1 embeds every chunk
without a graph. The loss over all embeddings gives the gradient of each embedding. Pass 2 embeds every chunk
again, and propagates these gradients into the weights. Both passes see the same inputs.

Batch norms use the statistics of a chunk, the same in both passes. So with chunks a network with batch norms
gives slightly other values, until the norms are frozen. Only pass 2 updates their running statistics, once
per chunk.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from earprint.training.networks import reference_side

PairLoss = Callable[[Tensor, Tensor], Tensor]
"""Embeddings of the distorted and of the clean side, (batch, ...), to a scalar."""


def backward_of_batch(
    network: nn.Module, distorted: Tensor, clean: Tensor, loss: PairLoss, chunk: int
) -> Tensor:
    """Add the gradient of a batch's loss to the ``grad`` of the parameters.

    Parameters
    ----------
    network : nn.Module
        Runs under autocast to bfloat16 where that is fast.
    distorted, clean : Tensor, shape (batch, ...)
        The network's inputs.
    loss : callable
    chunk : int
        Clips embedded at a time; 0 for all.

    Returns
    -------
    Tensor, scalar
        The loss, detached.
    """
    if chunk <= 0 or chunk >= len(distorted):
        value = loss(*embed_sides(network, distorted, clean))
        value.backward()  # type: ignore[no-untyped-call]
        return value.detach()
    parts = list(zip(torch.split(distorted, chunk), torch.split(clean, chunk), strict=True))
    with torch.no_grad(), running_statistics_kept(network):
        embedded = [embed_sides(network, *part) for part in parts]
    sides = [torch.cat(side).requires_grad_() for side in zip(*embedded, strict=True)]
    value = loss(*sides)
    gradients = torch.autograd.grad(value, sides)
    split = zip(*(torch.split(gradient, chunk) for gradient in gradients), strict=True)
    for part, gradient in zip(parts, split, strict=True):
        # A frozen side has no graph.
        pairs = zip(embed_sides(network, *part), gradient, strict=True)
        learning = [(side, own) for side, own in pairs if side.requires_grad]
        torch.autograd.backward([side for side, _ in learning], [own for _, own in learning])
    return value.detach()


def embed_sides(network: nn.Module, distorted: Tensor, clean: Tensor) -> tuple[Tensor, Tensor]:
    """Fingerprint both sides of a batch, each by its part of the network, as in a training step."""
    device = distorted.device
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=is_fast_in_bfloat16(device)):
        return network(distorted), reference_side(network)(clean)


def is_fast_in_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 in hardware; elsewhere it takes several times longer."""
    if device.type != "cpu":
        return True
    # These names are private to torch; a missing one counts as no.
    probes = (
        getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    )
    return any(probe is not None and probe() for probe in probes)


@contextmanager
def running_statistics_kept(network: nn.Module) -> Iterator[None]:
    """Keep the running statistics of batch norms that normalise by their batch in training mode."""
    norms = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
