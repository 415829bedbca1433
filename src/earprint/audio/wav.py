"""Write mono wav files."""

import wave
from os import PathLike

import av
import numpy as np
from numpy.typing import NDArray

from earprint.constants import SAMPLE_RATE


def write_wav(
    path: str | PathLike[str], samples: NDArray[np.floating], sample_rate: int = SAMPLE_RATE
) -> None:
    """Write mono samples as a wav file of 16-bit integers.

    Parameters
    ----------
    path : path
    samples : ndarray of float, shape (n,)
        They are rounded to 16 bits, and clipped beyond full scale at +-1.
    sample_rate : int
        In Hz.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    pcm = np.round(np.clip(samples, -1.0, 1.0) * 32767.0).astype("<i2")
    with open(path, "wb") as file, wave.open(file) as out:  # noqa: PTH123
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(sample_rate)
        out.writeframes(pcm.tobytes())


def write_float_wav(
    path: str | PathLike[str], samples: NDArray[np.floating], sample_rate: int = SAMPLE_RATE
) -> None:
    """Write mono samples as a wav file of 32-bit floats, without rounding to 16 bits or clipping.

    Parameters
    ----------
    path : path
    samples : ndarray of float, shape (n,)
    sample_rate : int
        In Hz.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
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
