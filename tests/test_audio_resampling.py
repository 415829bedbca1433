import math

import numpy as np
import pytest
from scipy.signal import resample_poly

from earprint.audio import array_to_mono
from earprint.audio.resampling import MonoResampler, as_float32, resample_mono

RATES = [8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000, 192_000]


def band_limited(t, duration_s):
    """Four sines up to 3 kHz under a smooth window, at times t in seconds."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * t / duration_s)
    return window * sum(np.sin(2 * np.pi * f * t + f) for f in (100, 440, 1234, 3000)) / 4


@pytest.mark.parametrize("rate", RATES)
def test_agrees_with_the_analytic_signal_and_scipy(rate):
    n = 2 * rate + 17
    signal = band_limited(np.arange(n) / rate, n / rate)
    got = array_to_mono(signal, rate)
    assert got.dtype == np.float32
    assert len(got) == math.ceil(n * 16_000 / rate)
    deviation = np.std(signal)
    exact = band_limited(np.arange(len(got)) / 16_000, n / rate)
    assert np.abs(got - exact).max() < 1e-4 * deviation
    common = math.gcd(rate, 16_000)
    other = resample_poly(signal, 16_000 // common, rate // common)
    assert len(other) == len(got)
    assert np.sqrt(np.mean((got - other) ** 2)) < 3e-3 * deviation  # scipy's passband ripple


def test_what_lies_above_the_new_range_is_removed():
    t = np.arange(48_000) / 48_000
    got = array_to_mono(np.sin(2 * np.pi * 9_500 * t), 48_000)[1000:-1000]
    assert np.sqrt(np.mean(got**2)) < 1e-3


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_pieces_do_not_matter(rate):
    rng = np.random.default_rng(0)
    signal = rng.standard_normal(2 * rate + 5).astype(np.float32)
    resampler = MonoResampler(rate)
    pieces = np.split(signal, np.sort(rng.integers(0, len(signal), 40)))
    got = np.concatenate([*map(resampler.push, pieces), resampler.flush()])
    np.testing.assert_array_equal(got, array_to_mono(signal, rate))
    np.testing.assert_array_equal(got, resample_mono(signal, rate))


@pytest.mark.parametrize("n", [1, 2, 100])
@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_very_short(n, rate):
    assert len(array_to_mono(np.ones(n), rate)) == math.ceil(n * 16_000 / rate)


def test_channels_are_averaged():
    rng = np.random.default_rng(0)
    stereo = rng.standard_normal((4410, 2)) / 4
    np.testing.assert_allclose(
        array_to_mono(stereo, 44_100),
        (array_to_mono(stereo[:, 0], 44_100) + array_to_mono(stereo[:, 1], 44_100)) / 2,
        atol=1e-6,
    )


def test_16k_mono_comes_back_as_a_copy():
    signal = np.linspace(-1.05, 1.05, 1000, dtype=np.float32)
    got = array_to_mono(signal, 16_000)
    np.testing.assert_array_equal(got, signal)
    assert not np.shares_memory(got, signal)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([-32768, 0, 16384], np.int16), [-1, 0, 0.5]),
        (np.array([-(2**31), 2**30], np.int32), [-1, 0.5]),
        (np.array([0, 128, 192], np.uint8), [-1, 0, 0.5]),
        (np.array([-1.5, 0.25], np.float64), [-1.5, 0.25]),
        (np.array([0.5], np.float16), [0.5]),
    ],
)
def test_number_types(values, expected):
    got = as_float32(values)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, np.float32(expected))
    np.testing.assert_array_equal(array_to_mono(values, 16_000), np.float32(expected))
