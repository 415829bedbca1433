import math
from fractions import Fraction

import numpy as np
import pytest

from earprint.audio import array_to_mono
from earprint.errors import AudioError


def stereo(n=4410):
    return np.random.default_rng(0).uniform(-1, 1, (n, 2)).astype(np.float32)


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_both_orders_of_axes_give_the_mean_of_the_channels(rate):
    samples = stereo()
    expected = array_to_mono(samples.mean(axis=1), rate)
    np.testing.assert_array_equal(array_to_mono(samples, rate), expected)
    np.testing.assert_array_equal(array_to_mono(samples.T, rate), expected)
    np.testing.assert_array_equal(array_to_mono(np.ascontiguousarray(samples.T), rate), expected)


def test_one_channel_in_two_dimensions_is_the_same_as_in_one():
    samples = stereo()[:, 0]
    for shaped in (samples[np.newaxis], samples[:, np.newaxis]):
        np.testing.assert_array_equal(array_to_mono(shaped, 8_000), array_to_mono(samples, 8_000))


@pytest.mark.parametrize("shape", [(1000, 32), (32, 1000), (1000, 1), (1, 1000)])
def test_the_least_certain_shapes_that_are_accepted(shape):
    assert array_to_mono(np.ones(shape), 16_000).shape == (1000,)


@pytest.mark.parametrize("shape", [(999, 2), (2, 999), (1000, 33), (33, 1000), (2, 2), (5000, 5000), (1, 1)])
def test_shapes_that_could_be_either_are_refused(shape):
    with pytest.raises(
        ValueError, match=r"tell samples from channels; pass \(n,\), or \(n, channels\)"
    ) as caught:
        array_to_mono(np.ones(shape), 16_000)
    assert str(shape) in str(caught.value)


def test_a_recording_longer_than_one_block_is_joined():
    samples = np.random.default_rng(0).uniform(-1, 1, (2, (1 << 20) + 5)).astype(np.float32)
    np.testing.assert_array_equal(array_to_mono(samples, 16_000), samples.mean(axis=0))


class Tensor:
    """An object that NumPy can convert, as tensors of other packages."""

    def __init__(self, samples, error=None):
        self.samples, self.error = samples, error

    def __array__(self, dtype=None, copy=None):
        if self.error:
            raise self.error
        return self.samples


def test_what_numpy_converts_is_accepted():
    samples = stereo().T
    np.testing.assert_array_equal(array_to_mono(Tensor(samples), 44_100), array_to_mono(samples, 44_100))


@pytest.mark.parametrize(
    ("samples", "error", "cause"),
    [
        ([0.0, 1.0], TypeError, "type list: are not an array"),
        (b"1234", TypeError, "type bytes: are not an array"),
        (None, TypeError, "type NoneType: are not an array"),
        (Tensor(None, TypeError("is on a device")), TypeError, "is on a device"),
        (Tensor(None, RuntimeError("needs a gradient")), TypeError, "needs a gradient"),
        (np.array(["a"]), TypeError, "no real numbers"),
        (np.array([object()]), TypeError, "type object: holds no real numbers"),
        (np.zeros(3, bool), TypeError, "type bool: holds no real numbers"),
        (np.zeros(3, np.complex64), TypeError, "type complex64: holds no real numbers"),
        (np.zeros((1, 2, 2000)), ValueError, "has 3 dimensions"),
        (np.zeros(()), ValueError, "has 0 dimensions"),
        (np.zeros((3, 0)), ValueError, "has 0 channels"),
        (np.zeros(0), AudioError, "holds no samples"),
        (np.zeros((0, 2)), AudioError, "holds no samples"),
        (np.array([0, np.nan]), ValueError, "NaN or infinite"),
        (np.array([0, np.inf]), ValueError, "NaN or infinite"),
        (np.array([0, 1e300]), ValueError, "NaN or infinite"),
        (np.full((1000, 2), 3e38, np.float32), ValueError, "NaN or infinite"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_bad_samples(samples, error, cause):
    with pytest.raises(error, match=cause) as caught:
        array_to_mono(samples, 16_000)
    assert type(caught.value) is error
    assert "; " in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("rate", "error", "cause"),
    [
        (0, ValueError, "not between 1000 and 1000000 Hz"),
        (-8000, ValueError, "sample_rate -8000: is not between"),
        (999, ValueError, "not between"),
        (1_000_001, ValueError, "not between"),
        (44_100.5, ValueError, r"sample_rate 44100\.5: is not a whole number"),
        (math.nan, ValueError, "not a whole number"),
        (math.inf, ValueError, "not a whole number"),
        (True, TypeError, "of type bool"),
        ("44100", TypeError, "sample_rate '44100': is of type str"),
        (None, TypeError, "of type NoneType"),
        (1j, TypeError, "of type complex"),
        (np.array([16_000]), TypeError, "of type ndarray"),
    ],
)
def test_bad_sample_rates(rate, error, cause):
    with pytest.raises(error, match=cause) as caught:
        array_to_mono(np.zeros(3), rate)
    assert "; " in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("rate", [8_000, 8_000.0, np.int32(8_000), np.float32(8_000), Fraction(8_000)])
def test_whole_sample_rates_of_any_type(rate):
    assert len(array_to_mono(np.ones(100), rate)) == 200
