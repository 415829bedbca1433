"""Cross-batch memory: reference rows of earlier steps as extra negatives of queries.

A library holds millions of fingerprints, a batch about ten thousand. Rows of earlier steps are free to use
again, and they stay close to what the reference network gives as long as it is frozen or changes slowly (Wang
et al. 2020, "Cross-batch memory for embedding learning"). Some of them are of the same audio as a query's
positive; `earprint.training.losses` excludes those that nearly equal it.
"""

from typing import Any, Final

import torch
from torch import Tensor

ROWS_PER_STEP: Final = 4_096
"""Default for the most rows that one step adds: a memory then covers the last few dozen steps."""


class MemoryBank:
    """A ring buffer of the latest reference rows.

    Parameters
    ----------
    size : int
        Rows it holds.
    dim : int
        Components of a fingerprint.
    device : torch.device
    seed : int
        Seed of the choice of rows.
    rows_per_step : int
        Most rows that one step adds.
    """

    def __init__(
        self, size: int, dim: int, device: torch.device, seed: int, rows_per_step: int = ROWS_PER_STEP
    ) -> None:
        self._embeddings = torch.zeros(size, dim, device=device)
        self._generator = torch.Generator(device).manual_seed(seed)
        self._rows_per_step = rows_per_step
        self._seen = 0

    @property
    def embeddings(self) -> Tensor:
        """Its unit vectors, shape (at most ``size``, dim): a copy, which later steps do not change."""
        return self._embeddings[: self._seen].clone()

    @torch.no_grad()
    def add(self, fingerprints: Tensor) -> None:
        """Put a random choice of fingerprints (..., dim) in the place of the oldest rows."""
        rows = fingerprints.detach().float().reshape(-1, self._embeddings.shape[1])
        count = min(self._rows_per_step, len(rows), len(self._embeddings))
        drawn = torch.randperm(len(rows), generator=self._generator, device=rows.device)[:count]
        place = (self._seen + torch.arange(count, device=rows.device)) % len(self._embeddings)
        self._embeddings[place] = rows[drawn]
        self._seen += count

    def state(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        return {"rows": self._embeddings, "seen": self._seen, "generator": self._generator.get_state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a state returned by `state`."""
        self._embeddings.copy_(state["rows"])
        self._seen = state["seen"]
        self._generator.set_state(state["generator"].cpu())
