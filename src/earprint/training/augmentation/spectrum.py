"""One FFT for all filters of a batch: gains are collected first and applied once."""

import math
from functools import cached_property

import torch
from torch import Tensor

from earprint.constants import SAMPLE_RATE
from earprint.dsp.fft import fft_length


class Spectrum:
    """The bins of the FFT that filters a batch.

    Parameters
    ----------
    samples : int
        Length of the rows that are filtered.
    longest_response : int
        Samples of the longest impulse response; rows are padded by so many zeros.
    device : torch.device
    """

    def __init__(self, samples: int, longest_response: int, device: torch.device) -> None:
        self.samples, self.device = samples, device
        self.length = fft_length(samples + longest_response)
        self.bins = self.length // 2 + 1

    @cached_property
    def hz(self) -> Tensor:
        """Frequency of each bin in Hz, shape (1, bins)."""
        return torch.linspace(0, SAMPLE_RATE / 2, self.bins, device=self.device)[None]

    def of(self, audio: Tensor) -> Tensor:
        """Spectra of audio or impulse responses, shape (rows, samples) to (rows, bins), complex."""
        spectra: Tensor = torch.fft.rfft(audio, self.length)
        return spectra

    def filtered(self, audio: Tensor, gains: Tensor | None, keep: int) -> Tensor:
        """Multiply the spectra of rows by gains.

        Parameters
        ----------
        audio : Tensor, shape (rows, samples)
        gains : Tensor, shape (rows, bins), optional
            Real for zero phase, or complex. None leaves the audio unchanged.
        keep : int
            How many of the last samples to return. The samples before them only contribute reverberation.

        Returns
        -------
        Tensor, shape (rows, keep)
        """
        if gains is not None:
            audio = torch.fft.irfft(self.of(audio) * gains, self.length)
        return audio[:, self.samples - keep : self.samples]


class Gains:
    """The product of the gains that augmentations asked for, for each row of a batch.

    Parameters
    ----------
    rows : int
    spectrum : Spectrum
    """

    def __init__(self, rows: int, spectrum: Spectrum, values: Tensor | None = None) -> None:
        self.rows, self.spectrum, self.values = rows, spectrum, values

    def copy(self) -> "Gains":
        """The same gains, to multiply further."""
        values = None if self.values is None else self.values.clone()
        return Gains(self.rows, self.spectrum, values)

    def multiply(self, rows: Tensor, gains: Tensor) -> None:
        """Multiply some rows by gains, shape (chosen, bins), real or complex."""
        if self.values is None:
            if len(rows) == self.rows:
                self.values = gains
                return
            shape = (self.rows, self.spectrum.bins)
            self.values = torch.ones(shape, dtype=gains.dtype, device=gains.device)
        elif gains.is_complex() and not self.values.is_complex():
            self.values = self.values.to(gains.dtype)
        if len(rows) == self.rows:
            self.values *= gains
        else:
            self.values[rows] *= gains


def octaves_share(hz: Tensor, from_hz: float) -> Tensor:
    """Position of frequencies on a logarithmic axis: 0 up to ``from_hz``, 1 at half the sample rate."""
    return (hz.clamp_min(from_hz) / from_hz).log2() / math.log2(SAMPLE_RATE / 2 / from_hz)
