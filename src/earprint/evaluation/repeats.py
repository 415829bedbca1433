"""Repeats: music made from loops holds exactly the same sound at several places.

An answer may name the right recording and another place that sounds the same. It counts as a repeat if the
waveform at the answered place, moved by up to `TOLERANCE_S`, correlates with the waveform of the excerpt. A
passage that a sequencer has copied correlates; a passage that people play again does not.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from earprint.audio import load_audio
from earprint.constants import SAMPLE_RATE
from earprint.evaluation.outcomes import Outcome
from earprint.evaluation.workers import WorkerPool, map_in_order

TOLERANCE_S = 0.1
"""Answers within this of the true place are not repeats; largest shift of a repeat. In seconds."""

SAME_CORRELATION = 0.8
"""Least normalised correlation of two passages with the same sound; lossy coding lowers it."""


def mark_repeats(outcomes: Sequence[Outcome], pool: WorkerPool | None = None) -> list[Outcome]:
    """Mark the answers that name another place of the right recording with the same sound.

    Parameters
    ----------
    outcomes : sequence of Outcome
    pool : WorkerPool, optional
        Reads the recordings; by default this process does.

    Returns
    -------
    list of Outcome
        In the same order, with ``repeat`` set.
    """
    misplaced = defaultdict(list)
    for number, outcome in enumerate(outcomes):
        if outcome.error_s is not None and abs(outcome.error_s) > TOLERANCE_S:
            misplaced[outcome.query.path].append(number)
    marked = list(outcomes)
    by_recording = [[outcomes[number] for number in numbers] for numbers in misplaced.values()]
    found = map_in_order(pool, _are_repeats, by_recording)
    for numbers, repeats in zip(misplaced.values(), found, strict=True):
        for number, repeat in zip(numbers, repeats, strict=True):
            marked[number] = replace(marked[number], repeat=repeat)
    return marked


def _are_repeats(outcomes: Sequence[Outcome]) -> list[bool]:
    """Say for each of one recording's outcomes whether the answered place holds the same sound."""
    audio = load_audio(outcomes[0].query.path)
    return [_same_sound(audio, outcome) for outcome in outcomes]


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
    """Return the largest normalised correlation of a passage with any part of another, longer one.

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
