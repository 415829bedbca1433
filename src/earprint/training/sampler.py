"""Batches of clean and distorted clips, augmented on the training device.

The distorted side is what a query is: a short excerpt with reverberation from one second of past music,
noise, filters and clipping. The clean side is what a reference is: the same music with `CONTEXT_S` more at
either end. Row 0 of the query's fingerprints belongs to row `CONTEXT_STEPS` of the reference's.

Random values are drawn on the CPU (`earprint.training.batch_sampler`), audio is augmented in batches on the
device (`earprint.training.augmentation`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from earprint.constants import SAMPLE_RATE
from earprint.training.augmentation import (
    Augmentations,
    LogMelAugmentation,
    MusicAugmentation,
    NoiseAugmentation,
    QueryReplacement,
    SpectrumAugmentation,
    WaveformAugmentation,
)
from earprint.training.augmentation.base import DrawnAugmentation
from earprint.training.augmentation.reading import CONTEXT_S, CONTEXT_STEPS, MusicReader
from earprint.training.augmentation.sources import Int, Sources
from earprint.training.augmentation.spectrum import Gains, Spectrum
from earprint.training.batch_sampler import BatchParams, BatchSampler
from earprint.training.device_pack import DevicePack, to_device
from earprint.training.packed_audio import Pack

__all__ = ["CONTEXT_S", "CONTEXT_STEPS", "Batch", "Sampler"]

LONGEST_RESPONSE_S = 1.0
"""Rows are padded by so much before filtering, in seconds. What is longer wraps into the past music."""

MIN_CLIP_POWER = 1e-6
"""Default for the mean square, of full scale, that a clip should have."""


def _unchanged(log_mel: Tensor) -> Tensor:
    return log_mel


@dataclass(frozen=True)
class Batch:
    """One batch.

    Attributes
    ----------
    clean : Tensor, shape (batch, n + 2 context)
    distorted : Tensor, shape (batch, n)
    tracks : ndarray of int64, shape (batch,)
        Numbers of the recordings.
    augment_log_mel : callable
        Augments the log-mel spectrograms of the distorted side, shape (batch, frames, bands).
    """

    clean: Tensor
    distorted: Tensor
    tracks: NDArray[np.int64]
    augment_log_mel: Callable[[Tensor], Tensor] = _unchanged


class Sampler:
    """Draws batches from a store.

    Parameters
    ----------
    music, noise, rooms : Pack
        ``rooms`` holds responses in the categories ``room``, ``simulated`` and ``device``. Without one of
        them, its share of the clips gets no response.
    augmentations : Augmentations
    device : torch.device
    seed : int
    codec_queries : Pack, optional
        Queries rendered in advance; those of recordings that are not in ``music`` are ignored.
    min_power : float
        Mean square, of full scale, that the music of a clip should have.
    """

    def __init__(
        self,
        music: Pack,
        noise: Pack,
        rooms: Pack,
        augmentations: Augmentations,
        device: torch.device,
        seed: int,
        codec_queries: Pack | None = None,
        *,
        min_power: float = MIN_CLIP_POWER,
    ) -> None:
        self.sources = Sources(
            DevicePack(music, device),
            DevicePack(noise, device),
            DevicePack(rooms, device),
            None if codec_queries is None else DevicePack(codec_queries, device),
        )
        self.device = device
        self.batch_sampler = BatchSampler(self.sources, augmentations, seed, min_power)

    @property
    def music(self) -> DevicePack:
        """The recordings."""
        return self.sources.music

    @property
    def rng(self) -> np.random.Generator:
        """The generator of everything random."""
        return self.batch_sampler.rng

    def state(self) -> dict[str, Any]:
        """What the next batches depend on, for a checkpoint."""
        return self.batch_sampler.state()

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a `state`."""
        self.batch_sampler.restore(state)

    def draw(self, batch: int, length_s: float, clips_per_track: int = 1) -> Batch:
        """Draw clips.

        Parameters
        ----------
        batch : int
            Clips. With one clip per track they come from distinct tracks as long as there are enough.
        length_s : float
            Length of the distorted side in seconds.
        clips_per_track : int
            Adjacent clips of the batch that come from the same track, fewer if it is too short. No music of
            one is in the clean side of another, context included: they are hard negatives of each other.
            The batch is smaller than ``batch`` if the tracks are too short for so many.

        Returns
        -------
        Batch
        """
        n = round(length_s * SAMPLE_RATE)
        drawn = self.batch_sampler.draw(batch, n, clips_per_track)
        clean, past_and_music = self._music(drawn)
        distorted = self._distort(drawn, past_and_music, n)
        return Batch(clean, distorted, drawn.clips.tracks, self._log_mel_augmentation(drawn))

    def _music(self, drawn: BatchParams) -> tuple[Tensor, Tensor]:
        """The clean side, and the distorted side before distortion with its past."""
        clips, music = drawn.clips, self.sources.music
        reader = MusicReader(music, clips, np.arange(len(clips)))
        starts, query_starts, lengths, first = (
            to_device(values, self.device)
            for values in (
                music.starts[clips.tracks],
                clips.query_starts,
                music.lengths[clips.tracks],
                clips.first,
            )
        )
        sides = reader.clean(starts, lengths, first), reader.distorted(query_starts, lengths, first)
        for each in drawn.of(MusicAugmentation):
            rows = self._rows(each)
            changed = each.augmentation.apply(  # type: ignore[attr-defined]
                *(side[rows] for side in sides),
                each.tensors(self.device),
                MusicReader(music, clips, each.rows),
            )
            for side, new in zip(sides, changed, strict=True):
                side[rows] = new
        return sides

    def _distort(self, drawn: BatchParams, past_and_music: Tensor, n: int) -> Tensor:
        spectrum = Spectrum(past_and_music.shape[1], round(LONGEST_RESPONSE_S * SAMPLE_RATE), self.device)
        music_gains, noise_gains = self._gains(drawn, spectrum)
        audio = spectrum.filtered(past_and_music, music_gains.values, n)
        for each in drawn.of(NoiseAugmentation):
            augmentation, params = each.augmentation, each.tensors(self.device)
            assert isinstance(augmentation, NoiseAugmentation)
            noise = augmentation.read(spectrum.samples, params, self.sources)
            gains = None if noise_gains.values is None else self._some(noise_gains.values, each.rows)
            noise = spectrum.filtered(noise, gains, n)
            audio = self._replaced(
                audio, each.rows, augmentation.apply(self._some(audio, each.rows), noise, params)
            )
        for each in drawn.of(QueryReplacement):
            augmentation = each.augmentation
            assert isinstance(augmentation, QueryReplacement)
            audio = self._replaced(
                audio, each.rows, augmentation.read(n, each.tensors(self.device), self.sources)
            )
        for each in drawn.of(WaveformAugmentation):
            audio = self._apply(each, audio)
        return audio

    def _gains(self, drawn: BatchParams, spectrum: Spectrum) -> tuple[Gains, Gains]:
        """The products of all gains, for music and for noise."""
        by_target: dict[str, list[DrawnAugmentation]] = {"all": [], "music": [], "noise": []}
        for each in drawn.of(SpectrumAugmentation):
            by_target[each.augmentation.target].append(each)  # type: ignore[attr-defined]
        music = Gains(len(drawn.clips), spectrum)
        self._multiply(music, by_target["all"])
        noise = music.copy() if by_target["music"] or by_target["noise"] else music
        self._multiply(music, by_target["music"])
        self._multiply(noise, by_target["noise"])
        return music, noise

    def _multiply(self, gains: Gains, augmentations: list[DrawnAugmentation]) -> None:
        for each in augmentations:
            assert isinstance(each.augmentation, SpectrumAugmentation)
            factors = each.augmentation.apply(gains.spectrum, each.tensors(self.device), self.sources)
            gains.multiply(self._rows(each), factors)

    def _log_mel_augmentation(self, drawn: BatchParams) -> Callable[[Tensor], Tensor]:
        augmentations = drawn.of(LogMelAugmentation)

        def augment(log_mel: Tensor) -> Tensor:
            for each in augmentations:
                log_mel = self._apply(each, log_mel)
            return log_mel

        return augment

    def _apply(self, drawn: DrawnAugmentation, values: Tensor) -> Tensor:
        """Apply an augmentation of waveforms or spectrograms to its rows."""
        assert isinstance(drawn.augmentation, WaveformAugmentation | LogMelAugmentation)
        chosen = self._some(values, drawn.rows)
        return self._replaced(
            values, drawn.rows, drawn.augmentation.apply(chosen, drawn.tensors(self.device))
        )

    def _rows(self, drawn: DrawnAugmentation) -> Tensor:
        return to_device(drawn.rows, self.device)

    def _some(self, values: Tensor, rows: Int) -> Tensor:
        """Rows of a batch, without a copy if they are all."""
        return values if len(rows) == len(values) else values[to_device(rows, self.device)]

    def _replaced(self, values: Tensor, rows: Int, new: Tensor) -> Tensor:
        """A batch with some rows replaced, in place unless they are all."""
        if len(rows) == len(values):
            return new
        values[to_device(rows, self.device)] = new
        return values
