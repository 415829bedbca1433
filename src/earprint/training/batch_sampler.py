"""Which clips and which augmentations make up a batch: small arrays, drawn on the CPU.

One generator draws everything, in an order that depends only on the settings and the store. So the same seed
gives the same batches on every device. `earprint.training.sampler` reads and augments the audio.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from earprint.training.augmentation import Augmentation, Augmentations
from earprint.training.augmentation.base import DrawnAugmentation, draw_all
from earprint.training.augmentation.reading import CONTEXT
from earprint.training.augmentation.sources import Clips, Int, Sources

POSITIONS_TRIED = 4
"""Positions drawn for a clip, at most, until one is loud enough."""


@dataclass(frozen=True)
class BatchParams:
    """What one batch is made of.

    Attributes
    ----------
    clips : Clips
        What is read.
    augmentations : list of DrawnAugmentation
        In the order in which they are applied.
    """

    clips: Clips
    augmentations: list[DrawnAugmentation]

    def of(self, kind: type[Augmentation]) -> list[DrawnAugmentation]:
        """Augmentations of one base class."""
        return [drawn for drawn in self.augmentations if isinstance(drawn.augmentation, kind)]


class BatchSampler:
    """Draws batches.

    Parameters
    ----------
    sources : Sources
    augmentations : Augmentations
    seed : int
    min_power : float
        Mean square, of full scale, that a clip should have (energy gate, notes on the paper).
    """

    def __init__(self, sources: Sources, augmentations: Augmentations, seed: int, min_power: float) -> None:
        self.sources, self.augmentations, self.min_power = sources, augmentations, min_power
        self.music = sources.music
        self.rng = np.random.default_rng(seed)
        self.waiting: list[int] = []

    def state(self) -> dict[str, Any]:
        """What the next batches depend on, for a checkpoint."""
        return {"generator": self.rng.bit_generator.state, "order": self.waiting}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a `state`."""
        self.rng.bit_generator.state = state["generator"]
        self.waiting = list(state["order"])

    def draw(self, batch: int, n: int, clips_per_track: int) -> BatchParams:
        """Draw a batch of clips of ``n`` samples; see `earprint.training.sampler.Sampler.draw`."""
        counted = self.tracks(batch, clips_per_track, n)
        tracks = np.repeat([track for track, _ in counted], [count for _, count in counted])
        clips = Clips.unchanged(n, self.sources, tracks, self._loud_positions(counted, n))
        return BatchParams(clips, draw_all(self.augmentations, self.rng, clips))

    def tracks(self, batch: int, clips_per_track: int, n: int) -> list[tuple[int, int]]:
        """Tracks and how many clips of ``n`` samples of each make up a batch."""
        if clips_per_track == 1:
            return [(track, 1) for track in self.distinct(batch)]
        waiting = self.distinct(min(batch, len(self.music.items)))
        counted: list[tuple[int, int]] = []
        missing = batch
        while waiting and missing:
            track = waiting.pop(0)
            room = 1 + max(0, int(self.music.lengths[track]) - n) // (n + CONTEXT)
            counted.append((track, min(clips_per_track, room, missing)))
            missing -= counted[-1][1]
        self.waiting = waiting + self.waiting
        return counted

    def distinct(self, count: int) -> list[int]:
        """Numbers of tracks, every track once before any comes again."""
        while len(self.waiting) < count:
            again = self.rng.permutation(len(self.music.items)).tolist()
            # Those still waiting go behind the rest, or a batch could hold a track twice.
            self.waiting += sorted(again, key=set(self.waiting).__contains__)
        chosen, self.waiting = self.waiting[:count], self.waiting[count:]
        return chosen

    def _loud_positions(self, counted: list[tuple[int, int]], n: int) -> Int:
        """Random positions at which ``n`` samples are not near silence; the last of a few tries otherwise.

        Clips of a track are redrawn together. They are in the order of time, `CONTEXT` apart or more.
        """
        counts = np.array([count for _, count in counted])
        tracks = np.repeat([track for track, _ in counted], counts)
        owner = np.repeat(np.arange(len(counted)), counts)
        place = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
        between = (n + CONTEXT) * place
        taken = np.repeat((n + CONTEXT) * (counts - 1), counts)
        free = np.maximum(1, self.music.lengths[tracks] - n - taken)
        first = np.zeros(len(owner), np.int64)
        wanted = np.arange(len(owner))
        for _ in range(POSITIONS_TRIED):
            drawn = self.rng.integers(free[wanted])
            # In the order of time within each track: its clips stand together and have the same room.
            drawn = drawn[np.lexsort((drawn, owner[wanted]))]
            first[wanted] = drawn + between[wanted]
            power = self.music.power(tracks[wanted], first[wanted], n)
            quiet = owner[wanted[power < self.min_power]]
            wanted = np.flatnonzero(np.isin(owner, quiet))
            if not len(wanted):
                break
        return first
