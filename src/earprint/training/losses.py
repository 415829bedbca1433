"""Contrastive losses over all rows of all clips of a batch, by name in `LOSSES`.

A batch holds sequences: the fingerprints of distorted clips, and those of the longer clean clips they were
made from. Every distorted row must find its clean row among all other rows of the batch, also those of the
same track. Rows of the same clip within `NEAR_STEPS` of the positive are neither positives nor negatives:
they cover mostly the same audio. A batch has at least two clips.

`sequence_nt_xent` is NT-Xent (Chen et al. 2020; paper, section 2.4, equation 5) with cosine similarity and a
temperature. The mean over the distorted anchors and the mean over the clean anchors are averaged. A distorted
anchor has as negatives every other clean row, the context around each clip included, and every other
distorted row. For a clean anchor there are two ways, see `NEGATIVES`.

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
"""Steps of 40 ms around the positive within which rows are no negatives."""

SAME_AUDIO_COSINE: Final = 0.8
"""Rows of the memory bank with a larger cosine to the positive are probably the same audio: no negatives."""

NEGATIVES: Final = ("all", "cross")
"""Negatives of a clean anchor in NT-Xent.

``all``: every other distorted row and every other clean row that is a positive, as in SimCLR and the paper.
With one row a clip, N pairs give every anchor 2N - 2 negatives. ``cross``: the distorted rows alone. Then
rows of the clean side, which undistorted audio makes easy to tell apart, do not take part.
"""


class SequenceLoss(Protocol):
    """A loss with its settings bound."""

    def __call__(
        self,
        distorted: Tensor,
        clean: Tensor,
        context: int,
        stride: int,
        weights: Tensor | None = None,
        *,
        extra_negatives: Tensor | None = None,
    ) -> Tensor:
        """Compare (batch, n, dim) with (batch, n + 2 context, dim); see `sequence_nt_xent`."""


@dataclass(frozen=True)
class _Rows:
    """The rows of a batch that a loss compares, flattened to (rows, dim).

    ``target[i]`` is the row of ``clean`` that is the positive of row ``i`` of ``distorted``. ``near_clean``
    and ``near_distorted`` mark rows that are no negatives: those of the same clip within `NEAR_STEPS`. The
    positive itself is not marked in ``near_clean``. ``share[i]`` is the weight of row ``i`` of ``distorted``;
    the weights sum to 1.
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
    negatives: str = "cross",
    extra_negatives: Tensor | None = None,
) -> Tensor:
    """Contrast the fingerprints of distorted clips with those of their longer clean counterparts.

    Parameters
    ----------
    distorted : Tensor, shape (batch, n, dim)
        Unit vectors.
    clean : Tensor, shape (batch, n + 2 * context, dim)
        Unit vectors; row ``i + context`` is the positive of row ``i`` of the distorted clip.
    context : int
        A multiple of ``stride``.
    stride : int
        Every Nth row takes part.
    weights : Tensor, shape (n,), optional
        How much each row of a distorted clip counts.
    temperature : float
    negatives : str
        Of clean anchors; one of `NEGATIVES`.
    extra_negatives : Tensor, shape (m, dim), optional
        Clean rows of earlier steps, negatives of every distorted anchor unless `SAME_AUDIO_COSINE` excludes
        them.

    Returns
    -------
    Tensor, scalar
        Mean of the cross entropies of the distorted and of the clean anchors, in nats.
    """
    rows = _rows(distorted, clean, context, stride, weights)
    across = rows.distorted @ rows.clean.T / temperature
    across = across.masked_fill(rows.near_clean, -torch.inf)
    same = rows.distorted @ rows.distorted.T / temperature
    same = same.masked_fill(rows.near_distorted, -torch.inf)

    candidates = [across, same]
    if extra_negatives is not None:
        extra = rows.distorted @ extra_negatives.T / temperature
        candidates.append(extra.masked_fill(_is_same_audio(rows, extra_negatives), -torch.inf))
    forward = functional.cross_entropy(torch.cat(candidates, dim=1), rows.target, reduction="none")
    positive = torch.arange(len(rows.target), device=distorted.device)
    anchors = rows.clean[rows.target]
    # The product is computed again: on a GPU the gradient of indexing columns of `across` is far slower.
    back = anchors @ rows.distorted.T / temperature
    candidates = [back.masked_fill(rows.near_clean[:, rows.target].T, -torch.inf)]
    if negatives == "all":
        same = anchors @ anchors.T / temperature
        candidates.append(same.masked_fill(rows.near_distorted, -torch.inf))
    backward = functional.cross_entropy(torch.cat(candidates, dim=1), positive, reduction="none")
    return ((forward + backward) * rows.share).sum() / 2


def sequence_triplet(
    distorted: Tensor,
    clean: Tensor,
    context: int,
    stride: int,
    weights: Tensor | None = None,
    *,
    margin: float,
    extra_negatives: Tensor | None = None,
) -> Tensor:
    """Pull every anchor towards its positive and push it from a semi-hard negative.

    Every distorted row is an anchor, and every clean row that has a distorted one. An anchor has one
    positive. Its negative is one of its negatives in `sequence_nt_xent` with ``cross``: the semi-hard one,
    which is the nearest that is farther than the positive (Schroff et al. 2015, section 3.2). Beyond the
    margin it costs nothing. If none is farther, the farthest is taken: with the hardest, an untrained network
    would map everything to one point.

    Parameters
    ----------
    distorted, clean, context, stride, weights, extra_negatives
        As in `sequence_nt_xent`.
    margin : float
        Of squared Euclidean distance, which is 2 - 2 cos of unit vectors.

    Returns
    -------
    Tensor, scalar
        Mean over the anchors of ``max(0, d(anchor, positive) - d(anchor, negative) + margin)``. Distorted and
        clean anchors count the same.
    """
    rows = _rows(distorted, clean, context, stride, weights)
    across = _squared_distance(rows.distorted, rows.clean)
    same = _squared_distance(rows.distorted, rows.distorted)
    anchors = torch.arange(len(rows.target), device=distorted.device)
    positive = across[anchors, rows.target]
    negative = ~rows.near_clean
    negative[anchors, rows.target] = False
    candidates, allowed = [across, same], [negative, ~rows.near_distorted]
    if extra_negatives is not None:
        candidates.append(_squared_distance(rows.distorted, extra_negatives))
        allowed.append(~_is_same_audio(rows, extra_negatives))
    forward = _hinge(positive, torch.cat(candidates, dim=1), torch.cat(allowed, dim=1), margin)
    backward = _hinge(positive, across[:, rows.target].T, negative[:, rows.target].T, margin)
    return ((forward + backward) * rows.share).sum() / 2


@torch.no_grad()
def _is_same_audio(rows: _Rows, extra_negatives: Tensor) -> Tensor:
    """Whether extra rows (m, dim) nearly equal each anchor's positive, shape (rows, m)."""
    return rows.clean[rows.target] @ extra_negatives.T > SAME_AUDIO_COSINE


def _squared_distance(a: Tensor, b: Tensor) -> Tensor:
    return 2 - 2 * (a @ b.T)


def _hinge(positive: Tensor, distance: Tensor, allowed: Tensor, margin: float) -> Tensor:
    """Hinge loss (n,) from squared distances of the positives (n,) and of candidates (n, m), some allowed."""
    farther = distance.masked_fill(~allowed | (distance <= positive[:, None]), torch.inf).amin(dim=1)
    farthest = distance.masked_fill(~allowed, -torch.inf).amax(dim=1)
    negative = torch.where(farther.isinf(), farthest, farther)
    return (positive - negative + margin).clamp_min(0)


LOSSES: Final = ("nt-xent", "triplet")
"""Names that `loss_named` accepts."""


def loss_named(name: str, temperature: float, margin: float, negatives: str = "cross") -> SequenceLoss:
    """Return the loss of a name with its settings bound.

    Parameters
    ----------
    name : str
        One of `LOSSES`.
    temperature : float
        Of NT-Xent.
    margin : float
        Of the triplet loss.
    negatives : str
        Of NT-Xent, one of `NEGATIVES`.

    Raises
    ------
    TrainingError
        If there is no loss of that name, or no such choice of negatives.
    """
    if negatives not in NEGATIVES:
        raise TrainingError(f"{negatives}: unknown negatives; use one of {', '.join(NEGATIVES)}")
    if name == "nt-xent":
        return partial(sequence_nt_xent, temperature=temperature, negatives=negatives)
    if name == "triplet":
        return partial(sequence_triplet, margin=margin)
    raise TrainingError(f"{name}: unknown loss; use one of {', '.join(LOSSES)}")
