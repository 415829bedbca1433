"""The log-mel front ends against librosa, against a slow loop, and on signals whose spectrum is known."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earprint.features import DENSE_FRONT_END, PAPER_FRONT_END, LogMelStream
from golden.make_logmel import FRONT_ENDS, golden_signal

GOLDEN = Path(__file__).parent / "golden" / "logmel.npz"
EACH = pytest.mark.parametrize(
    ("name", "front_end"), [("paper", PAPER_FRONT_END), ("dense", DENSE_FRONT_END)]
)


def noise(n, seed=0, level=0.1):
    return (level * np.random.default_rng(seed).standard_normal(n)).astype(np.float32)


def slow_mel_power(samples, n_fft, f_min, f_max):
    """In float64, frame by frame, bin by bin; nothing shared with the package."""

    def mel(hz):
        return 2595 * np.log10(1 + hz / 700)

    k = np.arange(n_fft // 2 + 1)
    transform = np.exp(-2j * np.pi * np.outer(k, np.arange(n_fft)) / n_fft)
    window = np.hanning(n_fft + 1)[:-1]
    edges = 700 * (10 ** (np.linspace(mel(f_min), mel(f_max), 66) / 2595) - 1)
    rows = []
    for i in range(len(samples) // 160):
        frame = np.zeros(n_fft)
        for j in range(n_fft):
            at = 160 * i - (n_fft - 160) // 2 + j
            if 0 <= at < len(samples):
                frame[j] = samples[at]
        power = np.abs(transform @ (frame * window)) ** 2
        bands = [
            np.sum(power * np.interp(k * 16_000 / n_fft, edges[b : b + 3], [0, 1, 0])) for b in range(64)
        ]
        rows.append(bands)
    return np.array(rows)


@EACH
def test_equals_librosa(name, front_end):
    expected = np.load(GOLDEN)[name]
    got = np.exp(front_end.log_mel(golden_signal()))
    assert expected.shape == (70, 64)
    assert expected.min() > 100 * front_end.floor
    np.testing.assert_allclose(got, expected, rtol=1e-4)


def test_golden_file_was_made_with_the_packages_constants():
    for name, front_end in (("paper", PAPER_FRONT_END), ("dense", DENSE_FRONT_END)):
        assert FRONT_ENDS[name] == (front_end.n_fft, front_end.f_min, front_end.f_max)


@EACH
def test_equals_a_slow_loop(name, front_end):
    samples = noise(1_777)
    expected = slow_mel_power(samples, *FRONT_ENDS[name])
    np.testing.assert_allclose(np.exp(front_end.log_mel(samples)), expected, rtol=1e-4)


@EACH
@pytest.mark.parametrize("n", [0, 1, 159, 160, 161, 319, 1_000, 15_999, 41_041])
def test_a_frame_for_each_whole_hop(name, front_end, n):
    log_mel = front_end.log_mel(noise(n))
    assert log_mel.shape == (n // 160, 64)
    assert log_mel.dtype == np.float32
    assert np.isfinite(log_mel).all()


@pytest.mark.parametrize(("duration_s", "windows"), [(30, 291), (3, 21), (5, 41)])
def test_the_papers_number_of_windows(duration_s, windows):
    frames = len(PAPER_FRONT_END.log_mel(noise(duration_s * 16_000)))
    assert len(range(0, frames - 96 + 1, 10)) == windows


@EACH
@given(cuts=st.lists(st.integers(0, 9_999), max_size=12))
@settings(max_examples=15, deadline=None)
def test_blocks_give_what_one_go_gives(name, front_end, cuts):
    samples = noise(9_999)
    blocks = np.split(samples, sorted(cuts))
    stream = LogMelStream(front_end, blocks)
    got = np.concatenate(list(stream))
    whole = LogMelStream(front_end, [samples])
    np.testing.assert_allclose(got, np.concatenate(list(whole)), rtol=0, atol=2e-5)
    np.testing.assert_array_equal(stream.energies, whole.energies)
    assert (stream.n_samples, stream.peak) == (9_999, float(np.abs(samples).max()))


def test_one_block_of_every_size_up_to_a_few_hops():
    samples = noise(3_203)
    whole = DENSE_FRONT_END.log_mel(samples)
    for size in (1, 7, 159, 160, 161, 1_025):
        blocks = [samples[i : i + size] for i in range(0, len(samples), size)]
        np.testing.assert_allclose(
            np.concatenate(list(LogMelStream(DENSE_FRONT_END, blocks))), whole, atol=2e-5
        )


def test_memory_stays_flat():
    stream = LogMelStream(DENSE_FRONT_END, (noise(160_000, seed) for seed in range(3)))
    assert max(len(part) for part in stream) <= 256


@EACH
@pytest.mark.parametrize("band", [8, 20, 37, 50, 63])
def test_a_sine_lands_in_its_band(name, front_end, band):
    low, high = (2595 * np.log10(1 + f / 700) for f in (front_end.f_min, front_end.f_max))
    centre = 700 * (10 ** ((low + (band + 1) * (high - low) / 65) / 2595) - 1)
    sine = np.sin(2 * np.pi * centre * np.arange(16_000) / 16_000).astype(np.float32)
    power = np.exp(front_end.log_mel(sine)[10:-10])
    assert (power.argmax(axis=1) == band).all()
    around = power[:, max(0, band - 2) : band + 3].sum(axis=1)
    assert (around > 0.99 * power.sum(axis=1)).all()


@EACH
def test_a_click_lands_in_the_frame_of_its_hop_cell(name, front_end):
    samples = np.zeros(16_000, np.float32)
    samples[160 * 40 + 80] = 1.0
    energy = front_end.log_mel(samples).sum(axis=1)
    assert energy.argmax() == 40
    np.testing.assert_allclose(energy[39], energy[41], rtol=1e-2)


@EACH
def test_a_gain_is_an_added_constant(name, front_end):
    samples = noise(8_000)
    difference = front_end.log_mel(samples / 4) - front_end.log_mel(samples)
    np.testing.assert_allclose(difference, -2 * np.log(4), atol=1e-4)


@EACH
def test_silence_stands_at_the_floor(name, front_end):
    log_mel = front_end.log_mel(np.zeros(4_000, np.float32))
    np.testing.assert_allclose(log_mel, np.log(front_end.floor), rtol=1e-6)


def test_energies_are_mean_squares_of_hop_cells():
    samples = noise(3_333)
    stream = LogMelStream(PAPER_FRONT_END, [samples[:1_000], samples[1_000:]])
    assert len(stream.energies) == 0
    list(stream)
    cells = samples[: 20 * 160].astype(np.float64).reshape(20, 160)
    np.testing.assert_allclose(stream.energies, (cells**2).mean(axis=1), rtol=1e-5)
