"""The configuration of a training run, and the values that each network is best trained with."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from earprint.constants import FINGERPRINT_DIM, FRAME_RATE, SEGMENT_FRAMES
from earprint.encoders.dense_geometry import STEP_FRAMES
from earprint.errors import TrainingError
from earprint.training.augmentation import Augmentations
from earprint.training.legacy_settings import current_settings
from earprint.training.losses import LOSSES, NEGATIVES
from earprint.training.networks import NETWORKS, check_dim, network_spec
from earprint.training.sampler import MIN_CLIP_POWER
from earprint.training.settings import Limits, check_choice, check_settings
from earprint.training.tasks import MAX_BEYOND_STEPS

LIMITS: Final[Limits] = {
    "dim": (1, math.inf), "query_beyond_steps": (0, MAX_BEYOND_STEPS), "max_minutes": (1e-4, 1e6),
    "max_steps": (1, 1e9), "audio_per_step_s": (0.1, 1e5), "lengths_s": (0.1, 60),
    "clips_per_track": (1, 10_000), "min_clip_power": (0, 1), "chunk": (0, 1e6), "temperature": (1e-3, 10),
    "margin": (0, 4), "n_subquantizers": (0, math.inf), "memory_bank_size": (0, 1e8),
    "alignment_weight": (0, 1_000), "learning_rate": (0, 1), "weight_decay": (0, 1), "warmup_steps": (0, 1e9),
    "ema_decay": (0, 0.99999), "frozen_norm_share": (0, 1), "validation_percent": (0, 99),
    "validate_every_minutes": (0, 1e6), "validation_queries": (1, 1e6), "seed": (0, 2**63 - 1),
    "threads": (0, 4_096),
}  # fmt: skip
"""Smallest and largest allowed values of the fields of `TrainConfig`."""

CHOICES: Final[Mapping[str, Collection[str]]] = {
    "network": NETWORKS, "loss": LOSSES, "negatives": NEGATIVES,
}  # fmt: skip
"""Allowed values of its fields that are names."""


@dataclass(frozen=True)
class TrainConfig:
    """The settings of a run; written beside its checkpoint as ``config.toml``.

    Attributes
    ----------
    network : str
        Name of the network; `earprint train networks` describes them.
    dim : int
        Components of a fingerprint.
    query_beyond_steps : int
        For ``dense`` networks: additional rows (40 ms each) before and after a query whose windows lie partly
        outside it; an even number, at most 12, half a window.
    max_minutes : float or None
        Training time of all resumed runs together, in minutes; also the length of the schedule. None (in a
        file "none") is no limit.
    max_steps : int or None
        Number of steps; also the length of the schedule. None (in a file "none") is no limit. With both
        limits, the nearer one counts.
    audio_per_step_s : float
        Distorted audio in a batch, in seconds; a batch holds fewer clips when they are longer.
    lengths_s : tuple of float
        Lengths of the distorted clips in seconds, one drawn per step.
    clips_per_track : int
        Clips at distinct positions of one track in a batch, fewer if the track is too short.
    min_clip_power : float
        Mean square, of full scale, that the music of a clip should have.
    chunk : int
        Clips that pass through the network at a time, see `earprint.training.grad_cache`; 0 is the whole
        batch.
    loss : str
        ``nt-xent`` or ``triplet``.
    negatives : str
        Negatives of the clean anchors of NT-Xent: ``all`` or ``cross``, see
        `earprint.training.losses.NEGATIVES`.
    temperature : float
        Temperature of NT-Xent; lower gives hard negatives more weight.
    margin : float
        Margin of the triplet loss, in squared distance.
    n_subquantizers : int
        Subquantizers of the product quantisation that references pass through before the loss compares them,
        see `earprint.training.pq_straight_through`; 0 is without quantisation.
    memory_bank_size : int
        Reference rows of earlier steps that are additional negatives, see `earprint.training.memory_bank`; 0
        is none.
    alignment_weight : float
        For ``dense`` networks: weight of the loss over whole queries, see `earprint.training.alignment_loss`.
    learning_rate, weight_decay : float
        Settings of AdamW; the learning rate is the highest of the schedule.
    warmup_steps : int
        Steps over which the learning rate rises from 0.
    ema_decay : float
        Decay of the averaged weights per step.
    frozen_norm_share : float
        Last share of the run, in which batch norms keep their running statistics.
    validation_percent : int
        Percentage of the sources of music, noise and rooms that are held out.
    validate_every_minutes : float
        Training time between two validations, in minutes.
    validation_queries : int
        Queries of each condition in a validation.
    seed : int
        Seed of the first weights and of everything random.
    threads : int
        CPU threads; 0 is torch's choice.
    augmentation : Augmentations
        What happens to the queries.
    """

    network: str = "dense"
    dim: int = FINGERPRINT_DIM
    query_beyond_steps: int = 0
    max_minutes: float | None = 90.0
    max_steps: int | None = None
    audio_per_step_s: float = 120.0
    lengths_s: tuple[float, ...] = (1.0, 1.4, 2.0, 3.0)
    clips_per_track: int = 1
    min_clip_power: float = MIN_CLIP_POWER
    chunk: int = 0
    loss: str = "nt-xent"
    negatives: str = "cross"
    temperature: float = 0.07
    margin: float = 0.5
    n_subquantizers: int = 0
    memory_bank_size: int = 0
    alignment_weight: float = 0.0
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    warmup_steps: int = 200
    ema_decay: float = 0.998
    frozen_norm_share: float = 0.12
    validation_percent: int = 8
    validate_every_minutes: float = 12.0
    validation_queries: int = 128
    seed: int = 1
    threads: int = 0
    augmentation: Augmentations = field(default_factory=Augmentations)

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            check_choice(name, getattr(self, name), choices)
        check_settings(self, LIMITS)
        if self.max_minutes is None and self.max_steps is None:
            raise TrainingError("a run without an end; set max_minutes or max_steps")
        check_dim(self.network, self.dim)
        if self.query_beyond_steps % 2:
            raise TrainingError(f"query_beyond_steps = {self.query_beyond_steps}: must be even")
        shortest_s = self._shortest_clip_s()
        if min(self.lengths_s) < shortest_s:
            raise TrainingError(
                f"lengths_s = [{', '.join(map(str, self.lengths_s))}]: clips of {self.network} must be "
                f"{shortest_s:g} s or longer"
            )
        if self.n_subquantizers > self.dim:
            raise TrainingError(
                f"n_subquantizers = {self.n_subquantizers}: a fingerprint of {self.dim} components has 1 to "
                f"{self.dim}; 0 is without quantisation"
            )
        if self.alignment_weight and network_spec(self.network).encoder == "windowed":
            raise TrainingError(
                f"alignment_weight = {self.alignment_weight:g}: {self.network} gives one fingerprint of a "
                "query, and the alignment loss compares sequences; leave it out"
            )

    def _shortest_clip_s(self) -> float:
        """Length of a clip that gives one row: a window, less what rows beyond the query may lack of it."""
        beyond = self.query_beyond_steps if network_spec(self.network).encoder == "dense" else 0
        return (SEGMENT_FRAMES - 2 * beyond * STEP_FRAMES) / FRAME_RATE

    def to_dict(self) -> dict[str, Any]:
        """All settings as plain values; those of augmentations by name under ``augmentation``."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**values, "augmentation": self.augmentation.to_dict()}


def augmentations_of(config: Mapping[str, Any]) -> tuple[Augmentations, float]:
    """Augmentations, and the smallest mean square of a clip, of a run's configuration as plain values.

    The run may be of an older version of earprint.
    """
    config = current_settings(config)
    augmentations = Augmentations().disabled().updated_from(config["augmentation"])
    return augmentations, config.get("min_clip_power", TrainConfig.min_clip_power)


def default_config(network: str, **changes: Any) -> TrainConfig:
    """A network's default settings, with some fields changed."""
    check_choice("network", network, NETWORKS)
    changes = {**network_spec(network).training_settings, **changes}
    return TrainConfig(network=network, **changes)
