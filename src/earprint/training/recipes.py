"""What differs between encoders in training: the network, its input and which rows its loss compares."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from earprint.constants import FINGERPRINT_DIM, FRAME_HOP, FRAME_RATE, SAMPLE_RATE, SEGMENT_FRAMES
from earprint.errors import TrainingError
from earprint.features import DENSE_FRONT_END, PAPER_FRONT_END
from earprint.training.front_end import TorchFrontEnd, normalise_batch
from earprint.training.losses import Loss
from earprint.training.networks import RUN_ONCE, AttentionNetwork, build_network
from earprint.training.networks.dense import CONTEXT_LEFT, CONTEXT_RIGHT, HEAD_STEPS, STEP_FRAMES
from earprint.training.sampler import CONTEXT_S, CONTEXT_STEPS, Batch

DECIBELS_PER_NEPER = 10 / torch.log(torch.tensor(10.0)).item()
"""10 log10(x) / ln(x): decibels from a natural logarithm of power."""

SPARSE_FROM_S = 1.2
"""Clips of this length and more have only every second position compared: neighbours tell little more."""


LogMelAugment = Callable[[Tensor], Tensor]
"""Changes log-mel spectrograms, shape (batch, frames, bands)."""

MAX_BEYOND_STEPS = HEAD_STEPS // 2
"""Rows beyond either end of a query that can be trained: the farthest has heard half its window."""


@dataclass(frozen=True)
class Recipe:
    """How one network is trained.

    Attributes
    ----------
    network : nn.Module
    features : callable
        (batch, n) audio to the network's input; second argument an augmentation of the log-mel, or None.
    inputs : callable
        A `Batch` to the network's inputs of the clean and of the distorted side.
    positions : callable
        How many positions of a clip the loss compares, from the clip's length in s.
    weights : callable
        How much each row of a query counts, shape (rows,), from their number.
    loss : callable
        Fingerprints of the distorted and clean side, the clips' length in s, and a loss of
        `earprint.training.losses`; a scalar.
    channels_last : bool
        Whether a GPU is faster with the channels of its maps next to each other: not where norms are taken
        over whole maps.
    """

    network: nn.Module
    features: Callable[[Tensor, LogMelAugment | None], Tensor]
    inputs: Callable[[Batch], tuple[Tensor, Tensor]]
    positions: Callable[[float], int]
    weights: Callable[[int], Tensor]
    loss: Callable[[Tensor, Tensor, float, Loss], Tensor]
    channels_last: bool


def recipe_for(name: str, dim: int = FINGERPRINT_DIM, query_beyond_steps: int = 0) -> Recipe:
    """The recipe of a network by name.

    Parameters
    ----------
    name : str
    dim : int
        Components of a fingerprint.
    query_beyond_steps : int
        For ``dense`` networks: rows of a query whose windows reach beyond either end, at most
        `MAX_BEYOND_STEPS`.

    Raises
    ------
    TrainingError
        If there is no network of that name, or no such number of rows.
    """
    network = build_network(name, dim)
    if name not in RUN_ONCE:
        return _segment_recipe(network)
    if not 0 <= query_beyond_steps <= MAX_BEYOND_STEPS or query_beyond_steps % 2:
        raise TrainingError(
            f"{query_beyond_steps} rows beyond a query; give an even number from 0 to {MAX_BEYOND_STEPS}"
        )
    return _dense_recipe(network, query_beyond_steps)


def heard_share(rows: int, beyond: int) -> Tensor:
    """How much of each row's window lies within the query, shape (rows,), from a half to 1."""
    step = torch.arange(rows)
    inside = torch.minimum(step, rows - 1 - step) - beyond
    return (1 + inside / HEAD_STEPS).clamp(0, 1)


def _dense_recipe(network: nn.Module, beyond: int) -> Recipe:
    front_end = TorchFrontEnd(DENSE_FRONT_END)

    def features(audio: Tensor, augment: LogMelAugment | None, more_frames: int = 0) -> Tensor:
        log_mel: Tensor = front_end.to(audio.device)(audio)
        if augment is not None:
            log_mel = augment(log_mel)
        padding = (0, 0, CONTEXT_LEFT + more_frames, CONTEXT_RIGHT + more_frames)
        return nn.functional.pad(normalise_batch(log_mel), padding)

    def inputs(batch: Batch) -> tuple[Tensor, Tensor]:
        distorted = features(batch.distorted, batch.augment_log_mel, beyond * STEP_FRAMES)
        return features(batch.clean, None), distorted

    def stride(length_s: float) -> int:
        return 1 if length_s < SPARSE_FROM_S and not beyond else 2

    def positions(length_s: float) -> int:
        rows = (round(length_s * FRAME_RATE) - SEGMENT_FRAMES) // STEP_FRAMES + 1 + 2 * beyond
        return -(-rows // stride(length_s))

    def weights(rows: int) -> Tensor:
        # What a window did not hear it cannot tell, and should not be pressed to.
        return heard_share(rows, beyond).square()

    def loss(distorted: Tensor, clean: Tensor, length_s: float, criterion: Loss) -> Tensor:
        row_weights = weights(distorted.shape[1]).to(distorted.device)
        return criterion(distorted, clean, CONTEXT_STEPS - beyond, stride(length_s), row_weights)

    return Recipe(network, features, inputs, positions, weights, loss, channels_last=True)


def _segment_recipe(network: nn.Module) -> Recipe:
    """The recipe of the networks that see one segment at a time, as the paper's does."""
    front_end = TorchFrontEnd(PAPER_FRONT_END)
    samples = SEGMENT_FRAMES * FRAME_HOP
    context = round(CONTEXT_S * SAMPLE_RATE)

    def features(audio: Tensor, augment: LogMelAugment | None) -> Tensor:
        log_mel: Tensor = front_end.to(audio.device)(audio)
        if augment is not None:
            log_mel = augment(log_mel)
        return DECIBELS_PER_NEPER * log_mel

    def inputs(batch: Batch) -> tuple[Tensor, Tensor]:
        # The store holds every track at full scale, so the clean side is at the level that it has in an
        # index; a query of one segment is brought to full scale by itself (paper notes).
        clean = batch.clean[:, context : context + samples]
        distorted = batch.distorted[:, :samples]
        distorted = distorted / distorted.abs().amax(dim=1, keepdim=True).clamp_min(1e-9)
        return features(clean, None), features(distorted, batch.augment_log_mel)

    def loss(distorted: Tensor, clean: Tensor, length_s: float, criterion: Loss) -> Tensor:
        return criterion(distorted[:, None], clean[:, None], 0, 1, None)

    return Recipe(
        network, features, inputs, lambda length_s: 1, torch.ones, loss,
        channels_last=isinstance(network, AttentionNetwork),
    )  # fmt: skip
