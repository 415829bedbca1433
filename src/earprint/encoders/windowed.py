"""The windowed encoder of the paper: each window of 960 ms is encoded by itself, one every 100 ms.

The recording is normalised to its peak. In decibels this subtracts one constant from every frame. The peak is
known only at the end of the recording, so all its frames stay in memory until then (23 MB per hour).
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
"""The paper's front end without its floor, which `decibels_of_full_scale` applies after normalisation."""

DECIBELS_PER_NEPER: Final = 10.0 / np.log(10.0)
"""10 log10(x) / ln(x): converts a natural logarithm of power to decibels."""


@dataclass(frozen=True)
class _Recording:
    """Windows of a recording, shape (n, 96, 64), which of them are silent, shape (n,), and its duration."""

    windows: NDArray[np.float32]
    silent: NDArray[np.bool_]
    duration_s: float


class WindowedEncoder(ModelEncoder):
    """Encoder of networks that see one window at a time (see `earprint.encoders.Encoder`)."""

    reference_hop_s: float = HOP_FRAMES / FRAME_RATE
    query_hop_s: float = HOP_FRAMES / FRAME_RATE

    def encode(self, blocks: AudioBlocks, *, query: bool = False) -> Fingerprints:
        """Fingerprint one recording, see `earprint.encoders.Encoder`. Both grids are the same here."""
        return self.encode_many([blocks], query=query)[0]

    def encode_many(self, recordings: Sequence[AudioBlocks], *, query: bool = False) -> list[Fingerprints]:
        """Fingerprint several recordings with full batches; all their windows are in memory at once."""
        prepared = [_cut_windows(blocks) for blocks in recordings]
        windows = [window for one in prepared for window in one.windows]
        batch = self._session.batch
        parts = [
            self._session.run(np.stack(windows[start : start + batch]))
            for start in range(0, len(windows), batch)
        ]
        vectors = np.concatenate([np.zeros((0, self.dim), np.float32), *parts])
        out, start = [], 0
        for one in prepared:
            rows = vectors[start : start + len(one.windows)]
            rows[one.silent] = 0.0
            out.append(Fingerprints(rows, self.query_hop_s, one.duration_s))
            start += len(rows)
        return out


def _cut_windows(blocks: AudioBlocks) -> _Recording:
    """Cut a recording's decibel frames into windows; a short recording is padded with the floor."""
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
    return _Recording(windows, silent, stream.n_samples / SAMPLE_RATE)


def decibels_of_full_scale(log_mel: NDArray[np.float32], peak: float) -> NDArray[np.float32]:
    """Convert log-mel frames to decibels relative to the recording's peak.

    Parameters
    ----------
    log_mel : ndarray of float32, shape (n, 64)
        Natural logarithm of the mel power.
    peak : float
        Largest magnitude of the recording; 0 applies no gain.

    Returns
    -------
    ndarray of float32, shape (n, 64)
        At least -100 dB, the floor of the front end.
    """
    gain = -20.0 * np.log10(peak) if peak > 0 else 0.0
    decibels = DECIBELS_PER_NEPER * log_mel + gain
    return np.asarray(np.maximum(decibels, 10 * np.log10(PAPER_FRONT_END.floor)), dtype=np.float32)
