"""Simulated rooms ring about as long as they were asked to."""

import numpy as np
import pytest

pytest.importorskip("pyroomacoustics", reason="needs pyroomacoustics: pip install 'earprint[train]'")
from earprint.train import rooms

pytestmark = pytest.mark.filterwarnings("ignore")  # pyroomacoustics' own


def t60_s(response):
    """From the slope of Schroeder's backward integral between -5 and -20 dB."""
    decay = np.cumsum(response[::-1].astype(np.float64) ** 2)[::-1]
    level = 10 * np.log10(np.maximum(decay / decay[0], 1e-12))
    use = (level < -5) & (level > -20)
    slope, _ = np.polyfit(np.flatnonzero(use) / 16_000, level[use], 1)
    return -60 / slope


@pytest.mark.parametrize("wanted_s", [0.2, 0.45])
def test_reverberation_time(monkeypatch, wanted_s):
    monkeypatch.setattr(rooms, "T60_RANGE_S", (wanted_s, wanted_s))
    measured = [t60_s(response) for response in rooms.simulate_rooms(5, seed=3)]
    assert np.median(measured) == pytest.approx(wanted_s, rel=0.35)


def test_responses_are_aligned_scaled_and_cut():
    made = list(rooms.simulate_rooms(4, seed=1))
    assert len(made) == 4
    for response in made:
        assert response.dtype == np.float32
        assert 100 < len(response) <= 16_000
        assert np.abs(response).max() == 1.0
        assert np.abs(response[0]) > 10 ** (-10 / 20) - 1e-6


def test_same_seed_same_rooms():
    for a, b in zip(rooms.simulate_rooms(2, seed=5), rooms.simulate_rooms(2, seed=5), strict=True):
        np.testing.assert_array_equal(a, b)
