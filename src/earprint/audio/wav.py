"""Write mono wav files."""

import wave
from os import PathLike
from typing import Literal

import av
import numpy as np
from numpy.typing import NDArray

from earprint.constants import SAMPLE_RATE

Subtype = Literal["PCM_16", "FLOAT"]
"""Sample formats, by the names of libsndfile."""


def write_wav(
    path: str | PathLike[str],
    samples: NDArray[np.floating],
    sample_rate: int = SAMPLE_RATE,
    *,
    subtype: Subtype = "PCM_16",
) -> None:
    """Write mono samples as a wav file.

    Parameters
    ----------
    path : path
    samples : ndarray of float, shape (n,)
        Full scale is +-1.
    sample_rate : int
        In Hz.
    subtype : {"PCM_16", "FLOAT"}
        16-bit integers, to which samples are rounded and clipped; or 32-bit floats, which keep values beyond
        full scale and far below the 16-bit step.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    if subtype == "FLOAT":
        _write_float(path, samples, sample_rate)
        return
    pcm = np.round(np.clip(samples, -1.0, 1.0) * 32767.0).astype("<i2")
    with open(path, "wb") as file, wave.open(file) as out:  # noqa: PTH123
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(sample_rate)
        out.writeframes(pcm.tobytes())


def _write_float(path: str | PathLike[str], samples: NDArray[np.floating], sample_rate: int) -> None:
    # The standard library's `wave` writes integers only.
    with open(path, "wb") as file, av.open(file, "w", format="wav") as out:  # noqa: PTH123
        stream = out.add_stream("pcm_f32le", rate=sample_rate, layout="mono")
        out.start_encoding()  # writes the header, even if there are no samples
        if len(samples):
            data = np.asarray(samples, dtype=np.float32)[np.newaxis]
            frame = av.AudioFrame.from_ndarray(data, format="flt", layout="mono")
            frame.sample_rate = sample_rate
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
