"""Reference rows of earlier steps, for queries to tell from their own besides those of their batch.

A library holds millions of fingerprints, a batch ten thousand. Rows of the steps before cost nothing to make
again, and while the references' network is frozen, or changes slowly, they still are what it stores (Wang et
al. 2020, "Cross-batch memory for embedding learning"). Some of them are of the very place that a query is of;
`earprint.training.losses` leaves out those that are nearly the same as what the query should find.
"""

from typing import Any, Final

import torch
from torch import Tensor

ROWS_PER_STEP: Final = 4_096
"""Reference rows that one step brings, at most: a bank is of the last few dozen steps."""


class Bank:
    """The latest reference rows.

    Parameters
    ----------
    rows : int
        How many it keeps.
    dim : int
        Components of a fingerprint.
    device : torch.device
    seed : int
        Of which rows of a step are kept.
    """

    def __init__(self, rows: int, dim: int, device: torch.device, seed: int) -> None:
        self._rows = torch.zeros(rows, dim, device=device)
        self._generator = torch.Generator(device).manual_seed(seed)
        self._seen = 0

    @property
    def rows(self) -> Tensor:
        """What it holds, unit vectors (at most ``rows``, dim): a copy, which later rows do not change."""
        return self._rows[: self._seen].clone()

    @torch.no_grad()
    def add(self, fingerprints: Tensor) -> None:
        """Keep some rows of fingerprints (..., dim), in the place of the oldest."""
        rows = fingerprints.detach().float().reshape(-1, self._rows.shape[1])
        count = min(ROWS_PER_STEP, len(rows), len(self._rows))
        drawn = torch.randperm(len(rows), generator=self._generator, device=rows.device)[:count]
        place = (self._seen + torch.arange(count, device=rows.device)) % len(self._rows)
        self._rows[place] = rows[drawn]
        self._seen += count

    def state(self) -> dict[str, Any]:
        """What the next steps depend on, for a checkpoint."""
        return {"rows": self._rows, "seen": self._seen, "generator": self._generator.get_state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from where `state` was taken."""
        self._rows.copy_(state["rows"])
        self._seen = state["seen"]
        self._generator.set_state(state["generator"].cpu())
