"""Queries as audio: excerpts cut from recordings and distorted as their records say.

In this order: speed, room, noise, device, telephone band, codec. Signal-to-noise ratios hold over the excerpt
and are set after reverberation; a room's response applies to signal and noise alike (paper, section 3.4) and
hears one second of real past. Excerpts that no fair question can be made of are left out and counted; they
are not drawn again, as that would depend on what was decoded before. All audio is 16 kHz mono float32.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from earprint.audio import load_audio, stream_audio
from earprint.audio.codec import round_trip
from earprint.audio.resampling import resample_mono
from earprint.constants import SAMPLE_RATE
from earprint.dsp.filters import phone_band
from earprint.dsp.reverberation import align_direct_sound, reverberate
from earprint.dsp.snr import add_noise
from earprint.errors import AudioError
from earprint.evaluation.query import Query

Audio = NDArray[np.float32]

PAST_S = 1.0
"""Audio before the excerpt whose reverberation reaches into it, in seconds."""

SILENT_MEAN_SQUARE = 1e-6
"""Excerpts with less power (-60 dB of full scale) are left out: nobody could name them."""

SILENT_NOISE_MEAN_SQUARE = 1e-12
"""Noises with less power (-120 dB of full scale) are left out: no level can be set against them."""

NOISE_S = 600.0
"""Noises are cut off here, in seconds, so that memory stays bounded."""

PHONE_PEAK = 0.5
"""Peak at which a telephone's automatic gain sends audio to its codec; 1 is full scale."""


def render(
    queries: Sequence[Query], on_left_out: Callable[[Query, str], None] | None = None
) -> Iterator[tuple[Query, Audio]]:
    """Cut and distort queries, one recording decoded at a time.

    Parameters
    ----------
    queries : sequence of Query
    on_left_out : callable, optional
        Gets each query that cannot be put, and why: its excerpt or noise is silent, or a file of it
        cannot be decoded any more.

    Yields
    ------
    (Query, ndarray of float32, shape (round(length_s * 16000),))
        Recording by recording, in the order given within each.
    """
    by_path: dict[Path, list[Query]] = {}
    for query in queries:
        by_path.setdefault(query.path, []).append(query)
    for path, mine in by_path.items():
        try:
            audio = load_audio(path)
        except AudioError as error:
            audio, unreadable = np.zeros(0, np.float32), str(error)
        else:
            unreadable = f"{path}: is shorter than when it was measured; leave it alone meanwhile"
        for query in mine:
            excerpt, past = cut(audio, query)
            cause = None
            if len(excerpt) < round(query.length_s * SAMPLE_RATE):
                cause = unreadable
            elif np.mean(excerpt**2) < SILENT_MEAN_SQUARE:
                cause = "silent"
            else:
                try:
                    question = distort(query, excerpt, past)
                except AudioError as error:
                    cause = str(error)
            if cause is None:
                yield query, question
            elif on_left_out is not None:
                on_left_out(query, cause)


def cut(audio: Audio, query: Query) -> tuple[Audio, Audio]:
    """Cut a query's excerpt, and up to a second before it, out of its recording, at its speed.

    Parameters
    ----------
    audio : ndarray of float32, shape (m,)
        The recording.
    query : Query

    Returns
    -------
    (ndarray of float32, shape (n,), ndarray of float32, shape (p,))
        Excerpt and past, of ``round(length_s * 16000)`` and at most 16000 samples; an excerpt that the
        recording does not hold whole is shorter.
    """
    start, length = round(query.start_s * SAMPLE_RATE), round(query.length_s * SAMPLE_RATE)
    margin = round(PAST_S * SAMPLE_RATE)
    if query.speed == 1:
        return audio[start : start + length], audio[max(0, start - margin) : start]
    before = min(start, round(margin * query.speed))
    # Two samples more than are needed, so that rounding leaves none missing.
    stop = start + int(np.ceil(length * query.speed)) + 2
    if stop > len(audio):
        return audio[:0], audio[:0]
    played = change_speed(audio[start - before : stop], query.speed)
    past = round(before / query.speed)
    return played[past : past + length], played[max(0, past - margin) : past]


def change_speed(samples: Audio, factor: float) -> Audio:
    """Play a recording faster (above 1) or slower, so that tempo and pitch change together.

    Parameters
    ----------
    samples : ndarray of float32, shape (n,)
    factor : float
        Kept to a whole number of Hz: to 1/16000.

    Returns
    -------
    ndarray of float32, shape (about n / factor,)
    """
    return resample_mono(samples, round(SAMPLE_RATE * factor))


def distort(query: Query, excerpt: Audio, past: Audio) -> Audio:
    """Apply a query's room, noise, device and telephone to its excerpt.

    Parameters
    ----------
    query : Query
    excerpt : ndarray of float32, shape (n,)
    past : ndarray of float32, shape (p,)
        What sounds before it in the recording.

    Returns
    -------
    ndarray of float32, shape (n,)

    Raises
    ------
    AudioError
        If a noise or response cannot be decoded or is silent, or the codec is not to be had.
    """
    response = room_response(query.room) if query.room else None
    if response is not None:
        excerpt = reverberate(excerpt, response, past=past)
    if query.noise is not None and query.snr_db is not None:
        noise = _looped(query.noise, query.noise_start_s, len(past) + len(excerpt))
        before, noise = noise[: len(past)], noise[len(past) :]
        if np.mean(noise**2) < SILENT_NOISE_MEAN_SQUARE:
            raise AudioError("its piece of noise is silent")
        if response is not None:
            noise = reverberate(noise, response, past=before)
        excerpt = add_noise(excerpt, noise, query.snr_db)
    if query.device is not None:
        excerpt = reverberate(excerpt, room_response(query.device))
    if query.phone:
        excerpt = phone_band(excerpt)
    if query.codec is not None:
        peak = np.float32(np.abs(excerpt).max())
        excerpt = round_trip(excerpt * (np.float32(PHONE_PEAK) / peak) if peak > 0 else excerpt, query.codec)
    return excerpt


@functools.lru_cache(maxsize=32)
def load_noise(path: Path) -> Audio:
    """Decode a noise, at most `NOISE_S` of it, shape (n,).

    Raises
    ------
    AudioError
        If it cannot be decoded.
    """
    blocks: list[Audio] = []
    for block in stream_audio(path, block_s=10.0):
        blocks.append(block)
        if sum(map(len, blocks)) >= NOISE_S * SAMPLE_RATE:
            break
    return np.concatenate(blocks)


def _looped(path: Path, start_s: float, n: int) -> Audio:
    noise = load_noise(path)
    at = (round(start_s * SAMPLE_RATE) + np.arange(n)) % len(noise)
    return noise[at]


@functools.lru_cache(maxsize=512)
def room_response(path: Path) -> Audio:
    """Decode the response of a room or device, its direct sound at sample 0 and its peak 1, shape (n,).

    Raises
    ------
    AudioError
        If it cannot be decoded or is silent.
    """
    response = load_audio(path)
    peak = float(np.abs(response).max())
    if peak == 0:
        raise AudioError(f"{path}: a silent response; take it out of the folder")
    return align_direct_sound(response) / np.float32(peak)
