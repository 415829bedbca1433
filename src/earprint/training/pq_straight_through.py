"""Codes while training: references are compared as what a compact library would keep of them.

A network that learns with exact references spreads what it knows over all components alike, and codes of a
few bytes then lose much of it. Here the loss sees each reference as its codes stand for it, and the gradient
passes through as if nothing had been rounded (van den Oord et al. 2017, "Neural discrete representation
learning", section 3.2): so the network learns what survives.

The codes are those of `earprint.quantization.codebook`: a list, and centroids of the pieces of what the list
leaves. They follow the network: every `REFRESH_STEPS` steps they are learned on, from the rows of the steps
before. The codebook that is shipped is learned in the end by `earprint train codebook`.
"""

from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional

from earprint.quantization.codebook import CENTROIDS
from earprint.training.codebook import N_LISTS

KEPT_ROWS: Final = 65_536
"""Latest reference rows that codes are learned from."""

ROWS_PER_STEP: Final = 512
"""Of these, rows that one step brings."""

REFRESH_STEPS: Final = 128
"""Steps after which the codes are learned on."""

FIRST_ROUNDS: Final = 20
"""Rounds of k-means when they are learned first."""

ROUNDS: Final = 2
"""Rounds each time they are learned on."""

AT_A_TIME: Final = 8_192
"""Rows compared with all lists at a time: 134 MB of products."""


class CodesInTraining:
    """Replaces fingerprints by what their codes stand for.

    Parameters
    ----------
    dim : int
        Components of a fingerprint.
    pieces : int
        Bytes of a row besides its list.
    device : torch.device
    seed : int
        Of the rows that are kept and of the first centroids.
    n_lists, kept_rows : int
        See `earprint.training.codebook.N_LISTS` and `KEPT_ROWS`.
    """

    def __init__(
        self,
        dim: int,
        pieces: int,
        device: torch.device,
        seed: int,
        *,
        n_lists: int = N_LISTS,
        kept_rows: int = KEPT_ROWS,
    ) -> None:
        self.dim, self.pieces = dim, pieces
        self.rotated = dim // pieces * pieces
        self.generator = torch.Generator(device).manual_seed(seed)
        self.rows = torch.zeros(kept_rows, dim, device=device)
        self.rotation = torch.eye(dim, self.rotated, device=device)
        self.lists = torch.zeros(n_lists, self.rotated, device=device)
        self.centroids = torch.zeros(pieces, CENTROIDS, self.rotated // pieces, device=device)
        self.seen = 0

    def state(self) -> dict[str, Any]:
        """What the next steps depend on, for a checkpoint."""
        tensors = {name: getattr(self, name) for name in ("rows", "rotation", "lists", "centroids")}
        return {**tensors, "seen": self.seen, "generator": self.generator.get_state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from where `state` was taken."""
        for name in ("rows", "rotation", "lists", "centroids"):
            getattr(self, name).copy_(state[name])
        self.seen = state["seen"]
        self.generator.set_state(state["generator"].cpu())

    @property
    def ready(self) -> bool:
        """Whether there were rows enough to learn from: until then nothing is replaced."""
        return self.seen >= len(self.rows)

    def of(self, fingerprints: Tensor) -> Tensor:
        """Replace fingerprints (..., dim), unit vectors, by what their codes stand for; rows are noted."""
        with torch.no_grad():
            exact = fingerprints.detach().float().reshape(-1, self.dim)
            self._note(exact)
            if not self.ready:
                return fingerprints
            decoded = self.decoded(exact).reshape(fingerprints.shape)
        return fingerprints + (decoded - fingerprints).detach()

    def decoded(self, rows: Tensor) -> Tensor:
        """What the codes of rows (n, dim) stand for, unit vectors (n, dim)."""
        rotated = rows @ self.rotation
        parts = [self._split(part) for part in torch.split(rotated, AT_A_TIME)]
        stands_for = torch.cat([self.lists[numbers] + self._chosen(codes) for numbers, _, codes in parts])
        return functional.normalize(stands_for @ self.rotation.T, dim=1)

    def _note(self, rows: Tensor) -> None:
        """Keep some of a step's rows, and learn on when it is time."""
        drawn = torch.randint(len(rows), (ROWS_PER_STEP,), generator=self.generator, device=rows.device)
        place = (self.seen + torch.arange(ROWS_PER_STEP, device=rows.device)) % len(self.rows)
        self.rows[place] = rows[drawn]
        before = self.ready
        self.seen += ROWS_PER_STEP
        if self.ready and not before:
            self._begin()
            self._learn(FIRST_ROUNDS)
        elif self.ready and self.seen % (REFRESH_STEPS * ROWS_PER_STEP) == 0:
            self._learn(ROUNDS)

    def _begin(self) -> None:
        """Take the principal components, dealt out to the pieces, and some rows."""
        _, _, axes = torch.linalg.svd(self.rows, full_matrices=False)
        # The strongest component goes to the first piece, the next to the second, and so on around.
        order = torch.arange(self.rotated).reshape(-1, self.pieces).T.flatten()
        self.rotation = axes[: self.rotated][order.to(axes.device)].T.contiguous()
        rotated = self.rows @ self.rotation
        self.lists = functional.normalize(rotated[self._some(len(self.lists))], dim=1)
        left = rotated[self._some(CENTROIDS)].reshape(CENTROIDS, self.pieces, -1)
        self.centroids = left.transpose(0, 1).contiguous() / 2

    def _some(self, count: int) -> Tensor:
        return torch.randint(len(self.rows), (count,), generator=self.generator, device=self.rows.device)

    def _learn(self, rounds: int) -> None:
        """A few rounds of lists, centroids and rotation, each by the others (Ge et al. 2013, section 3)."""
        for _ in range(rounds):
            rotated = self.rows @ self.rotation
            numbers = torch.cat([self._nearest(part) for part in torch.split(rotated, AT_A_TIME)])
            lists = functional.normalize(_means(rotated, numbers, self.lists), dim=1)
            # One length for all: then the nearest list is the one of the largest inner product.
            self.lists = lists * (rotated * lists[numbers]).sum(dim=1).mean()
            parts = [self._split(part) for part in torch.split(rotated, AT_A_TIME)]
            numbers, left, codes = (torch.cat(each) for each in zip(*parts, strict=True))
            flat = codes + CENTROIDS * torch.arange(self.pieces, device=codes.device)
            pieces = left.reshape(-1, self.centroids.shape[2])
            flat_centroids = _means(pieces, flat.flatten(), self.centroids.flatten(0, 1))
            self.centroids = flat_centroids.reshape(self.centroids.shape)
            stands_for = self.lists[numbers] + self._chosen(codes)
            u, _, v = torch.linalg.svd(self.rows.T @ stands_for, full_matrices=False)
            self.rotation = u @ v

    def _nearest(self, rotated: Tensor) -> Tensor:
        return (rotated @ self.lists.T).argmax(dim=1)

    def _split(self, rotated: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Lists (n,), what they leave (n, rotated), and the codes of its pieces (n, pieces)."""
        numbers = self._nearest(rotated)
        left = rotated - self.lists[numbers]
        pieces = left.reshape(len(left), self.pieces, -1)
        # |x - c|^2 is least where x c - |c|^2 / 2 is largest.
        nearness = torch.einsum("npd,pkd->npk", pieces, self.centroids)
        nearness -= (self.centroids**2).sum(dim=2) / 2
        return numbers, left, nearness.argmax(dim=2)

    def _chosen(self, codes: Tensor) -> Tensor:
        """The centroids of codes (n, pieces), one after another, (n, rotated)."""
        return self.centroids[torch.arange(self.pieces, device=codes.device), codes].flatten(1)


def _means(values: Tensor, numbers: Tensor, before: Tensor) -> Tensor:
    """Mean of the values of each number, and what was there before where there are none."""
    sums = torch.zeros_like(before).index_add_(0, numbers, values)
    counts = torch.bincount(numbers, minlength=len(before))[:, None]
    return torch.where(counts > 0, sums / counts.clamp_min(1), before)
