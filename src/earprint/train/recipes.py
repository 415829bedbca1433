"""What differs between encoders in training: the network, its input and which rows its loss compares."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from earprint.constants import FINGERPRINT_DIM, SAMPLE_RATE, SEGMENT_FRAMES
from earprint.features import DENSE_FRONT_END, PAPER_FRONT_END
from earprint.train import augment
from earprint.train.front_end import TorchFrontEnd, normalise_batch
from earprint.train.loss import sequence_nt_xent
from earprint.train.networks import build_network
from earprint.train.networks.dense import CONTEXT_LEFT, CONTEXT_RIGHT
from earprint.train.sampler import CONTEXT_S, CONTEXT_STEPS, Batch

DECIBELS_PER_NEPER = 10 / torch.log(torch.tensor(10.0)).item()
"""10 log10(x) / ln(x): decibels from a natural logarithm of power."""


@dataclass(frozen=True)
class Recipe:
    """How one network is trained.

    Attributes
    ----------
    network : nn.Module
    features : callable
        (batch, n) audio to the network's input; second argument the bands to mask, or None.
    inputs : callable
        A `Batch` to the network's inputs of the clean and of the distorted side.
    loss : callable
        Fingerprints of the distorted and clean side, length in s, temperature; a scalar.
    """

    network: nn.Module
    features: Callable[[Tensor, tuple[Tensor, Tensor] | None], Tensor]
    inputs: Callable[[Batch], tuple[Tensor, Tensor]]
    loss: Callable[[Tensor, Tensor, float, float], Tensor]


def recipe_for(name: str, dim: int = FINGERPRINT_DIM) -> Recipe:
    """The recipe of a network by name; raises TrainingError if there is none of that name."""
    network = build_network(name, dim)
    return _dense_recipe(network) if name == "dense" else _segment_recipe(network)


def _dense_recipe(network: nn.Module) -> Recipe:
    front_end = TorchFrontEnd(DENSE_FRONT_END)

    def features(audio: Tensor, mask: tuple[Tensor, Tensor] | None) -> Tensor:
        log_mel: Tensor = front_end.to(audio.device)(audio)
        if mask is not None:
            log_mel = augment.mask_bands(log_mel, *mask)
        padding = (0, 0, CONTEXT_LEFT, CONTEXT_RIGHT)
        return nn.functional.pad(normalise_batch(log_mel), padding)

    def inputs(batch: Batch) -> tuple[Tensor, Tensor]:
        mask = (batch.mask_first, batch.mask_width)
        return features(batch.clean, None), features(batch.distorted, mask)

    def loss(distorted: Tensor, clean: Tensor, length_s: float, temperature: float) -> Tensor:
        stride = 1 if length_s < 1.2 else 2
        return sequence_nt_xent(distorted, clean, CONTEXT_STEPS, stride, temperature)

    return Recipe(network, features, inputs, loss)


def _segment_recipe(network: nn.Module) -> Recipe:
    """The recipe of the networks that see one segment at a time, as the paper's does."""
    front_end = TorchFrontEnd(PAPER_FRONT_END)
    samples = round(SEGMENT_FRAMES / 100 * SAMPLE_RATE)
    context = round(CONTEXT_S * SAMPLE_RATE)

    def features(audio: Tensor, mask: tuple[Tensor, Tensor] | None) -> Tensor:
        log_mel: Tensor = front_end.to(audio.device)(audio)
        if mask is not None:
            log_mel = augment.mask_bands(log_mel, *mask)
        return DECIBELS_PER_NEPER * log_mel

    def inputs(batch: Batch) -> tuple[Tensor, Tensor]:
        # The store holds every track at full scale, so the clean side is at the level that it has in an
        # index; a query of one segment is brought to full scale by itself (paper notes).
        clean = batch.clean[:, context : context + samples]
        distorted = batch.distorted[:, :samples]
        distorted = distorted / distorted.abs().amax(dim=1, keepdim=True).clamp_min(1e-9)
        return features(clean, None), features(distorted, (batch.mask_first, batch.mask_width))

    def loss(distorted: Tensor, clean: Tensor, length_s: float, temperature: float) -> Tensor:
        return sequence_nt_xent(distorted[:, None], clean[:, None], 0, 1, temperature)

    return Recipe(network, features, inputs, loss)
