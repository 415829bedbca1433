"""The losses, over all positions of all clips of a batch, by name in `LOSSES`.

A batch is seen as sequences: the fingerprints of distorted clips, and those of the longer clean clips they
were made from. Every distorted position must find its clean position among all the others of the batch,
the neighbouring seconds of its own track included. Positions of the same clip that lie within `NEAR_STEPS`
of the right one are neither right nor wrong and are left out: on the grid they hold mostly the same sound.
A batch has two clips at least.

`sequence_nt_xent` is NT-Xent (Chen et al. 2020; paper, section 2.1, equation 1) with cosine similarity and a
temperature. It is symmetric in a particular way. Forward, a distorted position is contrasted with every
clean position (the context that surrounds each clip included) and every other distorted one. Backward, a
clean position that has a distorted one is contrasted with the distorted ones: its neighbours among the
clean side, undistorted, would be too easy to tell apart to teach anything. The two means are averaged.

`sequence_triplet` is the triplet loss of the authors' later work, on squared Euclidean distances.
"""

from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from earprint.errors import TrainingError

NEAR_STEPS: Final = 2
"""Steps of 40 ms around the right position that do not count as wrong."""

SAME_SOUND: Final = 0.8
"""Cosine with the right position from which rows of earlier steps do not count as wrong."""


class Loss(Protocol):
    """A loss with its one setting bound."""

    def __call__(
        self,
        distorted: Tensor,
        clean: Tensor,
        context: int,
        stride: int,
        weights: Tensor | None = None,
        *,
        others: Tensor | None = None,
    ) -> Tensor:
        """Compare (batch, n, dim) with (batch, n + 2 context, dim); see `sequence_nt_xent`."""


@dataclass(frozen=True)
class _Rows:
    """Every ``stride``-th position of a batch in one row each, and which are near which.

    ``target[i]`` is the row of ``clean`` that row ``i`` of ``distorted`` should find; ``near_clean`` and
    ``near_distorted`` mark the positions of the same clip that are neither right nor wrong (for clean, the
    right one itself is not marked). ``share[i]`` is the weight of row ``i`` of ``distorted``; they sum to 1.
    """

    distorted: Tensor
    clean: Tensor
    target: Tensor
    near_clean: Tensor
    near_distorted: Tensor
    share: Tensor


def _rows(distorted: Tensor, clean: Tensor, context: int, stride: int, weights: Tensor | None) -> _Rows:
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

    near_c = (clip_d[:, None] == clip_c) & ((step_d[:, None] - step_c).abs() <= near)
    near_c[torch.arange(len(target), device=device), target] = False
    near_d = (clip_d[:, None] == clip_d) & ((step_d[:, None] - step_d).abs() <= near)
    share = distorted.new_ones(n) if weights is None else weights[::stride].to(distorted.dtype)
    share = share.repeat(batch) / (batch * share.sum())
    return _Rows(distorted.reshape(-1, dim), clean.reshape(-1, dim), target, near_c, near_d, share)


def sequence_nt_xent(
    distorted: Tensor,
    clean: Tensor,
    context: int,
    stride: int,
    weights: Tensor | None = None,
    *,
    temperature: float,
    others: Tensor | None = None,
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
    weights : Tensor, shape (n,), optional
        How much each row of a distorted clip counts.
    temperature : float
    others : Tensor, shape (m, dim), optional
        Clean rows of earlier steps: wrong ones for all, but where they are `SAME_SOUND`.

    Returns
    -------
    Tensor, scalar
        Mean of the two directions' cross entropies, in nats.
    """
    rows = _rows(distorted, clean, context, stride, weights)
    across = rows.distorted @ rows.clean.T / temperature
    across = across.masked_fill(rows.near_clean, -torch.inf)
    same = rows.distorted @ rows.distorted.T / temperature
    same = same.masked_fill(rows.near_distorted, -torch.inf)

    candidates = [across, same]
    if others is not None:
        besides = rows.distorted @ others.T / temperature
        candidates.append(besides.masked_fill(_same_sound(rows, others), -torch.inf))
    forward = functional.cross_entropy(torch.cat(candidates, dim=1), rows.target, reduction="none")
    right = torch.arange(len(rows.target), device=distorted.device)
    # Multiplied once more: the gradient of picking columns of `across` would take a GPU longer than all else.
    back = rows.clean[rows.target] @ rows.distorted.T / temperature
    back = back.masked_fill(rows.near_clean[:, rows.target].T, -torch.inf)
    backward = functional.cross_entropy(back, right, reduction="none")
    return ((forward + backward) * rows.share).sum() / 2


def sequence_triplet(
    distorted: Tensor,
    clean: Tensor,
    context: int,
    stride: int,
    weights: Tensor | None = None,
    *,
    margin: float,
    others: Tensor | None = None,
) -> Tensor:
    """Pull every position towards its own and push it from a semi-hard wrong one.

    Every distorted position and every clean position that has a distorted one is an anchor. Its positive is
    the position it belongs to: the only one it has, and so its hardest. Its negative is one of those that
    NT-Xent contrasts it with. Semi-hard (Schroff et al. 2015, section 3.2): the nearest that is farther than
    the positive; beyond the margin it costs nothing. If none is farther, the farthest of all: the hardest
    ones of an untrained network would draw everything to one point.

    Parameters
    ----------
    distorted, clean, context, stride, weights, others
        As in `sequence_nt_xent`.
    margin : float
        Of squared Euclidean distance, which is 2 - 2 cos of unit vectors.

    Returns
    -------
    Tensor, scalar
        Mean over the anchors of ``max(0, d(anchor, positive) - d(anchor, negative) + margin)``; distorted
        and clean anchors weigh the same.
    """
    rows = _rows(distorted, clean, context, stride, weights)
    across = _squared_distance(rows.distorted, rows.clean)
    same = _squared_distance(rows.distorted, rows.distorted)
    anchors = torch.arange(len(rows.target), device=distorted.device)
    positive = across[anchors, rows.target]
    wrong = ~rows.near_clean
    wrong[anchors, rows.target] = False
    candidates, count = [across, same], [wrong, ~rows.near_distorted]
    if others is not None:
        candidates.append(_squared_distance(rows.distorted, others))
        count.append(~_same_sound(rows, others))
    forward = _hinge(positive, torch.cat(candidates, dim=1), torch.cat(count, dim=1), margin)
    backward = _hinge(positive, across[:, rows.target].T, wrong[:, rows.target].T, margin)
    return ((forward + backward) * rows.share).sum() / 2


@torch.no_grad()
def _same_sound(rows: _Rows, others: Tensor) -> Tensor:
    """Which of the others, (m, dim), are nearly what each row should find: (rows, m)."""
    return rows.clean[rows.target] @ others.T > SAME_SOUND


def _squared_distance(a: Tensor, b: Tensor) -> Tensor:
    return 2 - 2 * (a @ b.T)


def _hinge(positive: Tensor, distance: Tensor, wrong: Tensor, margin: float) -> Tensor:
    """Hinge (n,) of anchors whose positives, (n,), and candidates, (n, m), lie at these squared distances."""
    farther = distance.masked_fill(~wrong | (distance <= positive[:, None]), torch.inf).amin(dim=1)
    farthest = distance.masked_fill(~wrong, -torch.inf).amax(dim=1)
    negative = torch.where(farther.isinf(), farthest, farther)
    return (positive - negative + margin).clamp_min(0)


LOSSES: Final = ("nt-xent", "triplet")
"""Names that `loss_named` knows."""


def loss_named(name: str, temperature: float, margin: float) -> Loss:
    """The loss of a name, with its one setting bound: NT-Xent's temperature or the triplets' margin.

    Raises
    ------
    TrainingError
        If there is none of that name.
    """
    if name == "nt-xent":
        return partial(sequence_nt_xent, temperature=temperature)
    if name == "triplet":
        return partial(sequence_triplet, margin=margin)
    raise TrainingError(f"{name}: unknown loss; use one of {', '.join(LOSSES)}")
