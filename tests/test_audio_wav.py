import wave

import av
import numpy as np
import pytest

from earprint.audio import load_audio
from earprint.audio.wav import write_float_wav, write_wav
from earprint.constants import SAMPLE_RATE
from earprint.synth import composer


def test_wav_round_trip(tmp_path):
    samples = composer.compose(2, 1.0)
    path = tmp_path / "Grüße 音.wav"
    write_wav(path, samples * 1.5)
    with wave.open(str(path), "rb") as file:
        assert file.getparams()[:4] == (1, 2, SAMPLE_RATE, len(samples))
        stored = np.frombuffer(file.readframes(len(samples)), "<i2") / 32767.0
    assert np.abs(stored - np.clip(samples * 1.5, -1, 1)).max() <= 0.51 / 32767


@pytest.mark.parametrize("rate", [8_000, 44_100])
@pytest.mark.parametrize("write", [write_wav, write_float_wav])
def test_the_sample_rate_is_kept(tmp_path, rate, write):
    write(tmp_path / "a.wav", np.full(rate, 0.25), rate)
    with av.open(str(tmp_path / "a.wav")) as file:
        stream = file.streams.audio[0]
        assert (stream.rate, stream.channels) == (rate, 1)
        assert file.duration == av.time_base


def test_floats_come_back_exactly(tmp_path):
    samples = np.float32([1e-7, -1.5, 0.1, -0.0])
    write_float_wav(tmp_path / "a.wav", samples)
    np.testing.assert_array_equal(load_audio(tmp_path / "a.wav"), samples)


@pytest.mark.parametrize("write", [write_wav, write_float_wav])
def test_no_samples_make_a_file_without_samples(tmp_path, write):
    write(tmp_path / "a.wav", np.zeros(0, np.float32))
    with av.open(str(tmp_path / "a.wav")) as file:
        assert sum(frame.samples for frame in file.decode(audio=0)) == 0


@pytest.mark.parametrize("write", [write_wav, write_float_wav])
def test_a_folder_that_is_not_there(tmp_path, write):
    with pytest.raises(FileNotFoundError):
        write(tmp_path / "no" / "a.wav", np.zeros(10, np.float32))
