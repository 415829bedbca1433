"""Room impulse responses (RIRs): synthetic ones, where they begin, and playing audio through them.

Samples are 16 kHz mono float32 arrays of shape (n,). A response begins with its direct sound at sample 0: so
reverberation does not delay a recording.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from earprint.constants import SAMPLE_RATE
from earprint.dsp.fft import fast_length
from earprint.errors import AudioError

Audio = NDArray[np.float32]

DIRECT_SOUND_DB: Final = -10.0
"""The direct sound of a response is its first sample within this of the peak, in dB."""


def rir(t60_s: float, seed: int, *, direct_to_reverberant_db: float = 3.0) -> Audio:
    """Make a synthetic room response: direct sound, early reflections, decaying diffuse tail.

    The tail is Gaussian noise under an exponential that falls by 60 dB in ``t60_s`` (Polack's model
    of diffuse reverberation), starting after 5 ms; a dozen single reflections come early.

    Parameters
    ----------
    t60_s : float
        Reverberation time, in seconds.
    seed : int
    direct_to_reverberant_db : float
        Energy of the direct sound over that of everything after it, in dB.

    Returns
    -------
    ndarray of float32, shape (about t60_s * 16000,)
        Sample 0 is the direct sound, of height 1.

    Raises
    ------
    AudioError
        If ``t60_s`` is not above 0.
    """
    if not t60_s > 0.0:
        raise AudioError(f"room: a reverberation time of {t60_s} s is not above 0; give seconds")
    rng = np.random.Generator(np.random.PCG64(seed))
    n = max(int(t60_s * SAMPLE_RATE), SAMPLE_RATE // 100)
    times = np.arange(n) / SAMPLE_RATE
    decay = 10.0 ** (-3.0 * times / t60_s)
    response = rng.standard_normal(n) * decay
    first = SAMPLE_RATE // 200
    response[:first] = 0.0
    places = rng.integers(SAMPLE_RATE // 700, min(SAMPLE_RATE // 20, n), size=12)
    np.add.at(response, places, rng.choice([-1.0, 1.0], 12) * rng.uniform(1, 3, 12) * decay[places])
    response *= 10.0 ** (-direct_to_reverberant_db / 20.0) / np.sqrt(np.sum(response**2))
    response[0] = 1.0
    return response.astype(np.float32)


def align_direct_sound(response: Audio) -> Audio:
    """Cut what precedes a measured response's direct sound, its first sample near the peak.

    With the direct sound at 0 a reverberated signal is not delayed against the dry one.

    Parameters
    ----------
    response : ndarray of float32, shape (n,)
        Not silent.

    Returns
    -------
    ndarray of float32, shape (at most n,)
        A view.
    """
    loud = np.abs(response) >= 10.0 ** (DIRECT_SOUND_DB / 20.0) * np.abs(response).max()
    return response[int(np.argmax(loud)) :]


def reverberate(samples: Audio, response: Audio, *, past: Audio | None = None) -> Audio:
    """Play a recording in a room.

    Parameters
    ----------
    samples : ndarray of float32, shape (n,)
    response : ndarray of float32, shape (m,)
        Room response whose direct sound is sample 0, as `rir` makes it.
    past : ndarray of float32, shape (p,), optional
        What sounded before ``samples``: its reverberation is still in the room when they begin.

    Returns
    -------
    ndarray of float32, shape (n,)
    """
    known = samples if past is None else np.concatenate([past, samples])
    size = fast_length(len(known) + len(response) - 1)
    spectrum = np.fft.rfft(known, size) * np.fft.rfft(response, size)
    whole = np.fft.irfft(spectrum, size)[: len(known)]
    return np.asarray(whole[len(known) - len(samples) :], dtype=np.float32)
