"""Augmentations on tensors against slow references and analytic signals."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'earprint[train]'")
from earprint.dsp.fft import fft_length  # noqa: E402
from earprint.training.augmentation.clipping import clip_peaks  # noqa: E402
from earprint.training.augmentation.filters import (  # noqa: E402
    BandLimit,
    NoiseTilt,
    equalizer_gains,
)
from earprint.training.augmentation.noise import mix_at_snr  # noqa: E402
from earprint.training.augmentation.responses import reshape_responses  # noqa: E402
from earprint.training.augmentation.spec_mask import mask_bands  # noqa: E402
from earprint.training.augmentation.spectrum import Gains, Spectrum  # noqa: E402

CPU = torch.device("cpu")


def band_limit_gains(low_hz, high_hz, order, hz):
    params = {"low_hz": low_hz, "high_hz": high_hz, "order": order}
    return BandLimit().apply(SimpleNamespace(hz=hz), params, None)


def tilt_gains(db_per_octave, hz):
    return NoiseTilt().apply(SimpleNamespace(hz=hz), {"db_per_octave": db_per_octave}, None)


def randn(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


@pytest.mark.parametrize("level", [1.0, 1e-3])
def test_snr_is_as_asked(level):
    signal, noise = level * randn(4, 8_000), 7 * randn(4, 8_000, seed=1)
    wanted = torch.tensor([-5.0, 0.0, 10.0, 20.0])
    added = (mix_at_snr(signal, noise, wanted) - signal).double()
    measured = 10 * torch.log10(signal.double().square().mean(1) / added.square().mean(1))
    np.testing.assert_allclose(measured.numpy(), wanted.numpy(), atol=0.1)


def test_silent_signal_or_noise_changes_nothing():
    signal, noise = randn(2, 1_000), randn(2, 1_000, seed=1)
    signal[0], noise[1] = 0.0, 0.0
    assert torch.equal(mix_at_snr(signal, noise, torch.zeros(2)), signal)


@pytest.mark.parametrize("n", [*range(2, 200), 1_000, 4_097, 48_001, 65_537])
def test_fft_length_is_the_smallest(n):
    def smooth(value):
        for prime in (2, 3, 5):
            while value % prime == 0:
                value //= prime
        return value == 1

    smallest = next(value for value in range(n, 2 * n + 2) if value % 2 == 0 and smooth(value))
    assert fft_length(n) == smallest


@pytest.mark.parametrize("keep", [None, 700, 1])
def test_filtering_is_convolution(keep):
    audio, responses = randn(3, 1_000), randn(3, 300, seed=1)
    spectrum = Spectrum(1_000, 300, CPU)
    got = spectrum.filtered(audio, spectrum.of(responses), keep or 1_000)
    assert got.shape == (3, keep or 1_000)
    for row, (a, b) in enumerate(zip(audio.double(), responses.double(), strict=True)):
        expected = np.convolve(a, b)[:1_000][-(keep or 1_000) :]
        np.testing.assert_allclose(got[row], expected, atol=1e-4)


def test_a_unit_response_neither_delays_nor_changes():
    audio, response = randn(2, 999), torch.zeros(2, 400)
    response[:, 0] = 1.0
    spectrum = Spectrum(999, 400, CPU)
    np.testing.assert_allclose(spectrum.filtered(audio, spectrum.of(response), 999), audio, atol=1e-5)
    np.testing.assert_array_equal(spectrum.filtered(audio, None, 99), audio[:, -99:])


def test_gains_do_not_delay():
    click, spectrum = torch.zeros(1, 2_001), Spectrum(2_001, 100, CPU)
    click[0, 1_000] = 1.0
    gains = band_limit_gains(torch.tensor([300.0]), torch.tensor([3_400.0]), torch.tensor([4.0]), spectrum.hz)
    got = spectrum.filtered(click, gains, 2_001)[0].numpy()
    assert np.abs(got).argmax() == 1_000
    np.testing.assert_allclose(got[1_000:1_200], got[1_000:800:-1], atol=1e-6)


def test_gains_weigh_a_sine():
    n = 16_000
    hz, spectrum = 500.0, Spectrum(n, 1, CPU)
    sine = torch.sin(2 * torch.pi * hz * torch.arange(n) / 16_000)[None].float()
    gains = band_limit_gains(torch.zeros(1), torch.tensor([hz]), torch.tensor([2.0]), spectrum.hz)
    got = spectrum.filtered(sine, gains, n)[0, 4_000:-4_000]
    assert float(got.square().mean()) == pytest.approx(0.25, rel=1e-3)


def frequencies(length):
    return torch.linspace(0, 8_000, length // 2 + 1)[None]


def gain_db(low, high, order, hz):
    curve = band_limit_gains(
        torch.tensor([float(low)]),
        torch.tensor([float(high)]),
        torch.tensor([float(order)]),
        frequencies(16_000),
    )
    assert curve.shape == (1, 8_001)
    return 20 * np.log10(float(curve[0, hz]))


@pytest.mark.parametrize("order", [1, 2, 6])
def test_half_power_at_the_corners_and_slope(order):
    half = 10 * np.log10(0.5)
    assert gain_db(0, 2_000, order, 2_000) == pytest.approx(half, abs=0.01)
    assert gain_db(200, 1e6, order, 200) == pytest.approx(half, abs=0.01)
    octave_up = gain_db(0, 500, order, 8_000) - gain_db(0, 500, order, 4_000)
    octave_down = gain_db(4_000, 1e6, order, 250) - gain_db(4_000, 1e6, order, 500)
    assert octave_up == pytest.approx(-6.02 * order, rel=0.03)
    assert octave_down == pytest.approx(-6.02 * order, rel=0.03)
    assert gain_db(200, 2_000, 6, 700) == pytest.approx(0.0, abs=0.01)


def test_no_limits_leave_the_spectrum_alone():
    curve = band_limit_gains(torch.zeros(1), torch.tensor([1e6]), torch.tensor([1.0]), frequencies(1_000))
    np.testing.assert_allclose(curve, 1.0, atol=1e-4)


@pytest.mark.parametrize("tilt_db", [-4.0, 2.5])
def test_a_tilt_in_decibels_per_octave(tilt_db):
    length = 16_000  # one bin each Hz
    gains_db = 20 * torch.log10(tilt_gains(torch.tensor([tilt_db, 0.0]), frequencies(length)))
    assert gains_db.shape == (2, length // 2 + 1)
    for hz, octaves in ((1_000, 0), (2_000, 1), (8_000, 3), (125, -3)):
        assert float(gains_db[0, hz]) == pytest.approx(tilt_db * octaves, abs=0.01)
    assert float(gains_db[0, 0]) == pytest.approx(float(gains_db[0, 60]), abs=0.01)
    assert not gains_db[1].any()


def test_clipped_peaks():
    audio = randn(3, 1_000)
    got = clip_peaks(audio, torch.tensor([1.0, 0.5, 0.1]))
    assert torch.equal(got[0], audio[0])
    for row, share in ((1, 0.5), (2, 0.1)):
        limit = share * float(audio[row].abs().max())
        np.testing.assert_allclose(got[row], np.clip(audio[row].numpy(), -limit, limit), rtol=1e-6)


def test_masked_bands_hold_the_mean():
    log_mel = randn(3, 50, 64)
    got = mask_bands(log_mel, torch.tensor([10, 60, 5]), torch.tensor([4, 9, 0]))
    expected = log_mel.clone()
    expected[0, :, 10:14] = log_mel[0].mean()
    expected[1, :, 60:] = log_mel[1].mean()
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_a_colour_is_a_sum_of_cosines_over_the_octaves():
    terms = torch.tensor([[3.0, -2.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0]])
    length = 4_096
    curve = equalizer_gains(terms, frequencies(length))
    for bin_ in (1, 15, 40, 300, 1_500, 2_048):
        hz = max(bin_ * 16_000 / length, 60.0)
        share = math.log(hz / 60) / math.log(8_000 / 60)
        slow = sum(float(a) * math.cos(math.pi * (k + 1) * share) for k, a in enumerate(terms[0]))
        assert 20 * math.log10(float(curve[0, bin_])) == pytest.approx(slow, abs=1e-3)
    assert torch.equal(curve[1], torch.ones_like(curve[1]))


def test_reshaped_responses_keep_their_direct_sound_and_die_away_as_asked():
    responses = torch.ones(2, 16_000)
    shaped = reshape_responses(responses, torch.tensor([-40.0, 10.0]), torch.tensor([3.0, -6.0]))
    assert torch.equal(shaped[:, :80], responses[:, :80])
    level = 20 * shaped.log10()
    for at_s in (0.006, 0.1, 0.9):
        sample = round(at_s * 16_000)
        assert float(level[0, sample]) == pytest.approx(3 - 40 * (at_s - 0.005), abs=1e-3)
        assert float(level[1, sample]) == pytest.approx(-6 + 10 * (at_s - 0.005), abs=1e-3)


@pytest.mark.parametrize("kinds", ["rr", "rc", "cr", "cc"])
def test_gains_multiply_for_their_rows_only(kinds):
    spectrum = Spectrum(100, 28, CPU)
    assert spectrum.bins == 65
    factors = [
        randn(2, 65, seed=k) if kind == "r" else randn(2, 65, seed=k) * 1j for k, kind in enumerate(kinds)
    ]
    gains, expected = Gains(4, spectrum), torch.ones(4, 65, dtype=torch.complex64)
    for rows, factor in zip(([0, 2], [2, 3]), factors, strict=True):
        gains.multiply(torch.tensor(rows), factor)
        expected[rows] *= factor
    np.testing.assert_allclose(gains.values.to(torch.complex64), expected, rtol=1e-6)
    copied = gains.copy()
    copied.multiply(torch.arange(4), torch.full((4, 65), 2.0))
    np.testing.assert_allclose(copied.values.to(torch.complex64), 2 * expected, rtol=1e-6)
    np.testing.assert_allclose(gains.values.to(torch.complex64), expected, rtol=1e-6)
