"""Write wav files."""

import struct
import wave
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from earprint.constants import SAMPLE_RATE


def write_wav(path: str | PathLike[str], samples: NDArray[np.float32]) -> None:
    """Write 16 kHz mono samples, shape (n,), as a 16-bit wav file; beyond +-1 they clip."""
    whole = np.round(np.clip(samples, -1.0, 1.0) * 32767.0).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(whole.tobytes())


def write_float_wav(path: str | PathLike[str], samples: NDArray[np.float32]) -> None:
    """Write 16 kHz mono samples, shape (n,), as a 32-bit float wav file; nothing is rounded or clipped."""
    data = np.ascontiguousarray(samples, "<f4").tobytes()
    ieee_float, channels, width = 3, 1, 4
    format_chunk = struct.pack(
        "<4sIHHIIHHH",
        b"fmt ",
        18,
        ieee_float,
        channels,
        SAMPLE_RATE,
        SAMPLE_RATE * width,
        width,
        8 * width,
        0,
    )
    fact_chunk = struct.pack("<4sII", b"fact", 4, len(samples))
    data_header = struct.pack("<4sI", b"data", len(data))
    body = b"WAVE" + format_chunk + fact_chunk + data_header + data
    Path(path).write_bytes(struct.pack("<4sI", b"RIFF", len(body)) + body)
