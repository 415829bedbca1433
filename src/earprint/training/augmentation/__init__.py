"""Augmentation of training queries: one class for each distortion, one module for each kind.

Every module of this package is imported, so that its classes register themselves. A new distortion is a new
module here; see `earprint.training.augmentation.base`.
"""

import importlib
import pkgutil

from earprint.training.augmentation.base import (
    Augmentation,
    LogMelAugmentation,
    MusicAugmentation,
    NoiseAugmentation,
    QueryReplacement,
    ReadingAugmentation,
    SpectrumAugmentation,
    WaveformAugmentation,
    register,
    registered,
)
from earprint.training.augmentation.pipeline import Augmentations, paper_augmentations

__all__ = [
    "Augmentation",
    "Augmentations",
    "LogMelAugmentation",
    "MusicAugmentation",
    "NoiseAugmentation",
    "QueryReplacement",
    "ReadingAugmentation",
    "SpectrumAugmentation",
    "WaveformAugmentation",
    "paper_augmentations",
    "register",
    "registered",
]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
