"""Product quantisation in training, with a straight-through gradient.

A network that trains with exact references spreads its information evenly over all components, and codes of a
few bytes then lose much of it. Here the loss sees each reference as decoded from its codes, and the gradient
passes through as if nothing had been rounded (van den Oord et al. 2017, "Neural discrete representation
learning", section 3.2). So the network learns what survives the quantisation.

The codes are those of `earprint.quantization.codebook`: the nearest list, and the centroids of the residual.
They follow the network: every `REFRESH_STEPS` steps k-means runs again on the rows of the latest steps. The
codebook of a model is learned after training, by `earprint train codebook`.
"""

from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional

from earprint.quantization.codebook import CENTROIDS
from earprint.training.codebook import N_LISTS

KEPT_ROWS: Final = 65_536
"""Latest reference rows, from which the codes are learned."""

ROWS_PER_STEP: Final = 512
"""Rows that one step adds to them."""

REFRESH_STEPS: Final = 128
"""Default for the steps between two updates of the codes."""

FIRST_ROUNDS: Final = 20
"""Rounds of k-means the first time."""

ROUNDS: Final = 2
"""Rounds of k-means in each update."""

BLOCK_ROWS: Final = 8_192
"""Rows compared with all lists at once: 134 MB of inner products."""


class StraightThroughPQ:
    """Replaces fingerprints by their decoded codes; the gradient passes unchanged.

    Parameters
    ----------
    dim : int
        Components of a fingerprint.
    n_subquantizers : int
        Bytes of a code besides the list's two.
    device : torch.device
    seed : int
        Seed of the choice of rows and of the first centroids.
    n_lists, kept_rows, rows_per_step, refresh_steps : int
        See `earprint.training.codebook.N_LISTS`, `KEPT_ROWS`, `ROWS_PER_STEP` and `REFRESH_STEPS`.
    """

    def __init__(
        self,
        dim: int,
        n_subquantizers: int,
        device: torch.device,
        seed: int,
        *,
        n_lists: int = N_LISTS,
        kept_rows: int = KEPT_ROWS,
        rows_per_step: int = ROWS_PER_STEP,
        refresh_steps: int = REFRESH_STEPS,
    ) -> None:
        self.dim, self.n_subquantizers = dim, n_subquantizers
        self.rows_per_step, self.refresh_steps = rows_per_step, refresh_steps
        self.rotated = dim // n_subquantizers * n_subquantizers
        self.generator = torch.Generator(device).manual_seed(seed)
        self.rows = torch.zeros(kept_rows, dim, device=device)
        self.rotation = torch.eye(dim, self.rotated, device=device)
        self.lists = torch.zeros(n_lists, self.rotated, device=device)
        self.centroids = torch.zeros(
            n_subquantizers, CENTROIDS, self.rotated // n_subquantizers, device=device
        )
        self.seen = 0

    def state(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        tensors = {name: getattr(self, name) for name in ("rows", "rotation", "lists", "centroids")}
        return {**tensors, "seen": self.seen, "generator": self.generator.get_state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a state returned by `state`."""
        for name in ("rows", "rotation", "lists", "centroids"):
            getattr(self, name).copy_(state[name])
        self.seen = state["seen"]
        self.generator.set_state(state["generator"].cpu())

    @property
    def ready(self) -> bool:
        """Whether there are enough rows to learn from; until then fingerprints are not replaced."""
        return self.seen >= len(self.rows)

    def quantize(self, fingerprints: Tensor) -> Tensor:
        """Replace unit vectors (..., dim) by their decoded codes, and add some of them to the kept rows."""
        with torch.no_grad():
            exact = fingerprints.detach().float().reshape(-1, self.dim)
            self._keep(exact)
            if not self.ready:
                return fingerprints
            decoded = self.reconstruct(exact).reshape(fingerprints.shape)
        return fingerprints + (decoded - fingerprints).detach()

    def reconstruct(self, rows: Tensor) -> Tensor:
        """Encode and decode rows (n, dim); returns unit vectors (n, dim)."""
        rotated = rows @ self.rotation
        parts = [self._encode(part) for part in torch.split(rotated, BLOCK_ROWS)]
        decoded = torch.cat([self.lists[numbers] + self._chosen(codes) for numbers, _, codes in parts])
        return functional.normalize(decoded @ self.rotation.T, dim=1)

    def _keep(self, rows: Tensor) -> None:
        """Add some rows of a step, and update the codes when it is time."""
        drawn = torch.randint(len(rows), (self.rows_per_step,), generator=self.generator, device=rows.device)
        place = (self.seen + torch.arange(self.rows_per_step, device=rows.device)) % len(self.rows)
        self.rows[place] = rows[drawn]
        before = self.ready
        self.seen += self.rows_per_step
        if self.ready and not before:
            self._initialise()
            self._learn(FIRST_ROUNDS)
        elif self.ready and self.seen % (self.refresh_steps * self.rows_per_step) == 0:
            self._learn(ROUNDS)

    def _initialise(self) -> None:
        """Set the rotation to the principal components, and lists and centroids to random rows."""
        _, _, axes = torch.linalg.svd(self.rows, full_matrices=False)
        # Round robin: the strongest component goes to the first subquantizer, the next to the second.
        order = torch.arange(self.rotated).reshape(-1, self.n_subquantizers).T.flatten()
        self.rotation = axes[: self.rotated][order.to(axes.device)].T.contiguous()
        rotated = self.rows @ self.rotation
        self.lists = functional.normalize(rotated[self._random_rows(len(self.lists))], dim=1)
        residual = rotated[self._random_rows(CENTROIDS)].reshape(CENTROIDS, self.n_subquantizers, -1)
        self.centroids = residual.transpose(0, 1).contiguous() / 2

    def _random_rows(self, count: int) -> Tensor:
        return torch.randint(len(self.rows), (count,), generator=self.generator, device=self.rows.device)

    def _learn(self, rounds: int) -> None:
        """Update lists, centroids and rotation in turn, for some rounds (Ge et al. 2013, section 3)."""
        for _ in range(rounds):
            rotated = self.rows @ self.rotation
            numbers = torch.cat([self._nearest(part) for part in torch.split(rotated, BLOCK_ROWS)])
            lists = functional.normalize(_means(rotated, numbers, self.lists), dim=1)
            # All lists have one length, so the nearest list is the one of the largest inner product.
            self.lists = lists * (rotated * lists[numbers]).sum(dim=1).mean()
            parts = [self._encode(part) for part in torch.split(rotated, BLOCK_ROWS)]
            numbers, residual, codes = (torch.cat(each) for each in zip(*parts, strict=True))
            flat = codes + CENTROIDS * torch.arange(self.n_subquantizers, device=codes.device)
            subvectors = residual.reshape(-1, self.centroids.shape[2])
            flat_centroids = _means(subvectors, flat.flatten(), self.centroids.flatten(0, 1))
            self.centroids = flat_centroids.reshape(self.centroids.shape)
            decoded = self.lists[numbers] + self._chosen(codes)
            u, _, v = torch.linalg.svd(self.rows.T @ decoded, full_matrices=False)
            self.rotation = u @ v

    def _nearest(self, rotated: Tensor) -> Tensor:
        return (rotated @ self.lists.T).argmax(dim=1)

    def _encode(self, rotated: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return lists (n,), residuals (n, rotated), and their codes (n, n_subquantizers)."""
        numbers = self._nearest(rotated)
        residual = rotated - self.lists[numbers]
        subvectors = residual.reshape(len(residual), self.n_subquantizers, -1)
        # |x - c|^2 is least where x c - |c|^2 / 2 is largest.
        nearness = torch.einsum("npd,pkd->npk", subvectors, self.centroids)
        nearness -= (self.centroids**2).sum(dim=2) / 2
        return numbers, residual, nearness.argmax(dim=2)

    def _chosen(self, codes: Tensor) -> Tensor:
        """Concatenate the centroids of codes (n, n_subquantizers); returns (n, rotated)."""
        return self.centroids[torch.arange(self.n_subquantizers, device=codes.device), codes].flatten(1)


def _means(values: Tensor, numbers: Tensor, before: Tensor) -> Tensor:
    """Return the mean of the values of each number; ``before`` where a number has no values."""
    sums = torch.zeros_like(before).index_add_(0, numbers, values)
    counts = torch.bincount(numbers, minlength=len(before))[:, None]
    return torch.where(counts > 0, sums / counts.clamp_min(1), before)
