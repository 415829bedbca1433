"""What a training run is made of, and the values each network is best trained with here."""

from dataclasses import dataclass, field
from typing import Any

from earprint.constants import FINGERPRINT_DIM
from earprint.errors import TrainingError
from earprint.training.distortions import Distortions
from earprint.training.losses import NEGATIVES
from earprint.training.networks import network_spec


@dataclass(frozen=True)
class TrainConfig:
    """The settings of a run; written beside its checkpoint.

    Attributes
    ----------
    network : str
        A key of `earprint.training.networks.NETWORKS`.
    dim : int
        Components of a fingerprint.
    query_beyond_steps : int
        For ``dense`` networks: rows before and after a query whose windows reach beyond it and are trained
        too, one each 40 ms; at most 12, half a window.
    max_minutes : float or None
        Training time over all resumed runs together, in minutes; also the length of the schedule. None for
        no limit.
    max_steps : int or None
        Stop after so many steps. With both limits, the nearer one counts.
    audio_per_step_s : float
        Distorted audio in a batch, in seconds; a batch holds fewer clips when they are longer.
    lengths_s : tuple of float
        Lengths of the distorted clips, one drawn per step.
    clips_per_track : int
        Clips at distinct places of one track in a batch, as far as the track has room for them.
    chunk : int
        Clips that pass through the network at a time, see `earprint.training.grad_cache`; 0 for the whole batch.
    loss : str
        A key of `earprint.training.losses.LOSSES`.
    temperature : float
        Of NT-Xent.
    margin : float
        Of the triplet loss, in squared distance.
    learning_rate, weight_decay : float
        AdamW's; the rate is the highest of the schedule.
    warmup_steps : int
    ema_decay : float
        Of the averaged weights, per step.
    frozen_norm_share : float
        Last share of the run in which batch norms keep their running statistics.
    validation_percent : int
        Share of groups (sources) held out of music, noise and rooms.
    validate_every_minutes : float
    validation_queries : int
        Of each condition.
    seed : int
    threads : int
        CPU threads, 0 for torch's choice.
    n_subquantizers : int
        Subquantizers of the product quantisation that references pass through, see
        `earprint.training.pq_straight_through`; 0 compares exact references.
    memory_bank_size : int
        Reference rows of earlier steps that are extra negatives, see `earprint.training.memory_bank`; 0 for none.
    alignment_weight : float
        For ``dense`` networks: weight of the loss over whole queries, see `earprint.training.alignment_loss`.
    distortions : Distortions
        What happens to the queries.
    negatives : str
        Negatives of the clean anchors of NT-Xent: ``all`` or ``cross``, see `earprint.training.losses.NEGATIVES`.
    """

    network: str = "dense"
    dim: int = FINGERPRINT_DIM
    query_beyond_steps: int = 0
    max_minutes: float | None = 90.0
    max_steps: int | None = None
    audio_per_step_s: float = 120.0
    lengths_s: tuple[float, ...] = (1.0, 1.4, 2.0, 3.0)
    clips_per_track: int = 1
    chunk: int = 0
    loss: str = "nt-xent"
    temperature: float = 0.07
    margin: float = 0.5
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
    n_subquantizers: int = 0
    memory_bank_size: int = 0
    alignment_weight: float = 0.0
    distortions: Distortions = field(default_factory=Distortions)
    negatives: str = "cross"

    def __post_init__(self) -> None:
        if self.max_minutes is None and self.max_steps is None:
            raise TrainingError("a run without an end; give --max-minutes or --max-steps")
        if not 0 <= self.n_subquantizers <= self.dim:
            raise TrainingError(
                f"{self.n_subquantizers} subquantizers: a fingerprint of {self.dim} components has 1 to "
                f"{self.dim}; 0 compares exact references"
            )
        if self.negatives not in NEGATIVES:
            raise TrainingError(f"negatives {self.negatives}: use one of {', '.join(NEGATIVES)}")
        if self.alignment_weight and network_spec(self.network).encoder == "windowed":
            raise TrainingError(
                f"{self.network} gives one fingerprint of a query, and --alignment-weight compares sequences; "
                "leave it out"
            )


def default_config(network: str, **changes: Any) -> TrainConfig:
    """Return a network's default settings, with some fields changed."""
    changes = {**network_spec(network).training_settings, **changes}
    return TrainConfig(network=network, **changes)
