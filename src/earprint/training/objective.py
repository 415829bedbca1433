"""The objective of a run: its losses, and what they compare a step's fingerprints with.

The main loss compares rows (`earprint.training.losses`). Optional parts: references may pass through product
quantisation first (`earprint.training.pq_straight_through`), a memory bank may give extra negatives
(`earprint.training.memory_bank`), and a second loss may compare whole queries with whole alignments
(`earprint.training.alignment_loss`).
"""

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from earprint.training.alignment_loss import REFERENCE_STEPS, alignment_nt_xent
from earprint.training.config import TrainConfig
from earprint.training.losses import loss_named
from earprint.training.memory_bank import MemoryBank
from earprint.training.pq_straight_through import StraightThroughPQ
from earprint.training.tasks import Task


class Objective:
    """The loss of a run.

    Parameters
    ----------
    task : Task
    config : TrainConfig
    device : torch.device
    rng : numpy.random.Generator
        Draws the rows by which alignments are compared.
    """

    def __init__(
        self, task: Task, config: TrainConfig, device: torch.device, rng: np.random.Generator
    ) -> None:
        self.task, self.config, self.rng = task, config, rng
        self.criterion = loss_named(config.loss, config.temperature, config.margin, config.negatives)
        self.quantizer: StraightThroughPQ | None = None
        if config.n_subquantizers:
            self.quantizer = StraightThroughPQ(config.dim, config.n_subquantizers, device, config.seed)
        self.memory_bank: MemoryBank | None = None
        if config.memory_bank_size:
            self.memory_bank = MemoryBank(config.memory_bank_size, config.dim, device, config.seed)

    def __call__(self, distorted: Tensor, clean: Tensor, length_s: float) -> Tensor:
        """Compute the loss of a step, a scalar, and remember its references.

        Parameters
        ----------
        distorted, clean : Tensor, shape (batch, rows, dim)
            Or (batch, dim), from networks that give one fingerprint per clip.
        length_s : float
            Length of the distorted clips, in seconds.
        """
        if self.quantizer is not None:
            clean = self.quantizer.quantize(clean)
        criterion = self.criterion
        if self.memory_bank is not None:
            criterion = partial(criterion, extra_negatives=self.memory_bank.embeddings)
        loss = self.task.loss(distorted, clean, length_s, criterion)
        if self.config.alignment_weight:
            loss = loss + self.config.alignment_weight * self._alignment_loss(distorted, clean)
        if self.memory_bank is not None:
            self.memory_bank.add(clean)
        return loss

    def _alignment_loss(self, distorted: Tensor, clean: Tensor) -> Tensor:
        rows = distorted.shape[1]
        phase = int(self.rng.integers(min(REFERENCE_STEPS, rows)))
        # Row weights are squared shares already; matching squares the weight again in its score.
        weights = self.task.row_weights(rows).square().to(distorted.device)
        return alignment_nt_xent(distorted, clean, phase, weights)

    def state(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        return {
            "codes": None if self.quantizer is None else self.quantizer.state(),
            "bank": None if self.memory_bank is None else self.memory_bank.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a state returned by `state`."""
        for part, saved in ((self.quantizer, state.get("codes")), (self.memory_bank, state.get("bank"))):
            if part is not None and saved is not None:
                part.restore(saved)
