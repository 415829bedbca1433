"""Arrays of samples, as other programs give them, to 16 kHz mono.

soundfile and SciPy give arrays of shape (n, channels), librosa and torchaudio of shape (channels, n). Both
are accepted: the shorter axis holds the channels. A shape that leaves this in doubt is refused. The channels
are averaged.
"""

import math
from numbers import Real
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from earprint.audio.resampling import MonoResampler, as_float32
from earprint.errors import AudioError

MAX_CHANNELS: Final = 32
"""Most channels that a two-dimensional array may have."""

MIN_SAMPLES: Final = 1_000
"""Fewest samples per channel of a two-dimensional array: with fewer, its axes could be confused."""

SAMPLE_RATES_HZ: Final = (1_000, 1_000_000)
"""Lowest and highest sample rate accepted, in Hz."""

_BLOCK_SAMPLES: Final = 1 << 20
"""Samples converted at a time, which bounds the memory for temporary arrays."""


def array_to_mono(samples: Any, sample_rate: float) -> NDArray[np.float32]:
    """Convert an array of samples to 16 kHz mono.

    Parameters
    ----------
    samples : ndarray, shape (n,), (n, channels) or (channels, n)
        Floating point samples, or integer PCM, which is scaled by its type's range (see
        `earprint.audio.resampling.as_float32`). In two dimensions one axis must have at most 32 entries, the
        channels, and the other at least 1000. Objects that NumPy converts, such as tensors in main memory,
        are accepted too.
    sample_rate : int
        Sample rate of the array, in Hz, from 1000 to 1,000,000.

    Returns
    -------
    ndarray of float32, shape (m,)
        The mean of the channels, with m = ceil(n * 16000 / sample_rate).

    Raises
    ------
    TypeError
        If ``samples`` is no array or holds something else than real numbers, or ``sample_rate`` is no number.
    ValueError
        If the shape is not one of the three above, a sample is NaN or infinite (in float32), or the sample
        rate is not a whole number or out of range.
    AudioError
        If the array has no samples.

    Examples
    --------
    >>> import numpy as np
    >>> from earprint.audio.arrays import array_to_mono
    >>> stereo = np.zeros((44100, 2), dtype=np.int16)
    >>> array_to_mono(stereo, 44100).shape, array_to_mono(stereo.T, 44100).shape
    ((16000,), (16000,))
    """
    rate = check_sample_rate(sample_rate)
    array = _as_array(samples)
    by_channel = _channels_last(array)
    resampler = MonoResampler(rate)
    parts = []
    for start in range(0, len(by_channel), _BLOCK_SAMPLES):
        block = as_float32(by_channel[start : start + _BLOCK_SAMPLES])
        mono = block[:, 0] if block.shape[1] == 1 else block.mean(axis=1)
        if not np.isfinite(mono).all():
            raise ValueError(
                f"array of shape {array.shape}: holds samples that are NaN or infinite in float32; "
                "replace them first, for instance with numpy.nan_to_num"
            )
        parts.append(resampler.push(mono))
    parts.append(resampler.flush())
    return np.concatenate(parts)


def check_sample_rate(sample_rate: float) -> int:
    """Check an array's sample rate and return it as an int, in Hz.

    Raises
    ------
    TypeError
        If it is no number: None, a string, a bool.
    ValueError
        If it is not a whole number, or out of `SAMPLE_RATES_HZ`.
    """
    if isinstance(sample_rate, bool) or not isinstance(sample_rate, Real):
        raise TypeError(
            f"sample_rate {sample_rate!r}: is of type {type(sample_rate).__name__}, not a number; "
            "give the array's sample rate in Hz, such as 44100"
        )
    lowest, highest = SAMPLE_RATES_HZ
    if not math.isfinite(sample_rate) or int(sample_rate) != sample_rate:
        raise ValueError(
            f"sample_rate {sample_rate}: is not a whole number; "
            "give the array's sample rate in Hz, such as 44100"
        )
    if not lowest <= sample_rate <= highest:
        raise ValueError(
            f"sample_rate {sample_rate}: is not between {lowest} and {highest} Hz; "
            "give the array's sample rate in Hz, such as 44100"
        )
    return int(sample_rate)


def _as_array(samples: Any) -> NDArray[Any]:
    """View an array-like object of real numbers as a NumPy array."""
    if not hasattr(samples, "__array__"):
        raise TypeError(
            f"samples of type {type(samples).__name__}: are not an array; give a NumPy array, for instance "
            "numpy.asarray(samples, dtype=numpy.float32), or numpy.frombuffer for bytes"
        )
    try:
        array = np.asarray(samples)
    except (TypeError, RuntimeError) as error:  # a tensor on a graphics card, or one that needs a gradient
        raise TypeError(
            f"samples of type {type(samples).__name__}: NumPy cannot convert them ({error}); "
            "give a NumPy array"
        ) from error
    if array.dtype.kind not in "fiu":
        raise TypeError(
            f"array of type {array.dtype}: holds no real numbers; give floating point samples or integer PCM"
        )
    return array


def _channels_last(array: NDArray[Any]) -> NDArray[Any]:
    """View an array of any accepted shape as (n, channels)."""
    if array.ndim not in (1, 2):
        raise ValueError(
            f"array of shape {array.shape}: has {array.ndim} dimensions instead of 1 or 2; "
            "pass (n,) or (n, channels), one recording at a time"
        )
    if array.ndim == 2 and array.shape[1] == 0:
        raise ValueError(f"array of shape {array.shape}: has 0 channels; pass (n,) or (n, channels)")
    if array.size == 0:
        raise AudioError(f"array of shape {array.shape}: holds no samples; give at least one")
    if array.ndim == 1:
        return array[:, np.newaxis]
    if min(array.shape) > MAX_CHANNELS or max(array.shape) < MIN_SAMPLES:
        raise ValueError(
            f"array of shape {array.shape}: does not tell samples from channels; pass (n,), or (n, channels) "
            f"with at least {MIN_SAMPLES} samples and at most {MAX_CHANNELS} channels"
        )
    return array if array.shape[0] > array.shape[1] else array.T
