"""Which windows count as silent: 60 dB under the track's peak, and never any other window's time."""

import numpy as np
import pytest

from earprint.features import PAPER_FRONT_END, LogMelStream, silent_windows


def flags(energies, peak, n, step=4, width=8):
    return silent_windows(np.asarray(energies, np.float32), peak, n, step, width)


@pytest.mark.parametrize(("level_db", "silent"), [(-59.5, False), (-60.5, True)])
@pytest.mark.parametrize("peak", [1.0, 0.01])
def test_sixty_decibels_under_the_squared_peak(level_db, silent, peak):
    energies = np.full(40, peak**2 * 10 ** (level_db / 10))
    assert (flags(energies, peak, 9) == silent).all()


def test_equals_a_slow_loop():
    rng = np.random.default_rng(0)
    energies = 10 ** rng.uniform(-8, -5, 103)
    expected = [energies[4 * i : 4 * i + 8].mean() <= 1e-6 for i in range(24)]
    assert 3 < sum(expected) < 21
    np.testing.assert_array_equal(flags(energies, 1.0, 24), expected)


def test_silence_in_the_middle_is_flagged_in_place():
    energies = np.full(100, 0.1)
    energies[40:60] = 0.0
    silent = flags(energies, 1.0, 24)
    assert np.flatnonzero(silent).tolist() == [10, 11, 12, 13]


def test_windows_that_reach_past_the_end_are_judged_by_what_exists():
    assert flags([0.1, 0.1], 1.0, 3).tolist() == [False, True, True]


def test_digital_silence_and_nothing_at_all_are_silent():
    assert flags(np.zeros(20), 0.0, 4).all()
    assert flags([], 0.0, 1).tolist() == [True]


def test_a_gap_in_audio_is_flagged_at_its_own_time():
    t = np.arange(4 * 16_000) / 16_000
    samples = (0.3 * np.sin(2 * np.pi * 440 * t)).astype(np.float32)
    samples[16_000:48_000] = 0.0
    stream = LogMelStream(PAPER_FRONT_END, [samples])
    frames = sum(len(part) for part in stream)
    silent = silent_windows(stream.energies, stream.peak, (frames - 96) // 10 + 1, 10, 96)
    start_s = np.flatnonzero(silent) * 0.1
    # Windows of 960 ms that lie in [1 s, 3 s).
    np.testing.assert_allclose(start_s, np.arange(10, 21) * 0.1)
