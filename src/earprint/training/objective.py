"""What a step's fingerprints are compared with, and by which losses.

The loss proper compares rows (`earprint.training.losses`). Before it, references may become what their codes stand
for (`earprint.training.pq_straight_through`); besides it, rows of earlier steps may be among the wrong ones
(`earprint.training.memory_bank`), and whole queries may be compared with whole alignments
(`earprint.training.alignment_loss`).
"""

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from earprint.training.alignment_loss import EVERY, alignment_nt_xent
from earprint.training.config import TrainConfig
from earprint.training.losses import loss_named
from earprint.training.memory_bank import Bank
from earprint.training.pq_straight_through import CodesInTraining
from earprint.training.recipes import Recipe


class Contrast:
    """The loss of a run.

    Parameters
    ----------
    recipe : Recipe
    config : TrainConfig
    device : torch.device
    rng : numpy.random.Generator
        Draws the rows that alignments are compared by.
    """

    def __init__(
        self, recipe: Recipe, config: TrainConfig, device: torch.device, rng: np.random.Generator
    ) -> None:
        self.recipe, self.config, self.rng = recipe, config, rng
        self.criterion = loss_named(config.loss, config.temperature, config.margin)
        self.codes: CodesInTraining | None = None
        if config.pieces:
            self.codes = CodesInTraining(config.dim, config.pieces, device, config.seed)
        self.bank = Bank(config.bank, config.dim, device, config.seed) if config.bank else None

    def __call__(self, distorted: Tensor, clean: Tensor, length_s: float) -> Tensor:
        """The loss of a step, a scalar; its references are noted for the next steps.

        Parameters
        ----------
        distorted, clean : Tensor, shape (batch, rows, dim)
            Or (batch, dim) of networks that give one fingerprint per clip.
        length_s : float
            Of the distorted clips.
        """
        if self.codes is not None:
            clean = self.codes.of(clean)
        criterion = self.criterion
        if self.bank is not None:
            criterion = partial(criterion, others=self.bank.rows)
        loss = self.recipe.loss(distorted, clean, length_s, criterion)
        if self.config.alignment:
            loss = loss + self.config.alignment * self._of_alignments(distorted, clean)
        if self.bank is not None:
            self.bank.add(clean)
        return loss

    def _of_alignments(self, distorted: Tensor, clean: Tensor) -> Tensor:
        rows = distorted.shape[1]
        phase = int(self.rng.integers(min(EVERY, rows)))
        # Trained with the square of what a row heard; matching weighs by the square of that.
        weights = self.recipe.weights(rows).square().to(distorted.device)
        return alignment_nt_xent(distorted, clean, phase, weights)

    def state(self) -> dict[str, Any]:
        """What the next steps depend on, for a checkpoint."""
        return {
            "codes": None if self.codes is None else self.codes.state(),
            "bank": None if self.bank is None else self.bank.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from where `state` was taken."""
        for own, kept in ((self.codes, state.get("codes")), (self.bank, state.get("bank"))):
            if own is not None and kept is not None:
                own.restore(kept)
