"""Reverberation times of responses whose decay is known: noise under an exponential, some over a floor."""

import numpy as np
import pytest

from earprint.dsp.reverberation import synthetic_rir
from earprint.dsp.rt60 import RT60_EDGES_S, T20_TO_DB, estimate_rt60, rt60_range

RATE = 16_000


def decaying(rt60_s, seconds, floor_db=None, seed=0):
    """A direct sound and noise that falls by 60 dB in `rt60_s`; a noise floor below its start."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * RATE)) / RATE
    response = 10 ** (-3 * t / rt60_s) * rng.standard_normal(len(t))
    if floor_db is not None:
        response += 10 ** (floor_db / 20) * rng.standard_normal(len(t))
    response[0] = 2.0
    return response.astype(np.float32)


@pytest.mark.parametrize("rt60_s", [0.2, 0.4, 0.5, 0.8, 1.5])
@pytest.mark.parametrize(
    ("length", "floor_db"), [(2.0, None), (1.0, None), (0.75, None), (2.0, -60), (2.0, -45)]
)
def test_known_decays(rt60_s, length, floor_db):
    estimates = [estimate_rt60(decaying(rt60_s, length * rt60_s, floor_db, seed)) for seed in range(4)]
    # The decay of noise is itself random: a few per cent each, more for short ones.
    assert np.mean(estimates) == pytest.approx(rt60_s, rel=0.05)
    assert estimates == pytest.approx([rt60_s] * 4, rel=0.15)


def test_level_and_trailing_zeros_do_not_matter():
    response = decaying(0.5, 0.8)
    padded = np.concatenate([0.01 * response, np.zeros(RATE, np.float32)])
    assert estimate_rt60(padded) == pytest.approx(estimate_rt60(response), rel=0.03)


def test_the_demo_room_has_the_time_that_it_was_made_with():
    assert estimate_rt60(synthetic_rir(0.6, 3)) == pytest.approx(0.6, rel=0.1)


@pytest.mark.parametrize(
    "response",
    [
        decaying(1.0, 0.3),  # 18 dB of decay
        decaying(0.5, 1.0, floor_db=-15),
        np.ones(1, np.float32),
        np.zeros(RATE, np.float32),
        np.zeros(0, np.float32),
        np.random.default_rng(0).standard_normal(RATE).astype(np.float32),
    ],
)
def test_too_short_or_too_noisy(response):
    assert estimate_rt60(response) is None


def test_groups():
    assert rt60_range(None) == "RT60 unknown"
    assert rt60_range(0.05) == "RT60 below 0.1 s"
    assert rt60_range(0.3) == "RT60 0.3-0.45 s"
    assert rt60_range(0.599) == "RT60 0.45-0.6 s"
    assert rt60_range(5.0) == "RT60 1 s and more"
    # each of the paper's times has a group of its own
    assert len({rt60_range(t) for t in (0.2, 0.4, 0.5, 0.7, 0.8)}) == 5
    assert len(RT60_EDGES_S) + 1 == len({rt60_range(t) for t in np.arange(0.01, 2, 0.01)})


@pytest.mark.parametrize("rt60_s", [0.1, 0.5, 2.0])
def test_t20_alone(rt60_s):
    assert estimate_rt60(decaying(rt60_s, 3.0), [T20_TO_DB]) == pytest.approx(rt60_s, rel=0.1)


def test_t20_and_t30_of_a_decay_with_two_slopes():
    """A coupled room: the decay is slower below -27 dB, which only T30 includes."""
    fast, slow = decaying(0.4, 3.0), decaying(1.6, 3.0, seed=1)
    response = fast + np.float32(10 ** (-27 / 20)) * slow
    response[0] = fast[0]
    assert estimate_rt60(response) > 1.1 * estimate_rt60(response, [T20_TO_DB])
