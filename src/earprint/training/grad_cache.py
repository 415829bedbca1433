"""The gradient of one batch, at once or in chunks that fit the memory.

A contrastive loss needs the whole batch: adding up the gradients of small batches gives a small batch's
negatives. The cached two-pass step (Gao et al. 2021, "Scaling deep contrastive learning batch size under
memory limited setup", section 3) needs the activations of one chunk at a time only. Pass 1 embeds every
chunk without them; the loss over all embeddings gives the gradient of each embedding; pass 2 embeds every
chunk again, and propagates its embeddings' gradients back into the weights. Both passes see the same input,
for everything random is drawn before.

Batch norms take the statistics of a chunk, the same in both passes; so in chunks a network with batch norms
is not quite what it is at once, until the norms are frozen. Their running statistics are updated in pass 2
only, once by every chunk.
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
    """Add the gradient of a batch's loss to the parameters' ``grad``.

    Parameters
    ----------
    network : nn.Module
        Applied under autocast to bfloat16 where that is fast.
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
        value = loss(*_embed(network, distorted, clean))
        value.backward()  # type: ignore[no-untyped-call]
        return value.detach()
    parts = list(zip(torch.split(distorted, chunk), torch.split(clean, chunk), strict=True))
    with torch.no_grad(), running_statistics_kept(network):
        embedded = [_embed(network, *part) for part in parts]
    sides = [torch.cat(side).requires_grad_() for side in zip(*embedded, strict=True)]
    value = loss(*sides)
    gradients = torch.autograd.grad(value, sides)
    split = zip(*(torch.split(gradient, chunk) for gradient in gradients), strict=True)
    for part, gradient in zip(parts, split, strict=True):
        # A frozen side has nothing to learn.
        pairs = zip(_embed(network, *part), gradient, strict=True)
        learning = [(side, own) for side, own in pairs if side.requires_grad]
        torch.autograd.backward([side for side, _ in learning], [own for _, own in learning])
    return value.detach()


def _embed(network: nn.Module, distorted: Tensor, clean: Tensor) -> tuple[Tensor, Tensor]:
    device = distorted.device
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=is_fast_in_bfloat16(device)):
        return network(distorted), reference_side(network)(clean)


def is_fast_in_bfloat16(device: torch.device) -> bool:
    """Whether the device has products of bfloat16; where it has not, they take several times longer."""
    if device.type != "cpu":
        return True
    # Private names of torch: where it lacks one, it is taken for no.
    probes = (
        getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    )
    return any(probe is not None and probe() for probe in probes)


@contextmanager
def running_statistics_kept(network: nn.Module) -> Iterator[None]:
    """Let batch norms in training mode use the batch's statistics without remembering them."""
    norms = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
