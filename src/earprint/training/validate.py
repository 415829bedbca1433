"""Validation during training: the top-1 hit rate of held-out queries among held-out references.

It takes seconds, unlike `earprint evaluate`, and searches exhaustively. References are the clean clips of
held-out tracks. Queries are their distorted middles of 1 s or 3 s, mixed with held-out noise and rooms. A
query is a hit if its mean weighted similarity over all rows is highest at the right position of the right
clip.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from earprint.training.augmentation import Augmentations
from earprint.training.networks import reference_side
from earprint.training.packed_audio import Pack
from earprint.training.sampler import Sampler
from earprint.training.tasks import Task

BATCH_CLIPS = 16
"""Clips drawn and fingerprinted at once."""

CONDITIONS = {
    "1 s noise 0 dB": (1.0, 0.0, False),
    "1 s room + noise 5 dB": (1.0, 5.0, True),
    "3 s room + noise 0 dB": (3.0, 0.0, True),
}
"""By name: length in seconds, SNR in dB, and whether there is reverberation."""


class Validation:
    """Fixed queries over held-out music, noise and rooms, the same in each validation.

    Parameters
    ----------
    music, noise, rooms : Pack
    queries : int
        Queries of each condition.
    """

    def __init__(self, music: Pack, noise: Pack, rooms: Pack, queries: int = 128) -> None:
        self.packs, self.queries = (music, noise, rooms), queries

    def describe(self) -> str:
        """Return a text with the number of held-out tracks, noises and rooms."""
        music, noise, rooms = (len(pack.items) for pack in self.packs)
        return f"{music} tracks, {noise} noises, {rooms} rooms held out"

    def measure(self, network: nn.Module, task: Task, device: torch.device) -> dict[str, float]:
        """Return the hit rate of each condition, from 0 to 1."""
        hit_rates = {}
        for number, (name, (length_s, snr_db, rooms)) in enumerate(CONDITIONS.items()):
            augmentations = Augmentations.noise_only((snr_db, snr_db), room={"probability": float(rooms)})
            sampler = Sampler(*self.packs, augmentations, device, seed=100 + number)
            references, queries, tracks = [], [], []
            for _ in range(max(1, self.queries // BATCH_CLIPS)):
                batch = sampler.draw(min(BATCH_CLIPS, len(self.packs[0].items)), length_s)
                tracks.append(batch.tracks)
                clean, distorted = task.inputs(batch)
                references.append(reference_side(network)(clean))
                rows = _rows(network(distorted))
                queries.append(rows * task.row_weights(rows.shape[1]).to(rows.device)[:, None])
            sides = _rows(torch.cat(queries)), _rows(torch.cat(references))
            hit_rates[name] = hit_rate(*sides, np.concatenate(tracks))
        return hit_rates


def _rows(fingerprints: Tensor) -> Tensor:
    """Reshape (batch, dim) of windowed networks to (batch, 1, dim)."""
    return fingerprints if fingerprints.dim() == 3 else fingerprints[:, None]


def hit_rate(queries: Tensor, references: Tensor, tracks: NDArray[np.int64] | None = None) -> float:
    """Return the share of queries whose best alignment over all references is the right one.

    Parameters
    ----------
    queries : Tensor, shape (batch, n, dim)
    references : Tensor, shape (batch, m, dim), m >= n
        Row ``i + (m - n) / 2`` of clip b is the positive of row ``i`` of query b. A position up to two rows
        away counts as right.
    tracks : ndarray of int64, shape (batch,), optional
        Number of each clip's track; other clips of the same track are left out.
    """
    n, m = queries.shape[1], references.shape[1]
    scores = torch.zeros(len(queries), len(references), m - n + 1, device=queries.device)
    for row in range(n):
        scores += torch.einsum("qd,rmd->qrm", queries[:, row], references[:, row : row + m - n + 1])
    if tracks is not None:
        other = torch.from_numpy(tracks[:, None] == tracks).fill_diagonal_(False).to(scores.device)
        scores = scores.masked_fill(other[:, :, None], -torch.inf)
    best = scores.flatten(1).argmax(dim=1).cpu().numpy()
    clip, place = best // (m - n + 1), best % (m - n + 1)
    right = (clip == np.arange(len(queries))) & (np.abs(place - (m - n) // 2) <= 2)
    return float(right.mean())
