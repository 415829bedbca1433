"""Places that cannot be told apart: music made from loops holds the very same sound several times.

An answer that names the right recording and another place is wrong about the place, unless the recording
holds the same passage there. Whether it does is decided on the recording itself: the waveform under the
answer, moved by up to `TOLERANCE_S`, correlates with the one that was asked about. Played again by people
it does not; copied by a sequencer it does.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from earprint.audio import load_audio
from earprint.constants import SAMPLE_RATE
from earprint.evaluation.outcomes import Outcome
from earprint.evaluation.workers import Workers, each

TOLERANCE_S = 0.1
"""Answers within this are at the place itself; repeats lie as near to the answer, in seconds."""

SAME_CORRELATION = 0.8
"""Normalised correlation from which two passages are the same sound; lossy coding takes some away."""


def mark_repeats(outcomes: Sequence[Outcome], workers: Workers | None = None) -> list[Outcome]:
    """Find the answers that name another place of the right recording where the same sound is.

    Parameters
    ----------
    outcomes : sequence of Outcome
    workers : Workers, optional
        Look at the recordings; by default this process does.

    Returns
    -------
    list of Outcome
        In the same order, with ``repeat`` set.
    """
    elsewhere = defaultdict(list)
    for number, outcome in enumerate(outcomes):
        if _is_elsewhere(outcome):
            elsewhere[outcome.query.path].append(number)
    marked = list(outcomes)
    of_recordings = [[outcomes[number] for number in numbers] for numbers in elsewhere.values()]
    for numbers, repeats in zip(elsewhere.values(), each(workers, _are_repeats, of_recordings), strict=True):
        for number, repeat in zip(numbers, repeats, strict=True):
            marked[number] = replace(marked[number], repeat=repeat)
    return marked


def _are_repeats(outcomes: Sequence[Outcome]) -> list[bool]:
    """Tell of each of one recording's outcomes whether the same sound is at the answer."""
    audio = load_audio(outcomes[0].query.path)
    return [_same_sound(audio, outcome) for outcome in outcomes]


def _is_elsewhere(outcome: Outcome) -> bool:
    return outcome.error_s is not None and abs(outcome.error_s) > TOLERANCE_S


def _same_sound(audio: NDArray[np.float32], outcome: Outcome) -> bool:
    assert outcome.error_s is not None
    query = outcome.query
    start = round(query.start_s * SAMPLE_RATE)
    length = round(query.length_s * query.speed * SAMPLE_RATE)
    passage = audio[start : start + length]
    margin = round(TOLERANCE_S * SAMPLE_RATE)
    first = start + round(outcome.error_s * SAMPLE_RATE) - margin
    other = audio[max(0, first) : first + length + 2 * margin]
    return len(other) >= length and correlation(passage, other) >= SAME_CORRELATION


def correlation(passage: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Largest normalised correlation of a passage with any stretch of equal length of another one.

    Parameters
    ----------
    passage : ndarray of float32, shape (n,)
    other : ndarray of float32, shape (m,), m >= n

    Returns
    -------
    float
        Between -1 and 1; 0 if either is silent.
    """
    n, m = len(passage), len(other)
    size = 1 << (n + m - 1).bit_length()
    products = np.fft.irfft(np.fft.rfft(other, size) * np.conj(np.fft.rfft(passage, size)), size)[: m - n + 1]
    energy = np.concatenate(([0.0], np.cumsum(other.astype(np.float64) ** 2)))
    scale = np.sqrt((energy[n:] - energy[: m - n + 1]) * np.sum(passage.astype(np.float64) ** 2))
    if not scale.max() > 0:
        return 0.0
    return float(np.max(products / np.maximum(scale, 1e-9 * scale.max())))
