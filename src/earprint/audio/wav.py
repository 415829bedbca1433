"""Write wav files."""

import wave
from os import PathLike

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
