"""Codec round trips stay in step with the input and sound as a low rate does."""

import numpy as np
import pytest

from earprint.audio import codec_simulation
from earprint.audio.codec_simulation import CODECS, available_codec, can_encode, round_trip
from earprint.errors import AudioError
from earprint.synth import composer

RATE = 16_000
HERE = [name for name in CODECS if can_encode(name)]


def music(seconds=3.0):
    """Composed music: speech codecs at their lowest rates go astray on pure tones."""
    return 0.5 * composer.compose(3, 12.0)[4 * RATE :][: round(seconds * RATE)]


def loudness(samples):
    """Root mean square of each 20 ms."""
    return np.sqrt(np.mean(samples[: len(samples) // 320 * 320].reshape(-1, 320) ** 2, axis=1))


def lag_s(heard, sent):
    """Delay of one signal against another, where their correlation is largest, in seconds."""
    size = 1 << (len(heard) + len(sent)).bit_length()
    products = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(sent, size)), size)
    at = int(np.argmax(products))
    return (at - size if at > size // 2 else at) / RATE


@pytest.mark.parametrize("name", HERE)
@pytest.mark.parametrize("length", [3 * RATE, 2 * RATE + 777, 5000])
def test_in_step_and_of_equal_length(name, length):
    sent = music()[:length]
    heard = round_trip(sent, name)
    assert heard.shape == sent.shape
    assert heard.dtype == np.float32
    assert abs(lag_s(heard, sent)) < 0.001
    assert np.corrcoef(loudness(heard), loudness(sent))[0, 1] > 0.6


def test_the_end_is_there():
    """A burst in the last 100 ms comes back where it was: nothing is cut off by the codec's delay."""
    sent = np.zeros(RATE, np.float32)
    sent[-1600:] = music()[:1600]
    for name in HERE:
        power = np.convolve(round_trip(sent, name) ** 2, np.ones(160), "valid")
        assert power[-800:].mean() > 100 * power[: RATE // 2].mean() + 1e-6


def test_lower_rates_are_worse():
    rng = np.random.default_rng(0)
    sent = music() + 0.05 * rng.standard_normal(3 * RATE).astype(np.float32)

    def likeness(bit_rate):
        return np.corrcoef(round_trip(sent, "opus", bit_rate), sent)[0, 1]

    assert likeness(6_000) < likeness(24_000) < 0.9999


def test_what_cannot_be(monkeypatch):
    assert len(round_trip(np.zeros(0, np.float32))) == 0
    with pytest.raises(AudioError, match="unknown; choose one of opus, amr, mp3"):
        round_trip(music(), "speex")
    gone = codec_simulation.Codec("libnowhere", "ogg", 16_000, 8_000)
    monkeypatch.setitem(CODECS, "opus", gone)
    can_encode.cache_clear()
    try:
        with pytest.raises(AudioError, match="no encoder libnowhere"):
            round_trip(music(), "opus")
        assert available_codec(["opus"]) is None
        assert available_codec(["opus", "mp3"]) == "mp3"
    finally:
        can_encode.cache_clear()


def test_silence_stays_silence():
    assert np.abs(round_trip(np.zeros(RATE, np.float32))).max() < 1e-3
