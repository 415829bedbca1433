"""Local normalisation against a slow loop, in chunks, and under gains."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earprint.features import normalise, normalise_stream


def frames(n, seed=0, spread=3.0):
    rng = np.random.default_rng(seed)
    level = np.cumsum(rng.normal(0, 0.3, (n, 1)), axis=0)
    return (rng.normal(-2, spread, (n, 64)) + level).astype(np.float32)


def slow_normalise(log_mel):
    log_mel = log_mel.astype(np.float64)
    n = len(log_mel)
    near = [slice(max(0, i - 50), i + 51) for i in range(n)]
    wide = np.array([np.log(np.exp(log_mel[i]) + 1e-5 * np.exp(log_mel[near[i]]).mean()) for i in range(n)])
    return np.array(
        [(wide[i] - wide[near[i]].mean()) / np.sqrt(wide[near[i]].var() + 0.01) for i in range(n)]
    )


@pytest.mark.parametrize("n", [1, 2, 50, 51, 101, 300])
def test_equals_a_slow_loop(n):
    log_mel = frames(n)
    got = normalise(log_mel)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, slow_normalise(log_mel), atol=1e-4)


def test_no_frames():
    assert normalise(np.zeros((0, 64), np.float32)).shape == (0, 64)
    assert list(normalise_stream([])) == []


@given(n=st.integers(1, 2500), cuts=st.lists(st.integers(0, 2500), max_size=8), seed=st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_any_chunks_give_what_one_go_gives(n, cuts, seed):
    log_mel = frames(n, seed)
    chunks = np.split(log_mel, sorted(cuts))
    got = np.concatenate(list(normalise_stream(chunks)))
    np.testing.assert_allclose(got, normalise(log_mel), atol=2e-5)


def test_single_frames_as_chunks():
    log_mel = frames(2000)
    parts = list(normalise_stream(log_mel[i : i + 1] for i in range(2000)))
    assert len(parts) > 2
    np.testing.assert_allclose(np.concatenate(parts), normalise(log_mel), atol=2e-5)


@pytest.mark.parametrize("gain", [-9.0, -2.3, 5.0])
def test_a_gain_cancels(gain):
    log_mel = frames(250)
    np.testing.assert_allclose(normalise(log_mel + np.float32(gain)), normalise(log_mel), atol=2e-4)


def test_mean_and_deviation_of_stationary_frames():
    got = normalise(frames(500, spread=1.5) * 0 + np.random.default_rng(1).normal(0, 1.5, (500, 64)))
    assert abs(got.mean()) < 0.02
    assert got.std() == pytest.approx(1.0, abs=0.02)


def test_a_constant_stays_finite_and_near_zero():
    np.testing.assert_allclose(normalise(np.full((200, 64), -18.4, np.float32)), 0.0, atol=1e-2)


def test_an_emptied_band_is_floored_50_db_under_the_rest():
    log_mel = np.zeros((200, 64), np.float32)
    deep, deeper = log_mel.copy(), log_mel.copy()
    deep[:, 0], deeper[:, 0] = -18.0, -60.0
    np.testing.assert_allclose(normalise(deep), normalise(deeper), atol=5e-3)


def test_a_frame_depends_on_a_second_around_it_and_no_more():
    log_mel, changed = frames(600), frames(600)
    changed[:100] += 5
    changed[500:] -= 5
    np.testing.assert_allclose(normalise(changed)[200:400], normalise(log_mel)[200:400], atol=1e-5)
    assert np.abs(normalise(changed)[180:200] - normalise(log_mel)[180:200]).max() > 1e-6
