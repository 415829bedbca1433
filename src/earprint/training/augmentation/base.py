"""The base classes of augmentations, and the registry that finds them by name.

An augmentation is a frozen dataclass. Its fields are its settings: ``probability`` (per clip) and ranges with
units. It does two things:

- ``draw`` runs on the CPU. It takes random values for the chosen clips and returns them as small arrays.
- ``apply`` runs on the training device. It takes audio of the chosen clips and those values as tensors.

The base class says when it is applied. They follow each other in this order:

=======================  ===========================================================================
Base class               What ``apply`` changes
=======================  ===========================================================================
`ReadingAugmentation`    Which samples of the music are read, and how fast (on the CPU).
`MusicAugmentation`      The clean and the distorted side, as they were read.
`SpectrumAugmentation`   The spectrum of music, noise or both. All share one FFT.
`NoiseAugmentation`      Adds noise, which passed the same spectrum augmentations as the music.
`WaveformAugmentation`   The distorted audio after noise.
`LogMelAugmentation`     The log-mel spectrogram of the distorted audio.
=======================  ===========================================================================

Every registered augmentation belongs to `earprint.training.augmentation.Augmentations`, to the configuration
file of a run, and to its model card. ``docs/how-to/add-a-distortion.md`` has a complete example.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Literal, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from earprint.errors import TrainingError
from earprint.training.augmentation.reading import MusicReader
from earprint.training.augmentation.sources import Clips, Int, Sources
from earprint.training.augmentation.spectrum import Spectrum
from earprint.training.device_pack import to_device
from earprint.training.settings import Limits, check_settings

Params = dict[str, NDArray[Any]]
"""What ``draw`` returns: arrays on the CPU by name, usually with one entry for each chosen clip."""

Tensors = dict[str, Tensor]
"""The same on the training device. Floating-point arrays have become float32."""


@dataclass(frozen=True)
class Augmentation:
    """Settings of one augmentation, and how it draws random values.

    Derive from one of the classes below, not from this one.

    Attributes
    ----------
    probability : float
        Probability that it is applied to a clip, 0 to 1.
    """

    name: ClassVar[str]
    """Name in the registry and in configuration files; set by `register`."""

    stage: ClassVar[int]
    """Position of the base class in the order above."""

    draw_order: ClassVar[int] = 50
    """Position among the augmentations of the same base class; lower comes first."""

    on_codec_queries: ClassVar[bool] = False
    """Whether it also applies to codec queries, which already have room, noise and band limit."""

    limits: ClassVar[Limits] = {}
    """Smallest and largest allowed values of fields. Probabilities need none: they are 0 to 1."""

    probability: float = 0.0

    def __post_init__(self) -> None:
        check_settings(self, self.all_limits(), f"augmentation.{getattr(self, 'name', type(self).__name__)}.")

    def all_limits(self) -> Limits:
        """The limits of all fields, probabilities included."""
        shares = [field.name for field in fields(self) if re.search("probability|share$", field.name)]
        return {**dict.fromkeys(shares, (0.0, 1.0)), **self.limits}

    def choose(self, rng: np.random.Generator, clips: Clips) -> Int:
        """Choose the clips of a batch to apply it to: their numbers, ascending.

        At probability 0 this takes nothing from ``rng``, so the other augmentations draw the same values
        whether this one is registered or not.
        """
        if not self.probability:
            return np.zeros(0, np.int64)
        chosen = rng.random(len(clips)) < self.probability
        if not self.on_codec_queries:
            chosen &= ~clips.is_codec_query
        return np.flatnonzero(chosen)

    def draw(self, rng: np.random.Generator, rows: Int, clips: Clips) -> Params:
        """Draw values for the clips ``rows`` of a batch. Called only if there are any.

        Parameters
        ----------
        rng : numpy.random.Generator
            The only source of random values.
        rows : ndarray of int64, shape (chosen,)
            Numbers of the chosen clips.
        clips : Clips
            All clips of the batch.
        """
        return {}

    def disabled(self) -> Self:
        """Return the same with all probabilities 0."""
        probabilities = [field.name for field in fields(self) if "probability" in field.name]
        return replace(self, **dict.fromkeys(probabilities, 0.0))


class ReadingAugmentation(Augmentation):
    """Changes which samples of the music are read. Applied on the CPU, right after it was drawn."""

    stage = 0

    def apply(self, clips: Clips, rows: Int, params: Params) -> None:
        """Change ``clips`` in place at ``rows``."""
        raise NotImplementedError


class QueryReplacement(ReadingAugmentation):
    """Takes the distorted side from elsewhere; only augmentations with ``on_codec_queries`` follow."""

    def read(self, n: int, params: Tensors, sources: Sources) -> Tensor:
        """Return the distorted audio of the chosen clips, shape (chosen, n)."""
        raise NotImplementedError


class MusicAugmentation(Augmentation):
    """Changes the music of both sides."""

    stage = 1

    def apply(
        self, clean: Tensor, distorted: Tensor, params: Tensors, reader: MusicReader
    ) -> tuple[Tensor, Tensor]:
        """Return both sides of the chosen clips, changed.

        Parameters
        ----------
        clean, distorted : Tensor, shape (chosen, samples)
            With the clean side's context, and with the distorted side's past.
        params : dict of str to Tensor
        reader : MusicReader
            Reads other music the way that these clips were read.
        """
        raise NotImplementedError


class SpectrumAugmentation(Augmentation):
    """Multiplies spectra by gains. One FFT applies the gains of all of them."""

    stage = 2
    target: ClassVar[Literal["all", "music", "noise"]] = "all"
    """Whose spectrum: that of music and noise alike, or of one of them."""

    def apply(self, spectrum: Spectrum, params: Tensors, sources: Sources) -> Tensor:
        """Return gains, real (zero phase) or complex, shape (chosen, bins)."""
        raise NotImplementedError


class NoiseAugmentation(Augmentation):
    """Adds noise to the music."""

    stage = 3

    def read(self, n: int, params: Tensors, sources: Sources) -> Tensor:
        """Return the noise of the chosen clips before any filter, shape (chosen, n)."""
        raise NotImplementedError

    def apply(self, music: Tensor, noise: Tensor, params: Tensors) -> Tensor:
        """Mix filtered music and filtered noise, each of shape (chosen, n)."""
        raise NotImplementedError


class WaveformAugmentation(Augmentation):
    """Changes the distorted audio."""

    stage = 4

    def apply(self, audio: Tensor, params: Tensors) -> Tensor:
        """Return the audio of the chosen clips, changed, shape (chosen, n)."""
        raise NotImplementedError


class LogMelAugmentation(Augmentation):
    """Changes the log-mel spectrogram of the distorted audio."""

    stage = 5

    def apply(self, log_mel: Tensor, params: Tensors) -> Tensor:
        """Return the spectrograms of the chosen clips, changed, shape (chosen, frames, bands)."""
        raise NotImplementedError


_registry: dict[str, type[Augmentation]] = {}

T = TypeVar("T", bound=type[Augmentation])


def register(name: str) -> Callable[[T], T]:
    """Class decorator: make an augmentation known under a name, which configuration files use.

    Raises
    ------
    TrainingError
        If another class already has this name.
    """

    def decorate(cls: T) -> T:
        if name in _registry and _registry[name].__qualname__ != cls.__qualname__:
            raise TrainingError(f"{name}: two augmentations of this name; rename one of them")
        cls.name = name
        _registry[name] = cls
        return cls

    return decorate


def registered() -> list[type[Augmentation]]:
    """All registered classes, in the order in which they are drawn and applied."""
    return sorted(_registry.values(), key=lambda cls: (cls.stage, cls.draw_order, cls.name))


@dataclass(frozen=True)
class DrawnAugmentation:
    """An augmentation of one batch: the clips it is applied to, and the values that were drawn."""

    augmentation: Augmentation
    rows: Int
    params: Params

    def tensors(self, device: torch.device) -> Tensors:
        """The values on a device."""
        return {name: _to_device(values, device) for name, values in self.params.items()}


def draw_all(
    augmentations: Iterable[Augmentation], rng: np.random.Generator, clips: Clips
) -> list[DrawnAugmentation]:
    """Draw all augmentations of a batch, in order; those that change what is read do so."""
    drawn = []
    for augmentation in augmentations:
        rows = augmentation.choose(rng, clips)
        if not len(rows):
            continue
        params = augmentation.draw(rng, rows, clips)
        if isinstance(augmentation, ReadingAugmentation):
            augmentation.apply(clips, rows, params)
        drawn.append(DrawnAugmentation(augmentation, rows, params))
    return drawn


def _to_device(values: NDArray[Any], device: torch.device) -> Tensor:
    return to_device(values.astype(np.float32) if values.dtype == np.float64 else values, device)
