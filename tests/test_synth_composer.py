"""The composer: the same seed the same piece, and no two pieces or bars alike."""

import time

import numpy as np
import pytest

from earprint.constants import SAMPLE_RATE
from earprint.synth import composer, instruments
from earprint.synth.titles import titles


def loudness_by_band(samples):
    """Log power in 32 bands and 0.1 s steps, shape (steps, 32)."""
    frames = samples[: len(samples) // 1600 * 1600].reshape(-1, 1600) * np.hanning(1600)
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2
    edges = np.unique(np.geomspace(3, 800, 33).astype(int))
    return np.log(np.add.reduceat(power, edges[:-1], axis=1)[:, :-1] + 1e-6)


@pytest.fixture(scope="module")
def pieces():
    return [composer.compose(seed, 20.0) for seed in range(6)]


def test_same_seed_gives_the_same_piece(pieces):
    np.testing.assert_array_equal(composer.compose(3, 20.0), pieces[3])


def test_shape_peak_and_end(pieces):
    for piece in pieces:
        assert piece.dtype == np.float32
        assert piece.shape == (20 * SAMPLE_RATE,)
        assert np.abs(piece).max() == pytest.approx(composer.PEAK, abs=1e-6)
        assert np.isfinite(piece).all()
        assert abs(piece[-1]) < 1e-3


def test_music_never_stops(pieces):
    for piece in pieces:
        rms = np.sqrt(np.mean(piece[: 19 * SAMPLE_RATE].reshape(19, -1) ** 2, axis=1))
        assert rms.min() > 0.01


def test_pieces_are_not_copies_of_one_another(pieces):
    for i, one in enumerate(pieces):
        for other in pieces[i + 1 :]:
            assert abs(np.corrcoef(one, other)[0, 1]) < 0.1


def test_average_sound_differs_between_pieces(pieces):
    spectra = np.stack([loudness_by_band(piece).mean(axis=0) for piece in pieces])
    distances = np.abs(spectra[:, None] - spectra[None]).mean(axis=2)
    assert distances[~np.eye(len(pieces), dtype=bool)].min() > 0.2


def test_no_bar_repeats_exactly(pieces):
    for piece in pieces:
        # One second against the whole piece: the best normalised match elsewhere is no copy.
        probe = piece[8 * SAMPLE_RATE : 9 * SAMPLE_RATE].astype(np.float64)
        size = 1 << (len(piece) + len(probe)).bit_length()
        products = np.fft.irfft(np.fft.rfft(piece, size) * np.conj(np.fft.rfft(probe, size)), size)
        products = products[: len(piece) - len(probe) + 1]
        sums = np.concatenate([[0.0], np.cumsum(piece.astype(np.float64) ** 2)])
        energy = sums[len(probe) :] - sums[: -len(probe)]
        similarity = products / np.sqrt(np.maximum(energy, 1e-9) * np.sum(probe**2))
        assert similarity[8 * SAMPLE_RATE] == pytest.approx(1.0, abs=1e-4)
        away = np.abs(np.arange(len(similarity)) - 8 * SAMPLE_RATE) > SAMPLE_RATE // 2
        assert similarity[away].max() < 0.9


def test_a_piece_is_more_like_itself_than_like_others(pieces):
    # Neither noise nor one texture: halves of a piece are nearer than pieces are.
    means = [[loudness_by_band(half).mean(axis=0) for half in np.split(piece, 2)] for piece in pieces]
    own = [np.abs(first - second).mean() for first, second in means]
    others = [np.abs(means[i][0] - means[j][1]).mean() for i in range(6) for j in range(6) if i != j]
    assert np.median(own) < 0.8 * np.median(others)


def test_short_and_odd_lengths():
    assert composer.compose(1, 0.3).shape == (4800,)
    assert composer.compose(1, 1.00001).shape == (16000,)


def test_composing_is_fast():
    started = time.process_time()
    composer.compose(11, 40.0)
    # 0.15 s where it was written; the bound leaves room for slow and busy machines.
    assert time.process_time() - started < 2.0


@pytest.mark.parametrize(
    "maker",
    [
        instruments.organ,
        instruments.string,
        instruments.bell,
        instruments.pad,
        instruments.lead,
        instruments.bass,
    ],
)
@pytest.mark.parametrize("frequency_hz", [110.0, 440.0, 1760.0])
def test_notes_have_their_pitch_and_do_not_alias(maker, frequency_hz):
    rng = np.random.Generator(np.random.PCG64(5))
    note = maker(rng).note(frequency_hz, 1.0, 0.9, rng)
    assert len(note) == int((1.0 + instruments.RELEASE_S) * SAMPLE_RATE)
    assert note[0] == 0.0
    assert abs(note[-1]) < 1e-3
    power = np.abs(np.fft.rfft(note * np.hanning(len(note)))) ** 2
    f = np.fft.rfftfreq(len(note), 1 / SAMPLE_RATE)
    # Everything below the lowest partial or between 7.8 and 8 kHz would be a folded harmonic;
    # bells have sidebands on either side, so only the top is looked at for them.
    assert power[f > 7800].sum() < 1e-3 * power.sum()
    if maker is not instruments.bell:
        assert power[f < 0.7 * frequency_hz].sum() < 1e-3 * power.sum()
        near = np.abs(f / frequency_hz - np.maximum(np.round(f / frequency_hz), 1)) < 0.05
        assert power[near & (f < 6 * frequency_hz)].sum() > 0.6 * power.sum()


def test_titles_are_distinct_and_seeded():
    assert titles(200, 4) == titles(200, 4)
    assert len(set(titles(200, 4))) == 200
    assert titles(5, 4) != titles(5, 5)
    with pytest.raises(ValueError, match="larger sample"):
        titles(10_000, 0)
