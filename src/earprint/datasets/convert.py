"""Convert the first channel of a recording to 16 kHz, from audio files and .mat files of the Aachen database.

Channels are not averaged: the sum of the impulse responses of two microphones is a comb filter. Files are
written as 32-bit float wav, because the tail of a response is far below the 16-bit step.
"""

from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from earprint.audio.resampling import as_float32, resample_mono
from earprint.audio.wav import write_float_wav
from earprint.constants import SAMPLE_RATE
from earprint.errors import TrainingError


def is_plain(path: Path) -> bool:
    """Whether a file is 16 kHz mono already and needs no conversion."""
    if path.suffix.lower() == ".mat":
        return False
    try:
        with av.open(str(path)) as container:
            stream = container.streams.audio[0]
            return bool(stream.rate == SAMPLE_RATE and stream.channels == 1)
    except (av.error.FFmpegError, OSError, IndexError) as error:
        raise _unreadable(path, error) from error


def first_channel(path: Path) -> NDArray[np.float32]:
    """Read the first channel at 16 kHz, shape (n,).

    Raises
    ------
    TrainingError
        If the file cannot be read, or is a .mat file and scipy is not installed.
    """
    samples, rate = _read_mat(path) if path.suffix.lower() == ".mat" else _read_audio(path)
    if len(samples) == 0 or not np.isfinite(samples).all():
        raise TrainingError(f"{path}: holds no usable samples; unpack the archive again")
    return resample_mono(samples, rate)


def _read_audio(path: Path) -> tuple[NDArray[np.float32], int]:
    parts = []
    try:
        with av.open(str(path)) as container:
            stream = container.streams.audio[0]
            for frame in container.decode(stream):
                samples = frame.to_ndarray()
                if not frame.format.is_planar:  # (1, n * channels), interleaved
                    samples = samples.reshape(-1, len(frame.layout.channels)).T
                parts.append(as_float32(samples[0]))
            rate = int(stream.rate)
    except (av.error.FFmpegError, OSError, IndexError) as error:
        raise _unreadable(path, error) from error
    return np.concatenate([np.zeros(0, np.float32), *parts]), rate


def _read_mat(path: Path) -> tuple[NDArray[np.float32], int]:
    """Read the response and its sample rate, ``h_air`` and ``air_info.fs`` in AIR's documentation."""
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise TrainingError(f"{path}: reading .mat files needs scipy; `pip install scipy`") from error
    try:
        content = loadmat(str(path), squeeze_me=True, struct_as_record=False)
        response = np.atleast_1d(np.asarray(content["h_air"], dtype=np.float32))
        rate = int(np.asarray(content["air_info"].fs).item())
    except Exception as error:  # loadmat raises many types of error on a damaged file
        raise _unreadable(path, error) from error
    return response if response.ndim == 1 else response[0], rate


def write_response(path: Path, samples: NDArray[np.float32]) -> None:
    """Write 16 kHz mono samples, shape (n,), as 32-bit float wav; an interrupted write leaves no file."""
    unfinished = path.with_name(path.name + ".part")
    write_float_wav(unfinished, samples)
    unfinished.replace(path)


def _unreadable(path: Path, error: Exception) -> TrainingError:
    cause = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return TrainingError(f"{path}: cannot be read ({cause}); unpack the archive again")
