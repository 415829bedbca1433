"""The audio of an evaluation: recordings, noises, and impulse responses of rooms and devices.

All audio is 16 kHz mono float32. Responses keep the precision of their files: nothing is rounded to 16 bits.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from earprint.audio import load_audio, stream_audio
from earprint.constants import SAMPLE_RATE
from earprint.dsp.reverberation import align_direct_sound
from earprint.errors import AudioError, EvaluationError
from earprint.evaluation.exclusions import Exclusions

Audio = NDArray[np.float32]

NOISE_S: Final = 600.0
"""Noises and speech are cut off after this many seconds, which bounds the memory that they take."""


@dataclass(frozen=True)
class Material:
    """The files of an evaluation.

    Attributes
    ----------
    references : sequence of Path
        Recordings that the library holds and that queries are cut from.
    distractors : sequence of Path
        Recordings that the library holds besides. No query is cut from them.
    absent : sequence of Path
        Recordings that queries are cut from and that the library does not hold.
    noises, speech : sequence of Path
        Audio that conditions add to excerpts.
    rooms, devices : sequence of Path
        Impulse responses.
    """

    references: Sequence[Path]
    distractors: Sequence[Path] = ()
    absent: Sequence[Path] = ()
    noises: Sequence[Path] = ()
    rooms: Sequence[Path] = ()
    devices: Sequence[Path] = ()
    speech: Sequence[Path] = ()

    def usable(self, exclusions: Exclusions) -> "Material":
        """Drop noises, speech and responses that cannot be used, so that conditions share the same files.

        Raises
        ------
        EvaluationError
            If files of a kind were given and none of them can be used.
        """
        return replace(
            self,
            noises=_usable(self.noises, load_noise, exclusions),
            speech=_usable(self.speech, load_noise, exclusions),
            rooms=_usable(self.rooms, load_response, exclusions),
            devices=_usable(self.devices, load_response, exclusions),
        )


def _usable(files: Sequence[Path], load: Callable[[Path], object], exclusions: Exclusions) -> list[Path]:
    usable = []
    for path in files:
        try:
            load(path)
        except AudioError as error:
            exclusions.exclude_file(path, error)
        else:
            usable.append(path)
    if files and not usable:
        raise EvaluationError(
            f"{files[0].parent}: none of its {len(files)} files can be used (see above); name another folder"
        )
    return usable


@functools.lru_cache(maxsize=32)
def load_noise(path: Path, longest_s: float = NOISE_S) -> Audio:
    """Decode a noise or speech, shape (n,).

    Parameters
    ----------
    path : Path
    longest_s : float
        Decoding ends with the first block at or after this time, in seconds.

    Raises
    ------
    AudioError
        If it cannot be decoded.
    """
    blocks: list[Audio] = []
    for block in stream_audio(path, block_s=10.0):
        blocks.append(block)
        if sum(map(len, blocks)) >= longest_s * SAMPLE_RATE:
            break
    return np.concatenate(blocks)


def looped_noise(path: Path, start_s: float, n: int) -> Audio:
    """Return ``n`` samples of a noise from ``start_s`` seconds on; it starts again at its end."""
    noise = load_noise(path)
    return noise[(round(start_s * SAMPLE_RATE) + np.arange(n)) % len(noise)]


@functools.lru_cache(maxsize=512)
def load_response(path: Path) -> Audio:
    """Decode an impulse response; its direct sound is at sample 0 and its peak is 1, shape (n,).

    Raises
    ------
    AudioError
        If it cannot be decoded or is silent.
    """
    response = load_audio(path)
    peak = float(np.abs(response).max())
    if peak == 0:
        raise AudioError(f"{path}: a silent response; take it out of the folder")
    return align_direct_sound(response) / np.float32(peak)
