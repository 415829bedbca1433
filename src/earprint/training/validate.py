"""Validation while training: how often held-out queries find their place among held-out references.

A quick proxy of the real evaluation: single-pass, exhaustive, no sequence search. References are the
held-out tracks; queries are one-second and three-second crops, mixed with held-out noise and rooms; a hit
is a query whose mean similarity over its rows is highest at the right track and place.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from earprint.training.augmentation import Augmentations
from earprint.training.networks import reference_side
from earprint.training.recipes import Recipe
from earprint.training.sampler import Sampler
from earprint.training.store import Pack

AT_A_TIME = 16
"""Clips drawn and embedded at a time."""

CONDITIONS = {
    "1 s noise 0 dB": (1.0, 0.0, False),
    "1 s room + noise 5 dB": (1.0, 5.0, True),
    "3 s room + noise 0 dB": (3.0, 0.0, True),
}
"""Length in s, SNR in dB, with rooms."""


class Validation:
    """Fixed queries over held-out music, noise and rooms, measured as often as wanted.

    Parameters
    ----------
    music, noise, rooms : Pack
    queries : int
        Of each condition.
    """

    def __init__(self, music: Pack, noise: Pack, rooms: Pack, queries: int = 128) -> None:
        self.packs, self.queries = (music, noise, rooms), queries

    def describe(self) -> str:
        """Say how many tracks, noises and rooms are held out."""
        music, noise, rooms = (len(pack.items) for pack in self.packs)
        return f"{music} tracks, {noise} noises, {rooms} rooms held out"

    def measure(self, network: nn.Module, recipe: Recipe, device: torch.device) -> dict[str, float]:
        """Share of queries whose nearest reference clip is their own, by condition."""
        out = {}
        for number, (name, (length_s, snr_db, rooms)) in enumerate(CONDITIONS.items()):
            augmentations = Augmentations.noise_only((snr_db, snr_db), room={"probability": float(rooms)})
            sampler = Sampler(*self.packs, augmentations, device, seed=100 + number)
            references, queries, tracks = [], [], []
            for _ in range(max(1, self.queries // AT_A_TIME)):
                batch = sampler.draw(min(AT_A_TIME, len(self.packs[0].items)), length_s)
                tracks.append(batch.tracks)
                clean, distorted = recipe.inputs(batch)
                references.append(reference_side(network)(clean))
                rows = _rows(network(distorted))
                queries.append(rows * recipe.weights(rows.shape[1]).to(rows.device)[:, None])
            found = _rows(torch.cat(queries)), _rows(torch.cat(references))
            out[name] = hit_rate(*found, np.concatenate(tracks))
        return out


def _rows(fingerprints: Tensor) -> Tensor:
    """(batch, rows, dim), also for networks that give one fingerprint per clip."""
    return fingerprints if fingerprints.dim() == 3 else fingerprints[:, None]


def hit_rate(queries: Tensor, references: Tensor, tracks: NDArray[np.int64] | None = None) -> float:
    """Share of queries whose best alignment over all references is the right one.

    Parameters
    ----------
    queries : Tensor, shape (batch, n, dim)
    references : Tensor, shape (batch, m, dim), m >= n
        Row ``i + (m - n) / 2`` of clip b is the right answer to row ``i`` of query b; a place up to two
        rows away counts as right.
    tracks : ndarray of int64, shape (batch,), optional
        Number of each clip's track; other clips of the same track are not compared with.
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
