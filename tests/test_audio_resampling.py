import math

import numpy as np
import pytest
from scipy.signal import resample_poly

from earprint.audio import resample
from earprint.audio.resampling import MonoResampler, as_float32
from earprint.errors import AudioError

RATES = [8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000, 192_000]


def band_limited(t, duration_s):
    """Four sines up to 3 kHz under a smooth window, at times t in seconds."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * t / duration_s)
    return window * sum(np.sin(2 * np.pi * f * t + f) for f in (100, 440, 1234, 3000)) / 4


@pytest.mark.parametrize("rate", RATES)
def test_agrees_with_the_analytic_signal_and_scipy(rate):
    n = 2 * rate + 17
    signal = band_limited(np.arange(n) / rate, n / rate)
    got = resample(signal, rate)
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
    got = resample(np.sin(2 * np.pi * 9_500 * t), 48_000)[1000:-1000]
    assert np.sqrt(np.mean(got**2)) < 1e-3


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_pieces_do_not_matter(rate):
    rng = np.random.default_rng(0)
    signal = rng.standard_normal(2 * rate + 5).astype(np.float32)
    resampler = MonoResampler(rate)
    pieces = np.split(signal, np.sort(rng.integers(0, len(signal), 40)))
    got = np.concatenate([*map(resampler.push, pieces), resampler.flush()])
    np.testing.assert_array_equal(got, resample(signal, rate))


@pytest.mark.parametrize("n", [1, 2, 100])
@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_very_short(n, rate):
    assert len(resample(np.ones(n), rate)) == math.ceil(n * 16_000 / rate)


def test_channels_are_averaged():
    rng = np.random.default_rng(0)
    stereo = rng.standard_normal((4410, 2)) / 4
    np.testing.assert_allclose(
        resample(stereo, 44_100),
        (resample(stereo[:, 0], 44_100) + resample(stereo[:, 1], 44_100)) / 2,
        atol=1e-6,
    )


def test_16k_mono_comes_back_as_a_copy():
    signal = np.linspace(-1.05, 1.05, 1000, dtype=np.float32)
    got = resample(signal, 16_000)
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
    np.testing.assert_array_equal(resample(values, 16_000), np.float32(expected))


@pytest.mark.parametrize(
    ("samples", "rate", "cause"),
    [
        (np.zeros(0), 16_000, "holds no samples"),
        (np.zeros((3, 0)), 16_000, "holds no samples"),
        (np.zeros((2, 2, 2)), 16_000, "not audio"),
        (np.zeros(()), 16_000, "not audio"),
        (np.array(["a"]), 16_000, "not audio"),
        (np.zeros(3, np.complex64), 16_000, "not audio"),
        (np.array([0, np.nan]), 16_000, "NaN"),
        (np.array([0, 1e300]), 16_000, "overflowing"),
        (np.zeros(3), 0, "sample rate 0"),
        (np.zeros(3), -8000, "sample rate -8000"),
        (np.zeros(3), 44_100.5, "sample rate 44100.5"),
        (np.zeros(3), math.nan, "sample rate nan"),
    ],
)
def test_bad_arrays(samples, rate, cause):
    with pytest.raises(AudioError, match=cause) as caught:
        resample(samples, rate)
    assert "; " in str(caught.value)
