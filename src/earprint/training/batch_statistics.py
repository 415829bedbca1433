"""Statistics of batch norms: estimated through averaged weights, and frozen at the end of a run.

Averaging weights changes the activations, so the raw network's running statistics do not fit the averaged
network (Izmailov et al. 2018, "Averaging weights leads to wider optima and better generalization", section
3.2). `torch.optim.swa_utils.update_bn` estimates new ones, but resets every norm of a network, also those of
a frozen part. Here each part estimates its statistics from the side that it sees in training, and a frozen
part keeps its own.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from earprint.training.grad_cache import embed_sides


def batch_norms(network: nn.Module) -> list[_BatchNorm]:
    """Return all batch norms of a network."""
    return [module for module in network.modules() if isinstance(module, _BatchNorm)]


@torch.no_grad()
def estimate_statistics(
    network: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], chunk: int = 0
) -> nn.Module:
    """Replace the running statistics by their means over some batches, and set evaluation mode.

    Both sides of a batch go through the network in training mode, and count the same.

    Parameters
    ----------
    network : nn.Module
        Its norms that stay in evaluation mode, those of a frozen part, keep their statistics.
    batches : iterable of (Tensor, Tensor)
        Inputs of the clean and of the distorted side, as in training.
    chunk : int
        Clips that go through the network at a time; 0 for all of a batch.

    Returns
    -------
    nn.Module
        The network.
    """
    network.train()
    norms = [norm for norm in batch_norms(network) if norm.training]
    if norms:
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a cumulative mean
        for clean, distorted in batches:
            size = chunk or len(distorted)
            for parts in zip(torch.split(distorted, size), torch.split(clean, size), strict=True):
                embed_sides(network, *parts)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
    return network.eval()


@torch.no_grad()
def copy_statistics(source: nn.Module, target: nn.Module) -> None:
    """Copy the buffers of a network, such as running statistics, to another of the same structure."""
    buffers = dict(source.named_buffers())
    for name, buffer in target.named_buffers():
        buffer.copy_(buffers[name])
