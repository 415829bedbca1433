"""The contrastive loss over all positions of all clips of a batch.

NT-Xent (Chen et al. 2020; paper, section 2.1, equation 1) with cosine similarity and a temperature. Each
distorted position must find its clean position among every clean position of the batch, the
neighbouring seconds of its own track included, and every other distorted one; and the other way round.
Positions of the same clip that lie within `NEAR_STEPS` of the right one are neither right nor wrong and are
left out: on the grid they hold mostly the same sound.
"""

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

NEAR_STEPS: Final = 2
"""Steps of 40 ms around the right position that do not count as wrong."""


def sequence_nt_xent(
    distorted: Tensor, clean: Tensor, context: int, stride: int, temperature: float
) -> Tensor:
    """Contrast the fingerprints of distorted clips with those of their longer clean counterparts.

    Parameters
    ----------
    distorted : Tensor, shape (batch, n, dim)
        Unit vectors.
    clean : Tensor, shape (batch, n + 2 * context, dim)
        Unit vectors; row ``i + context`` is what row ``i`` of the distorted clip should find.
    context : int
        A multiple of ``stride``.
    stride : int
        Every how many rows take part.
    temperature : float

    Returns
    -------
    Tensor, scalar
        Mean of the two directions' cross entropies, in nats.
    """
    distorted, clean = distorted[:, ::stride], clean[:, ::stride]
    batch, n, dim = distorted.shape
    wide = clean.shape[1]
    context //= stride
    near = NEAR_STEPS // stride
    device = distorted.device

    clip_d = torch.arange(batch, device=device).repeat_interleave(n)
    step_d = torch.arange(n, device=device).repeat(batch) + context
    clip_c = torch.arange(batch, device=device).repeat_interleave(wide)
    step_c = torch.arange(wide, device=device).repeat(batch)
    target = clip_d * wide + step_d

    query, reference = distorted.reshape(-1, dim), clean.reshape(-1, dim)
    across = query @ reference.T / temperature
    near_c = (clip_d[:, None] == clip_c) & ((step_d[:, None] - step_c).abs() <= near)
    near_c[torch.arange(len(target), device=device), target] = False
    across = across.masked_fill(near_c, -torch.inf)

    same = query @ query.T / temperature
    near_d = (clip_d[:, None] == clip_d) & ((step_d[:, None] - step_d).abs() <= near)
    same = same.masked_fill(near_d, -torch.inf)

    forward = functional.cross_entropy(torch.cat((across, same), dim=1), target)
    right = torch.arange(len(target), device=device)
    backward = functional.cross_entropy(across[:, target].T, right)
    return (forward + backward) / 2
