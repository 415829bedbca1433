"""Distortions of training audio, in batches, in torch, on whatever device the audio is.

All functions take and give (batch, samples) float32 tensors and draw nothing at random themselves: what
varies comes in as an argument with its unit, so each can be tested against a slow reference.
"""

import math

import torch
from torch import Tensor

from earprint.constants import SAMPLE_RATE
from earprint.dsp.fft import fft_length
from earprint.training.distortions import DIRECT_S, TILT_FROM_HZ, TILT_HZ


def mean_square(audio: Tensor) -> Tensor:
    """Mean square of each row, shape (batch, 1)."""
    return audio.square().mean(dim=1, keepdim=True)


def mix_at_snr(signal: Tensor, noise: Tensor, snr_db: Tensor) -> Tensor:
    """Add noise so that the ratio of mean squares over the whole row is ``snr_db`` (paper, section 2.2).

    Parameters
    ----------
    signal, noise : Tensor, shape (batch, n)
    snr_db : Tensor, shape (batch,)

    Returns
    -------
    Tensor, shape (batch, n)
        The signal unchanged where it or the noise is silent.
    """
    power_signal, power_noise = mean_square(signal), mean_square(noise)
    wanted = power_signal / 10 ** (snr_db[:, None] / 10)
    gain = torch.where(power_noise > 0, (wanted / power_noise.clamp_min(1e-20)).sqrt(), 0.0)
    return signal + gain * noise


def filter_spectra(
    audio: Tensor, responses: Tensor, curves: Tensor | None = None, keep: int | None = None
) -> Tensor:
    """Convolve rows with impulse responses and weigh their spectra, in one FFT.

    Parameters
    ----------
    audio : Tensor, shape (batch, n)
    responses : Tensor, shape (batch, m)
        Impulse responses, direct sound at 0.
    curves : Tensor, shape (batch, fft_length(n + m) // 2 + 1), optional
        Gains to multiply the spectrum by: real (zero phase), see `band_limit_curve`, or complex.
    keep : int, optional
        How many of the last of the ``n`` samples to return; the rest was past context that only
        contributes its reverberation. All by default.

    Returns
    -------
    Tensor, shape (batch, keep)
    """
    n = audio.shape[1]
    length = fft_length(n + responses.shape[1])
    spectrum = torch.fft.rfft(audio, length) * torch.fft.rfft(responses, length)
    if curves is not None:
        spectrum = spectrum * curves
    out: Tensor = torch.fft.irfft(spectrum, length)
    return out[:, n - (keep or n) : n]


def band_limit_curve(low_hz: Tensor, high_hz: Tensor, order: Tensor, length: int) -> Tensor:
    """Gains of Butterworth-shaped high- and low-passes (half power at the corners), zero phase.

    Parameters
    ----------
    low_hz, high_hz : Tensor, shape (batch,)
        Corner of the high-pass (0 for none) and of the low-pass.
    order : Tensor, shape (batch,)
        Slope: 6 dB per octave and order.
    length : int
        FFT length.

    Returns
    -------
    Tensor, shape (batch, length // 2 + 1)
    """
    hz = _frequencies(length, low_hz.device)
    twice = 2 * order[:, None]
    high_pass = 1 / (1 + (low_hz[:, None] / hz.clamp_min(1e-3)) ** twice)
    low_pass = 1 / (1 + (hz / high_hz[:, None]) ** twice)
    return (high_pass * low_pass).sqrt()


def tilt_curve(db_per_octave: Tensor, length: int) -> Tensor:
    """Gains of a spectral tilt about `TILT_HZ`, zero phase; level below `TILT_FROM_HZ`.

    Parameters
    ----------
    db_per_octave : Tensor, shape (batch,)
        Positive for brighter.
    length : int
        FFT length.

    Returns
    -------
    Tensor, shape (batch, length // 2 + 1)
    """
    hz = _frequencies(length, db_per_octave.device)
    octaves = (hz.clamp_min(TILT_FROM_HZ) / TILT_HZ).log2()
    return 10 ** (db_per_octave[:, None] * octaves / 20)


def colour_curve(terms_db: Tensor, length: int) -> Tensor:
    """Gains of a smooth curve, zero phase: cosines over the octaves from `TILT_FROM_HZ` up.

    Parameters
    ----------
    terms_db : Tensor, shape (batch, terms)
        Term ``k`` goes through ``k + 1`` half periods over these octaves.
    length : int
        FFT length.

    Returns
    -------
    Tensor, shape (batch, length // 2 + 1)
    """
    hz = _frequencies(length, terms_db.device)
    share = (hz.clamp_min(TILT_FROM_HZ) / TILT_FROM_HZ).log2() / math.log2(SAMPLE_RATE / 2 / TILT_FROM_HZ)
    half_periods = torch.arange(1, terms_db.shape[1] + 1, device=terms_db.device)[:, None]
    return 10 ** (terms_db @ (torch.pi * half_periods * share).cos() / 20)


def reshape_responses(responses: Tensor, decay_db: Tensor, tail_db: Tensor) -> Tensor:
    """Let responses (batch, n), direct sound at 0, die away otherwise after their direct sound.

    Parameters
    ----------
    responses : Tensor, shape (batch, n)
    decay_db : Tensor, shape (batch,)
        In dB per second; below 0 they die away faster.
    tail_db : Tensor, shape (batch,)
        How much louder all is that follows the direct sound (`DIRECT_S`).
    """
    after = torch.arange(responses.shape[1], device=responses.device) / SAMPLE_RATE - DIRECT_S
    gain_db = torch.where(after > 0, tail_db[:, None] + decay_db[:, None] * after, 0.0)
    return responses * 10 ** (gain_db / 20)


def _frequencies(length: int, device: torch.device) -> Tensor:
    """Frequency of each bin of an FFT of some length, in Hz, shape (1, length // 2 + 1)."""
    return torch.linspace(0, SAMPLE_RATE / 2, length // 2 + 1, device=device)[None]


def clip_peaks(audio: Tensor, share: Tensor) -> Tensor:
    """Clip each row at ``share`` (batch,) of its peak; 1 leaves it as it is."""
    limit = audio.abs().amax(dim=1, keepdim=True) * share[:, None]
    return torch.maximum(torch.minimum(audio, limit), -limit)


def mask_bands(log_mel: Tensor, first: Tensor, width: Tensor) -> Tensor:
    """Replace bands [first, first + width) of each (batch, frames, bands) row by the row's mean.

    The frequency mask of SpecAugment (Park et al. 2019, section 2).
    """
    band = torch.arange(log_mel.shape[2], device=log_mel.device)[None]
    hidden = (band >= first[:, None]) & (band < (first + width)[:, None])
    mean = log_mel.mean(dim=(1, 2), keepdim=True)
    return torch.where(hidden[:, None], mean, log_mel)
