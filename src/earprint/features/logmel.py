"""Log-mel spectrograms with a hop of 10 ms, from audio of any length.

Frame ``i`` is centred on the hop ``[160 i, 160 (i + 1))`` of samples. The recording is padded by
``(n_fft - 160) / 2`` zeros at both ends, so a recording of ``n`` samples has ``n // 160`` frames for any FFT
length, 96 frames are exactly 960 ms, and a 30 s clip has the paper's 291 segments. Levels are not normalised
here: a gain adds a constant to the logarithm, which encoders remove.

The mel scale is HTK's, ``mel = 2595 log10(1 + f / 700)``, with triangles of height one (no area
normalisation), as in the paper's released front end.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from earprint.constants import FRAME_HOP, N_MELS, SAMPLE_RATE

FRAMES_PER_BLOCK = 256
"""Frames yielded at once, at most."""

FRAMES_PER_TRANSFORM = 128
"""Frames in one call of the FFT: few enough for a core's cache, and enough to be worth the call."""

BANDS_PER_PRODUCT = N_MELS // 4
"""Mel bands in one matrix product, which uses only the part of the spectrum under their triangles."""


def hz_to_mel(hz: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Convert frequencies in Hz to HTK mel (Young et al., The HTK Book, section 5.4)."""
    return np.asarray(2595.0 * np.log10(1.0 + np.asarray(hz, dtype=np.float64) / 700.0))


def mel_to_hz(mel: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Convert HTK mel to Hz, the inverse of `hz_to_mel`."""
    return np.asarray(700.0 * (10.0 ** (np.asarray(mel, dtype=np.float64) / 2595.0) - 1.0))


@dataclass(frozen=True)
class FrontEnd:
    """Parameters of a log-mel spectrogram.

    Attributes
    ----------
    n_fft : int
        Length of the FFT and of its periodic Hann window, in samples.
    f_min, f_max : float
        Lower edge of the first and upper edge of the last mel band, in Hz.
    floor : float
        Lower limit of the power before the logarithm (full scale is 1).
    pitch : float
        Factor of all band edges. With 2, a recording gives the bands of the same music an octave lower. Bands
        above half the sample rate are empty.
    """

    n_fft: int
    f_min: float
    f_max: float
    floor: float
    pitch: float = 1.0

    @cached_property
    def window(self) -> NDArray[np.float32]:
        """Periodic Hann window, shape (n_fft,)."""
        phase = 2.0 * np.pi * np.arange(self.n_fft) / self.n_fft
        return (0.5 - 0.5 * np.cos(phase)).astype(np.float32)

    @cached_property
    def filterbank(self) -> NDArray[np.float32]:
        """Triangular mel filters, shape (n_fft // 2 + 1, 64)."""
        bins_hz = np.arange(self.n_fft // 2 + 1) * (SAMPLE_RATE / self.n_fft)
        edges_mel = np.linspace(hz_to_mel(self.f_min), hz_to_mel(self.f_max), N_MELS + 2)
        edges_hz = mel_to_hz(edges_mel) * self.pitch
        lower, centre, upper = edges_hz[:-2], edges_hz[1:-1], edges_hz[2:]
        rising = (bins_hz[:, None] - lower) / (centre - lower)
        falling = (upper - bins_hz[:, None]) / (upper - centre)
        return np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)

    @cached_property
    def _products(self) -> list[tuple[slice, slice, NDArray[np.float32]]]:
        """FFT bins, mel bands, and part of the filterbank, shape (bins, bands), of each matrix product."""
        products = []
        for start in range(0, N_MELS, BANDS_PER_PRODUCT):
            bands = slice(start, start + BANDS_PER_PRODUCT)
            used = np.flatnonzero(self.filterbank[:, bands].any(axis=1))
            bins = slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0, 1)
            products.append((bins, bands, np.ascontiguousarray(self.filterbank[bins, bands])))
        return products

    @property
    def pad(self) -> int:
        """Zeros added before and after a recording, in samples."""
        return (self.n_fft - FRAME_HOP) // 2

    def mel_power(self, padded: NDArray[np.float32], n_frames: int) -> NDArray[np.float32]:
        """Mel power of ``n_frames`` frames of padded samples.

        Parameters
        ----------
        padded : ndarray of float32, shape (at least (n_frames - 1) * 160 + n_fft,)
            Samples, starting ``pad`` samples before the first frame's hop.
        n_frames : int

        Returns
        -------
        ndarray of float32, shape (n_frames, 64)
        """
        mel = np.empty((n_frames, N_MELS), np.float32)
        if n_frames == 0:
            return mel
        frames = np.lib.stride_tricks.sliding_window_view(padded, self.n_fft)[::FRAME_HOP]
        for start in range(0, n_frames, FRAMES_PER_TRANSFORM):
            stop = min(start + FRAMES_PER_TRANSFORM, n_frames)
            spectrum = np.fft.rfft(frames[start:stop] * self.window, axis=1)
            power = spectrum.real**2
            power += spectrum.imag**2
            for bins, bands, triangles in self._products:
                mel[start:stop, bands] = power[:, bins] @ triangles
        return mel

    def log_mel(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Natural logarithm of the mel power of a whole recording, shape (n // 160, 64)."""
        stream = LogMelStream(self, [samples])
        parts = list(stream)
        return np.concatenate(parts) if parts else np.zeros((0, N_MELS), np.float32)


class LogMelStream:
    """Iterate over the log-mel frames of a recording, in bounded memory.

    Iterating yields arrays of shape (n, 64): the natural logarithm of the mel power. The attributes are
    complete at the end of the recording.

    Parameters
    ----------
    front_end : FrontEnd
    blocks : iterable of ndarray of float32, shape (n,)
        Consecutive samples at 16 kHz.

    Attributes
    ----------
    n_samples : int
        Samples read.
    peak : float
        Largest magnitude of them.
    """

    def __init__(self, front_end: FrontEnd, blocks: Iterable[NDArray[np.float32]]) -> None:
        self._front_end, self._blocks = front_end, blocks
        self._energies: list[NDArray[np.float32]] = []
        self.n_samples, self.peak = 0, 0.0

    @property
    def energies(self) -> NDArray[np.float32]:
        """Mean square of the 160 samples in each frame's hop, shape (frames so far,)."""
        return np.concatenate([np.zeros(0, np.float32), *self._energies])

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        front_end = self._front_end
        held = np.zeros(front_end.pad, np.float32)
        for block in self._padded():
            held = np.concatenate((held, block))
            while (ready := (len(held) - front_end.n_fft) // FRAME_HOP + 1) > 0:
                ready = min(ready, FRAMES_PER_BLOCK)
                yield self._frames(held, ready)
                held = held[ready * FRAME_HOP :]

    def _padded(self) -> Iterator[NDArray[np.float32]]:
        for block in self._blocks:
            if len(block):
                self.n_samples += len(block)
                self.peak = max(self.peak, float(block.max()), -float(block.min()))
                yield np.asarray(block, dtype=np.float32)
        # Samples after the last whole hop make no frame.
        yield np.zeros(max(0, self._front_end.pad - self.n_samples % FRAME_HOP), np.float32)

    def _frames(self, held: NDArray[np.float32], n_frames: int) -> NDArray[np.float32]:
        pad = self._front_end.pad
        cells = held[pad : pad + n_frames * FRAME_HOP].reshape(n_frames, FRAME_HOP)
        self._energies.append(np.einsum("ij,ij->i", cells, cells) / FRAME_HOP)
        power = self._front_end.mel_power(held, n_frames)
        return np.log(np.maximum(power, self._front_end.floor, out=power), out=power)


PAPER_FRONT_END = FrontEnd(n_fft=512, f_min=0.0, f_max=8000.0, floor=1e-10)
"""The paper's front end: 512-point FFT, 64 bands from 0 to 8000 Hz."""

DENSE_FRONT_END = FrontEnd(n_fft=1024, f_min=60.0, f_max=7800.0, floor=1e-8)
"""The dense encoder's: a longer window for the bass, without mains hum and the anti-aliasing band."""
