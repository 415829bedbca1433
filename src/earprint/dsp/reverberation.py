"""Room impulse responses (RIRs): make them, align them, and convolve audio with them.

The direct sound of a response is at sample 0, so that reverberation does not delay a recording.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from earprint.constants import SAMPLE_RATE
from earprint.dsp.fft import fft_length
from earprint.errors import AudioError

Audio = NDArray[np.float32]

DIRECT_SOUND_DB: Final = -10.0
"""The direct sound of a response is its first sample at least this loud, relative to the peak, in dB."""


def synthetic_rir(rt60_s: float, seed: int, *, direct_to_reverberant_db: float = 3.0) -> Audio:
    """Make a synthetic room impulse response: direct sound, early reflections, diffuse tail.

    The tail is Gaussian noise that starts after 5 ms and falls exponentially by 60 dB in ``rt60_s`` (model of
    J.-D. Polack, "La transmission de l'energie sonore dans les salles", 1988). Twelve early reflections are
    added to it.

    Parameters
    ----------
    rt60_s : float
        Reverberation time RT60, in seconds.
    seed : int
    direct_to_reverberant_db : float
        Direct-to-reverberant ratio: energy of the direct sound over that of everything after it, in dB.

    Returns
    -------
    ndarray of float32, shape (about rt60_s * 16000,)
        Sample 0 is the direct sound, with amplitude 1.

    Raises
    ------
    AudioError
        If ``rt60_s`` is not above 0.
    """
    if not rt60_s > 0.0:
        raise AudioError(f"room: a reverberation time of {rt60_s} s is not above 0; give seconds")
    rng = np.random.Generator(np.random.PCG64(seed))
    n = max(int(rt60_s * SAMPLE_RATE), SAMPLE_RATE // 100)
    times = np.arange(n) / SAMPLE_RATE
    decay = 10.0 ** (-3.0 * times / rt60_s)
    response = rng.standard_normal(n) * decay
    response[: SAMPLE_RATE // 200] = 0.0
    early = rng.integers(SAMPLE_RATE // 700, min(SAMPLE_RATE // 20, n), size=12)
    np.add.at(response, early, rng.choice([-1.0, 1.0], 12) * rng.uniform(1, 3, 12) * decay[early])
    response *= 10.0 ** (-direct_to_reverberant_db / 20.0) / np.sqrt(np.sum(response**2))
    response[0] = 1.0
    return response.astype(np.float32)


def align_direct_sound(response: Audio) -> Audio:
    """Cut the part of a measured response before its direct sound.

    The direct sound is the first sample within `DIRECT_SOUND_DB` of the peak. With it at sample 0 the
    reverberated signal is not delayed against the dry one.

    Parameters
    ----------
    response : ndarray of float32, shape (n,)
        Not silent.

    Returns
    -------
    ndarray of float32, shape (at most n,)
        A view.
    """
    magnitude = np.abs(response)
    loud = magnitude >= 10.0 ** (DIRECT_SOUND_DB / 20.0) * magnitude.max()
    return response[int(np.argmax(loud)) :]


def reverberate(samples: Audio, response: Audio, *, past: Audio | None = None) -> Audio:
    """Convolve a recording with the response of a room or a device.

    Parameters
    ----------
    samples : ndarray of float32, shape (n,)
    response : ndarray of float32, shape (m,)
        Impulse response whose direct sound is at sample 0.
    past : ndarray of float32, shape (p,), optional
        Audio before ``samples``, whose reverberation reaches into them.

    Returns
    -------
    ndarray of float32, shape (n,)
    """
    dry = samples if past is None else np.concatenate([past, samples])
    length = fft_length(len(dry) + len(response) - 1)
    spectrum = np.fft.rfft(dry, length) * np.fft.rfft(response, length)
    wet = np.fft.irfft(spectrum, length)[: len(dry)]
    return np.asarray(wet[len(dry) - len(samples) :], dtype=np.float32)
