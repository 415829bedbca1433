"""A loss over whole queries: the right alignment should score best.

A recording is identified by a sequence of rows, not by one. References are stored each 320 ms. The score of a
query at a position of a recording is the weighted mean of the inner products of the rows that meet there.
Here each query of a batch is scored in this way at every position of all clean clips of the batch. The
softmax over these positions should choose the right one (NT-Xent over sequences). So the loss trains on what
is hard to identify, and the rows of a query learn to complement each other.
"""

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from earprint.training.losses import NEAR_STEPS

REFERENCE_STEPS: Final = 8
"""Steps of 40 ms between stored references: 320 ms."""

TEMPERATURE: Final = 0.03
"""Of the softmax over positions; lower than for rows, for a mean of products varies less than one."""


def alignment_nt_xent(
    distorted: Tensor, clean: Tensor, phase: int, weights: Tensor, temperature: float = TEMPERATURE
) -> Tensor:
    """Contrast each query's right alignment with all others of the batch.

    Parameters
    ----------
    distorted : Tensor, shape (batch, n, dim)
        Unit vectors.
    clean : Tensor, shape (batch, m, dim), m >= n
        Unit vectors; row ``i + (m - n) / 2`` is the positive of row ``i`` of the distorted clip.
    phase : int
        Rows ``phase``, ``phase + REFERENCE_STEPS``, and so on of a query meet stored references.
    weights : Tensor, shape (n,)
        How much each row counts in a score.
    temperature : float

    Returns
    -------
    Tensor, scalar
        Mean cross entropy, in nats. Positions within `NEAR_STEPS` of the right one are no negatives.
    """
    batch, n, _ = distorted.shape
    query_rows = range(phase, n, REFERENCE_STEPS)
    positions = clean.shape[1] - (len(query_rows) - 1) * REFERENCE_STEPS
    share = weights[phase::REFERENCE_STEPS].to(distorted.dtype)
    share = share / share.sum()
    scores = distorted.new_zeros(batch, batch, positions)
    for number, row in enumerate(query_rows):
        first = number * REFERENCE_STEPS
        reference = clean[:, first : first + positions]
        scores = scores + share[number] * torch.einsum("qd,rmd->qrm", distorted[:, row], reference)
    right = phase + (clean.shape[1] - n) // 2
    step = torch.arange(positions, device=scores.device)
    near = ((step - right).abs() <= NEAR_STEPS) & (step != right)
    own = torch.eye(batch, dtype=torch.bool, device=scores.device)
    logits = (scores / temperature).masked_fill(own[:, :, None] & near, -torch.inf)
    target = torch.arange(batch, device=scores.device) * positions + right
    return functional.cross_entropy(logits.flatten(1), target)
