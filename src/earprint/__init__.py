"""Remember audio by what it sounds like.

>>> import earprint
>>> library = earprint.Library("my-library")  # doctest: +SKIP
>>> library.add("music/")  # doctest: +SKIP
>>> answer = library.identify("noisy-clip.wav")  # doctest: +SKIP
>>> answer.match.track.title, answer.match.start_s  # doctest: +SKIP
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from earprint.errors import (
    AudioError,
    EarprintError,
    LibraryError,
    LibraryLockedError,
    ModelError,
    TrainingError,
)

if TYPE_CHECKING:
    from earprint.encoders import Fingerprints, load_encoder
    from earprint.library import Identification, Library, Match, Track

try:
    __version__ = version("earprint")
except PackageNotFoundError:  # run from a checkout that was never installed
    __version__ = "0+unknown"

__all__ = [
    "AudioError",
    "EarprintError",
    "Fingerprints",
    "Identification",
    "Library",
    "LibraryError",
    "LibraryLockedError",
    "Match",
    "ModelError",
    "Track",
    "TrainingError",
    "__version__",
    "load_encoder",
]

_LAZY = {
    "Fingerprints": "earprint.encoders",
    "load_encoder": "earprint.encoders",
    "Identification": "earprint.library",
    "Library": "earprint.library",
    "Match": "earprint.library",
    "Track": "earprint.library",
}


def __getattr__(name: str) -> object:
    """Import the heavy parts only when they are asked for: ``earprint --help`` needs none of them."""
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'earprint' has no attribute {name!r}")
