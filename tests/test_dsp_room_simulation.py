"""Simulated rooms ring about as long as they were asked to."""

import numpy as np
import pytest

from earprint.errors import TrainingError

pytest.importorskip("pyroomacoustics", reason="needs pyroomacoustics: pip install 'earprint[train]'")
from earprint.dsp import room_simulation as rooms

pytestmark = pytest.mark.filterwarnings("ignore")  # pyroomacoustics' own


def rt60_s(response):
    """Read off Schroeder's backward integral where it passes -5 and -25 dB, without any fit."""
    decay = np.cumsum(response[::-1].astype(np.float64) ** 2)[::-1]
    level = 10 * np.log10(np.maximum(decay / decay[0], 1e-12))
    first, last = (np.flatnonzero(level < limit)[0] / 16_000 for limit in (-5, -25))
    return 3 * (last - first)


@pytest.mark.parametrize("wanted_s", [0.2, 0.45, 0.8, 1.4])
@pytest.mark.slow
def test_every_response_rings_about_as_long_as_asked(wanted_s):
    for response in rooms.simulate_rooms(3, 3, (wanted_s, wanted_s)):
        assert rt60_s(response) == pytest.approx(wanted_s, rel=rooms.RT60_TOLERANCE + 0.1)


def test_the_range_is_drawn_from(monkeypatch):
    asked = []
    monkeypatch.setattr(rooms, "_draw", lambda rt60, rng: asked.append(rt60) or np.ones(3, np.float32))
    assert len(list(rooms.simulate_rooms(2_000, 1, (0.2, 0.8)))) == 2_000
    assert 0.2 <= min(asked) < 0.21
    assert 0.78 < max(asked) <= 0.8
    assert np.median(asked) == pytest.approx(0.4, rel=0.05)  # log-uniform


@pytest.mark.parametrize("wrong", [(0.8, 0.2), (0.01, 0.5), (0.5, 30.0), (float("nan"), 0.5)])
def test_a_range_that_is_none_is_refused_at_once(wrong):
    with pytest.raises(TrainingError, match=r"not a range of seconds within 0\.1 and 3"):
        rooms.simulate_rooms(1, 1, wrong)


@pytest.mark.slow
def test_responses_are_aligned_scaled_and_cut():
    made = list(rooms.simulate_rooms(4, seed=1))
    assert len(made) == 4
    for response in made:
        assert response.dtype == np.float32
        assert 100 < len(response) <= 16_000
        assert np.abs(response).max() == 1.0
        assert np.abs(response[0]) > 10 ** (-10 / 20) - 1e-6


@pytest.mark.slow
def test_same_seed_same_rooms():
    for a, b in zip(rooms.simulate_rooms(2, seed=5), rooms.simulate_rooms(2, seed=5), strict=True):
        np.testing.assert_array_equal(a, b)
