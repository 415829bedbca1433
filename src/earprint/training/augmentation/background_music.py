"""Other music in the background."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor

from earprint.dsp.snr import snr_gain
from earprint.training.augmentation.base import MusicAugmentation, Params, Tensors, register
from earprint.training.augmentation.noise import mean_square
from earprint.training.augmentation.reading import MusicReader
from earprint.training.augmentation.sources import Clips, Int
from earprint.training.settings import Limits


@register("background_music")
@dataclass(frozen=True)
class BackgroundMusic(MusicAugmentation):
    """Another recording plays on both sides, at the same rate and shift (mixup, Zhang et al. 2018).

    The mixture is new music: both sides stay each other's match.

    Attributes
    ----------
    probability : float
        Probability that it is applied to a clip, 0 to 1.
    gain_db : tuple of float
        Range of the other recording's level relative to the first, in dB, uniform.
    """

    limits: ClassVar[Limits] = {"gain_db": (-60.0, 60.0)}
    probability: float = 0.25
    gain_db: tuple[float, float] = (-9.0, 0.0)

    def choose(self, rng: np.random.Generator, clips: Clips) -> Int:
        """Choose clips; none if there is only one recording."""
        rows = super().choose(rng, clips)
        return rows if len(clips.sources.music.items) > 1 else rows[:0]

    def draw(self, rng: np.random.Generator, rows: Int, clips: Clips) -> Params:
        """Draw other recordings, positions and levels."""
        music, count = clips.sources.music, len(clips.sources.music.items)
        others = (clips.tracks[rows] + rng.integers(1, count, size=len(rows))) % count
        return {
            "starts": music.starts[others],
            "lengths": music.lengths[others],
            "first": rng.integers(np.maximum(1, music.lengths[others] - clips.n)),
            "gain_db": rng.uniform(*self.gain_db, len(rows)),
        }

    def apply(
        self, clean: Tensor, distorted: Tensor, params: Tensors, reader: MusicReader
    ) -> tuple[Tensor, Tensor]:
        """Add the other recording to both sides, with the same gain."""
        position = params["starts"], params["lengths"], params["first"]
        other = reader.clean(*position)
        gain = snr_gain(mean_square(clean), mean_square(other) + 1e-9, -params["gain_db"][:, None])
        return clean + gain * other, distorted + gain * reader.distorted(*position)
