"""A loss over whole queries: the alignment that scores best should be the right one.

What identifies is not a row but a sequence. References are stored each 320 ms, and a query is scored, at
each place of each recording, by the mean product of the rows that meet there, weighted by what each has
heard. Here the queries of a batch are scored in this way at every place of all its clean clips, and the
softmax over these places is to pick the right one (NT-Xent over sequences). So what is hard is what is hard
to identify, and rows that are heard together learn to complement each other.
"""

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from earprint.training.losses import NEAR_STEPS

EVERY: Final = 8
"""Steps of 40 ms between stored references."""

TEMPERATURE: Final = 0.03
"""Of the softmax over places; the mean of several products varies less than one does."""


def alignment_nt_xent(
    distorted: Tensor, clean: Tensor, phase: int, weights: Tensor, temperature: float = TEMPERATURE
) -> Tensor:
    """Contrast each query's right alignment with all others of the batch.

    Parameters
    ----------
    distorted : Tensor, shape (batch, n, dim)
        Unit vectors.
    clean : Tensor, shape (batch, m, dim), m >= n
        Unit vectors; row ``i + (m - n) / 2`` is what row ``i`` of the distorted clip should find.
    phase : int
        Rows ``phase``, ``phase + EVERY``, and so on of a query meet stored references.
    weights : Tensor, shape (n,)
        How much each row counts in a score.
    temperature : float

    Returns
    -------
    Tensor, scalar
        Mean cross entropy, in nats. Places within `NEAR_STEPS` of the right one count neither way.
    """
    batch, n, _ = distorted.shape
    heard = range(phase, n, EVERY)
    places = clean.shape[1] - (len(heard) - 1) * EVERY
    share = weights[phase::EVERY].to(distorted.dtype)
    share = share / share.sum()
    scores = distorted.new_zeros(batch, batch, places)
    for number, row in enumerate(heard):
        first = number * EVERY
        there = clean[:, first : first + places]
        scores = scores + share[number] * torch.einsum("qd,rmd->qrm", distorted[:, row], there)
    right = phase + (clean.shape[1] - n) // 2
    step = torch.arange(places, device=scores.device)
    near = ((step - right).abs() <= NEAR_STEPS) & (step != right)
    own = torch.eye(batch, dtype=torch.bool, device=scores.device)
    logits = (scores / temperature).masked_fill(own[:, :, None] & near, -torch.inf)
    target = torch.arange(batch, device=scores.device) * places + right
    return functional.cross_entropy(logits.flatten(1), target)
