"""The paper's way: every 960 ms window by itself, one each 100 ms, all cut from one spectrogram.

The track's peak is brought to full scale first (paper notes), which in decibels is one constant subtracted
from every frame; it is known only at the end of the recording, so the decibel frames are kept until then
(23 MB per hour) and only the windows are made in batches.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from earprint.constants import FRAME_RATE, N_MELS, SAMPLE_RATE, SEGMENT_FRAMES
from earprint.encoders.base import AudioBlocks, Fingerprints
from earprint.encoders.model_file import ModelEncoder
from earprint.features import PAPER_FRONT_END, LogMelStream, silent_windows

HOP_FRAMES: Final = 10
"""Frames between two windows, 100 ms (paper, table 2)."""

FRONT_END: Final = replace(PAPER_FRONT_END, floor=1e-20)
"""The paper's, with its floor left to `decibels_of_full_scale`, which knows the peak."""

DECIBELS_PER_NEPER: Final = 10.0 / np.log(10.0)
"""10 log10(x) / ln(x): decibels from a natural logarithm of power."""


@dataclass(frozen=True)
class _Heard:
    """A recording's windows, shape (n, 96, 64), which of them are silent, shape (n,), and its length in s."""

    windows: NDArray[np.float32]
    silent: NDArray[np.bool_]
    duration_s: float


class WindowedEncoder(ModelEncoder):
    """`earprint.encoders.Encoder` of the paper's ``attention`` network."""

    reference_hop_s: float = HOP_FRAMES / FRAME_RATE
    query_hop_s: float = HOP_FRAMES / FRAME_RATE

    def encode(self, blocks: AudioBlocks, *, query: bool = False) -> Fingerprints:
        """Fingerprint one recording; see `earprint.encoders.Encoder`. Both grids are the same here."""
        return self.encode_many([blocks], query=query)[0]

    def encode_many(self, recordings: Sequence[AudioBlocks], *, query: bool = False) -> list[Fingerprints]:
        """Fingerprint several recordings, all of them together in memory, in as few calls of the network."""
        heard = [_listen(blocks) for blocks in recordings]
        windows = [window for one in heard for window in one.windows]
        batch = self._session.batch
        parts = [
            self._session.run(np.stack(windows[start : start + batch]))
            for start in range(0, len(windows), batch)
        ]
        vectors = np.concatenate([np.zeros((0, self.dim), np.float32), *parts])
        out, start = [], 0
        for one in heard:
            mine = vectors[start : start + len(one.windows)]
            mine[one.silent] = 0.0
            out.append(Fingerprints(mine, self.query_hop_s, one.duration_s))
            start += len(mine)
        return out


def _listen(blocks: AudioBlocks) -> _Heard:
    """Cut a recording's decibel frames into windows; a shorter one is filled up with quiet ones."""
    stream = LogMelStream(FRONT_END, blocks)
    frames = np.concatenate([np.zeros((0, N_MELS), np.float32), *stream])
    frames = decibels_of_full_scale(frames, stream.peak)
    if len(frames) < SEGMENT_FRAMES:
        missing = SEGMENT_FRAMES - len(frames)
        quiet = np.float32(10 * np.log10(PAPER_FRONT_END.floor))
        frames = np.pad(frames, ((0, missing), (0, 0)), constant_values=quiet)
    windows = np.lib.stride_tricks.sliding_window_view(frames, SEGMENT_FRAMES, axis=0)
    windows = windows[::HOP_FRAMES].transpose(0, 2, 1)
    silent = silent_windows(stream.energies, stream.peak, len(windows), HOP_FRAMES, SEGMENT_FRAMES)
    return _Heard(windows, silent, stream.n_samples / SAMPLE_RATE)


def decibels_of_full_scale(log_mel: NDArray[np.float32], peak: float) -> NDArray[np.float32]:
    """Decibel frames as if the track had been peak-normalised first.

    Parameters
    ----------
    log_mel : ndarray of float32, shape (n, 64)
        Natural logarithm of the mel power.
    peak : float
        Largest magnitude of the track; 0 leaves the frames at the floor.

    Returns
    -------
    ndarray of float32, shape (n, 64)
        Not below the front end's floor of -100 dB.
    """
    gain = -20.0 * np.log10(peak) if peak > 0 else 0.0
    decibels = DECIBELS_PER_NEPER * log_mel + gain
    return np.asarray(np.maximum(decibels, 10 * np.log10(PAPER_FRONT_END.floor)), dtype=np.float32)
