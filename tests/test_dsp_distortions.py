"""Noise at the ratio asked for, rooms with the decay asked for, and a telephone's band."""

import numpy as np
import pytest

from earprint.constants import SAMPLE_RATE
from earprint.dsp.fft import fft_frequencies, fft_length
from earprint.dsp.filters import TILT_FLAT_BELOW_HZ, band_pass_gains, phone_band, tilt_gains
from earprint.dsp.reverberation import reverberate, synthetic_rir
from earprint.dsp.snr import add_noise, snr_gain
from earprint.dsp.synthetic_noise import babble_noise, mains_hum, pink_noise
from earprint.errors import AudioError

N = 5 * SAMPLE_RATE
NOISES = [pink_noise, babble_noise, mains_hum]


def tone(n=N, hertz=440.0):
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(n) / SAMPLE_RATE)).astype(np.float32)


def level_db(samples):
    return 10 * np.log10(np.mean(np.asarray(samples, dtype=np.float64) ** 2))


def band_db(samples, low, high):
    power = np.abs(np.fft.rfft(samples)) ** 2
    f = np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE)
    return 10 * np.log10(power[(f >= low) & (f < high)].sum())


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 10.0, 25.0])
@pytest.mark.parametrize("make", NOISES)
def test_snr_is_exact(make, snr_db):
    samples, noise = tone(), make(N + 321, 1)
    mixed = add_noise(samples, noise, snr_db)
    measured = level_db(samples) - level_db(mixed.astype(np.float64) - samples)
    assert measured == pytest.approx(snr_db, abs=0.01)
    assert mixed.dtype == np.float32


def test_noise_that_cannot_be_mixed_is_refused():
    with pytest.raises(AudioError, match="longer"):
        add_noise(tone(), np.ones(10, dtype=np.float32), 0.0)
    with pytest.raises(AudioError, match="noise: is silent"):
        add_noise(tone(), np.zeros(N, dtype=np.float32), 0.0)
    with pytest.raises(AudioError, match="excerpt: is silent"):
        add_noise(np.zeros(N, dtype=np.float32), tone(), 0.0)


@pytest.mark.parametrize("make", NOISES)
@pytest.mark.parametrize("n", [1, 999, 80_000])
def test_noises_are_seeded_and_of_unit_power(make, n):
    noise = make(n, 7)
    assert noise.shape == (n,)
    assert noise.dtype == np.float32
    assert level_db(noise) == pytest.approx(0.0, abs=1e-3)
    np.testing.assert_array_equal(noise, make(n, 7))
    if n > 1:
        assert not np.array_equal(noise, make(n, 8))


def test_pink_noise_has_equal_power_per_octave():
    octaves = [band_db(pink_noise(N, 3), f, 2 * f) for f in (250, 500, 1000, 2000)]
    assert np.ptp(octaves) < 1.0


def test_crowd_noise_sounds_like_speech():
    noise = babble_noise(10 * SAMPLE_RATE, 3)
    # Voices lie mostly between 250 Hz and 3 kHz, and come and go: about 4 syllables a second.
    assert band_db(noise, 250, 3000) - band_db(noise, 4500, 7500) > 15.0
    rms = np.sqrt(np.mean(noise.reshape(-1, 800) ** 2, axis=1))
    steady = np.sqrt(np.mean(pink_noise(len(noise), 3).reshape(-1, 800) ** 2, axis=1))
    assert rms.std() / rms.mean() > 1.3 * steady.std() / steady.mean()


@pytest.mark.parametrize("mains_hz", [50.0, 60.0])
def test_hum_stands_on_harmonics_of_the_mains(mains_hz):
    power = np.abs(np.fft.rfft(mains_hum(N, 1, mains_hz=mains_hz))) ** 2
    f = np.fft.rfftfreq(N, 1 / SAMPLE_RATE)
    near = np.abs(f - mains_hz * np.round(f / mains_hz)) < 1.0
    assert power[near].sum() > 0.95 * power.sum()


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("rt60_s", [0.2, 0.5, 1.0])
def test_reverberation_time_by_schroeder_integration(rt60_s, seed):
    response = synthetic_rir(rt60_s, seed).astype(np.float64)
    decay_db = 10 * np.log10(np.cumsum(response[::-1] ** 2)[::-1] / np.sum(response**2))
    fit = (decay_db < -6.0) & (decay_db > -36.0)
    slope = np.polyfit(np.flatnonzero(fit) / SAMPLE_RATE, decay_db[fit], 1)[0]
    assert -60.0 / slope == pytest.approx(rt60_s, rel=0.1)


@pytest.mark.parametrize("ratio_db", [-3.0, 3.0, 10.0])
def test_direct_sound_comes_first_and_at_its_level(ratio_db):
    response = synthetic_rir(0.5, 4, direct_to_reverberant_db=ratio_db).astype(np.float64)
    assert response[0] == 1.0
    assert -10 * np.log10(np.sum(response[1:] ** 2)) == pytest.approx(ratio_db, abs=1e-3)
    assert np.argmax(np.abs(response)) == 0


@pytest.mark.parametrize("rt60_s", [0.0, -1.0, float("nan")])
def test_impossible_rooms_are_refused(rt60_s):
    with pytest.raises(AudioError, match="not above 0"):
        synthetic_rir(rt60_s, 0)


def test_reverberate_is_convolution():
    samples, response = tone(3000), synthetic_rir(0.1, 2)
    wanted = np.convolve(samples, response)[:3000]
    np.testing.assert_allclose(reverberate(samples, response), wanted, atol=1e-5)


def test_reverberate_does_not_move_a_recording_in_time():
    click = np.zeros(8000, dtype=np.float32)
    click[1000] = 1.0
    wet = reverberate(click, synthetic_rir(0.4, 9))
    assert np.argmax(np.abs(wet)) == 1000
    assert np.abs(wet[:1000]).max() < 1e-6


def test_the_past_still_sounds():
    whole, response = tone(20_000), synthetic_rir(0.3, 5)
    wet = reverberate(whole[8000:], response, past=whole[:8000])
    assert wet.shape == (12_000,)
    np.testing.assert_allclose(wet, reverberate(whole, response)[8000:], atol=1e-5)
    dry_start = reverberate(whole[8000:], response)
    assert np.abs(wet[:800] - dry_start[:800]).max() > 0.01


@pytest.mark.parametrize(
    ("hertz", "lowest_db", "highest_db"),
    [(1000, -0.1, 0.1), (500, -0.5, 0.1), (100, -80, -40), (6000, -80, -25)],
)
def test_phone_band(hertz, lowest_db, highest_db):
    samples = tone(hertz=hertz)
    inside = slice(SAMPLE_RATE, -SAMPLE_RATE)
    change = level_db(phone_band(samples)[inside]) - level_db(samples[inside])
    assert lowest_db < change < highest_db


def test_band_pass_has_half_power_at_its_corners_and_the_slope_of_its_order():
    hz = np.array([75.0, 150.0, 300.0, 1000.0, 3400.0, 6800.0])
    gain_db = 20 * np.log10(band_pass_gains(hz, 300.0, 3400.0, 4))
    np.testing.assert_allclose(gain_db[[2, 4]], -3.01, atol=0.01)
    assert gain_db[1] - gain_db[0] == pytest.approx(6.02 * 4, abs=0.1)
    assert gain_db[3] == pytest.approx(0.0, abs=0.01)
    np.testing.assert_allclose(band_pass_gains(hz[2:4], 0.0, 3400.0, 4), 1.0, atol=1e-3)


def test_band_pass_far_outside_the_band_is_zero_without_a_warning():
    assert (band_pass_gains(np.array([0.0, 1e-3], np.float32), 300.0, 3400.0, 8) == 0.0).all()


def test_tilt_pivots_about_1_khz_and_is_constant_below_its_floor():
    hz = np.array([0.0, TILT_FLAT_BELOW_HZ, 500.0, 1000.0, 4000.0])
    gain_db = 20 * np.log10(tilt_gains(hz, 3.0))
    np.testing.assert_allclose(gain_db[2:], [-3.0, 0.0, 6.0], atol=1e-9)
    assert gain_db[0] == gain_db[1]


def test_snr_gain_sets_the_ratio_of_powers():
    assert 10 * np.log10(0.3 / (snr_gain(0.3, 0.02, -7.0) ** 2 * 0.02)) == pytest.approx(-7.0)


def test_gains_take_tensors_too():
    torch = pytest.importorskip("torch")
    hz = np.maximum(fft_frequencies(fft_length(1000)), 1.0)
    low, high, order = (np.array(values)[:, None] for values in ([0.0, 300.0], [4000.0, 3400.0], [2, 6]))
    tensors = [torch.from_numpy(value) for value in (hz, low, high, order)]
    np.testing.assert_allclose(band_pass_gains(*tensors).numpy(), band_pass_gains(hz, low, high, order))
    slopes = np.array([-4.0, 2.0])[:, None]
    tilted = tilt_gains(torch.from_numpy(hz), torch.from_numpy(slopes))
    np.testing.assert_allclose(tilted.numpy(), tilt_gains(hz, slopes))
