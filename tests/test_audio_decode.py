import contextlib
import io
import os
import threading

import numpy as np
import pytest

from earprint.audio import load_audio, stream_audio
from earprint.audio.decode import _reblock
from earprint.errors import AudioError
from helpers import audiofiles as af

RATE = 16_000

# name, codec (None: the extension's own), rate, channels, seconds the decoded length may differ
FORMATS = [
    ("a.wav", None, 44_100, 1, 0),
    ("a.wav", None, 8_000, 1, 0),
    ("a.wav", "pcm_f32le", 48_000, 2, 0),
    ("a.wav", "pcm_mulaw", 16_000, 1, 0),
    ("a.flac", None, 22_050, 1, 0),
    ("a.flac", None, 44_100, 2, 0),
    ("a.flac", None, 96_000, 2, 0),
    ("a.flac", None, 48_000, 6, 0),
    ("a.mp3", None, 44_100, 2, 0),
    ("a.mp3", None, 22_050, 1, 0),
    ("a.mp3", None, 48_000, 1, 0),
    ("a.opus", None, 48_000, 2, 0),
    ("a.webm", None, 48_000, 1, 0),
    ("a.ogg", None, 44_100, 2, 0.03),
    ("a.m4a", None, 44_100, 2, 0.03),
    ("a.m4a", "alac", 44_100, 2, 0),
    ("a.mp4", None, 48_000, 1, 0.03),
    ("a.mkv", None, 44_100, 1, 0.03),
    ("a.mkv", "flac", 44_100, 1, 0),
    ("a.ts", None, 44_100, 1, 0.05),
    ("a.aac", None, 44_100, 1, 0.05),
]


def tone(samples, freq_hz):
    """Amplitude and share of the energy of a sine in the middle of a signal."""
    middle = np.asarray(samples[len(samples) // 4 : 3 * len(samples) // 4], dtype=np.float64)
    phase = 2j * np.pi * freq_hz * np.arange(len(middle)) / RATE
    amplitude = 2 * abs(np.mean(middle * np.exp(-phase)))
    return amplitude, amplitude**2 / 2 / np.mean(middle**2)


def load(source):
    """Decode and demand that nothing had to be mended."""
    warnings = []
    samples = load_audio(source, on_warning=warnings.append)
    assert warnings == []
    return samples


def load_damaged(source):
    warnings = []
    samples = load_audio(source, on_warning=warnings.append)
    assert warnings, "damage went unnoticed"
    assert all("\n" not in w for w in warnings)
    return samples, "; ".join(warnings)


@pytest.mark.parametrize(("name", "codec", "rate", "channels", "padding_s"), FORMATS)
def test_sine_keeps_frequency_level_and_length(tmp_path, name, codec, rate, channels, padding_s):
    signal = np.stack([af.sine(1000, 2, rate)] * channels, axis=1)
    samples = load(af.encode(tmp_path / name, signal, rate, codec))
    assert samples.dtype == np.float32
    assert samples.ndim == 1
    assert 0 <= len(samples) - 2 * RATE <= padding_s * RATE
    amplitude, share = tone(samples, 1000)
    assert amplitude == pytest.approx(0.5, rel=0.02)
    assert share > 0.99


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_integer_wav_of_every_width(tmp_path, width):
    samples = load(af.wave_file(tmp_path / "a.wav", af.sine(440, 1, RATE), RATE, width))
    np.testing.assert_allclose(samples, af.sine(440, 1, RATE), atol=2.0 ** (1 - 8 * width) + 1e-7)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.mp3", "a.opus", "a.m4a"])
def test_one_channel_of_two_gives_half_the_level(tmp_path, name):
    left = af.sine(1000, 2, 48_000)
    samples = load(af.encode(tmp_path / name, np.stack([left, 0 * left], axis=1), 48_000))
    assert tone(samples, 1000)[0] == pytest.approx(0.25, rel=0.03)


def test_one_channel_of_six_gives_a_sixth(tmp_path):
    signal = np.zeros((96_000, 6))
    signal[:, 3] = af.sine(1000, 2, 48_000)
    samples = load(af.encode(tmp_path / "a.flac", signal, 48_000))
    assert tone(samples, 1000)[0] == pytest.approx(0.5 / 6, rel=0.01)


def test_opposite_channels_cancel(tmp_path):
    left = af.sine(1000, 1, 44_100)
    samples = load(af.encode(tmp_path / "a.wav", np.stack([left, -left], axis=1)))
    assert np.abs(samples).max() < 1e-4


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.wav", None),
        ("a.flac", None),
        ("a.mp3", None),
        ("a.opus", None),
        ("a.webm", None),
        ("a.m4a", None),
        ("a.m4a", "alac"),
    ],
)
def test_click_keeps_its_time_within_a_millisecond(tmp_path, name, codec):
    at_s = 1.2345
    samples = load(af.encode(tmp_path / name, af.click(at_s, 2, 48_000), 48_000, codec))
    energy = np.square(samples, dtype=np.float64)
    centre_s = np.sum(energy * np.arange(len(samples))) / np.sum(energy) / RATE
    assert centre_s == pytest.approx(at_s, abs=0.001)


@pytest.mark.parametrize("block_s", [0.01, 0.37, 1.0, 100.0])
@pytest.mark.parametrize("name", ["a.mp3", "a.flac", "a.m4a"])
def test_streaming_equals_one_go(tmp_path, name, block_s):
    path = af.encode(tmp_path / name, af.sine(440, 2.5))
    blocks = list(stream_audio(path, block_s=block_s))
    assert {len(b) for b in blocks[:-1]} <= {round(block_s * RATE)}
    assert 0 < len(blocks[-1]) <= round(block_s * RATE)
    np.testing.assert_array_equal(np.concatenate(blocks), load(path))


def test_reblock_cuts_and_joins():
    pieces = [np.full(n, i, np.float32) for i, n in enumerate([3, 0, 10, 1, 1, 1, 4])]
    blocks = list(_reblock(iter(pieces), 4))
    assert [len(b) for b in blocks] == [4, 4, 4, 4, 4]
    np.testing.assert_array_equal(np.concatenate(blocks), np.concatenate(pieces))
    assert [len(b) for b in _reblock(iter(pieces[:3]), 5)] == [5, 5, 3]


def test_bad_block_length(tmp_path):
    with pytest.raises(AudioError, match="block length 0"):
        next(stream_audio(tmp_path / "a.wav", block_s=0))


def test_nothing_is_decoded_before_it_is_asked_for(tmp_path):
    path = af.encode(tmp_path / "a.flac", af.sine(440, 3))
    blocks = stream_audio(path, block_s=1)
    assert len(next(blocks)) == RATE
    blocks.close()
    path.unlink()


def test_video_gives_its_sound(tmp_path):
    for name in ("a.mp4", "a.mkv"):
        samples = load(af.encode(tmp_path / name, af.sine(1000, 2, 48_000), 48_000, video=True))
        assert tone(samples, 1000)[0] == pytest.approx(0.5, rel=0.02)


def test_attached_picture_is_ignored(tmp_path):
    path = af.flac_with_cover(tmp_path / "a.flac", af.sine(440, 1, RATE), RATE)
    assert len(load(path)) == RATE


def test_audio_that_starts_late_in_the_container_is_not_padded(tmp_path):
    path = af.encode(tmp_path / "a.mkv", af.sine(440, 2, 48_000), 48_000, "flac", start_s=5)
    assert len(load(path)) == 2 * RATE


@pytest.mark.parametrize("name", ["ünï 雪.mp3", "a: b %03d [c].mp3", "http:x.mp3", "no extension"])
def test_odd_names(tmp_path, name):
    plain = af.encode(tmp_path / "plain.mp3", af.sine(440, 1))
    odd = plain.rename(tmp_path / name)
    assert len(load(odd)) == RATE
    assert len(load(str(odd))) == RATE


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX only")
def test_name_that_is_not_utf8(tmp_path):
    plain = af.encode(tmp_path / "plain.flac", af.sine(440, 1))
    try:
        odd = plain.rename(tmp_path / os.fsdecode(b"\xff\xfe.flac"))
    except OSError:
        pytest.skip("this file system refuses such names")
    assert len(load(odd)) == RATE


def through_pipe(data: bytes):
    """Decode bytes that come through a real pipe."""
    read_end, write_end = os.pipe()

    def feed():
        with contextlib.suppress(BrokenPipeError), os.fdopen(write_end, "wb") as out:
            out.write(data)

    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        with os.fdopen(read_end, "rb") as pipe:
            return load(pipe)
    finally:
        feeder.join()


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.opus", "a.webm", "a.m4a", "a.mkv"])
def test_pipe_equals_file(tmp_path, name):
    # m4a has its index at the end here and cannot be decoded without seeking
    path = af.encode(tmp_path / name, af.sine(440, 3, 48_000), 48_000)
    np.testing.assert_array_equal(through_pipe(path.read_bytes()), load(path))


def test_mp3_through_a_pipe_differs_only_by_the_encoders_padding(tmp_path):
    path = af.encode(tmp_path / "a.mp3", af.sine(440, 3))
    whole, piped = load(path), through_pipe(path.read_bytes())
    assert 0 <= len(piped) - len(whole) < 0.1 * RATE
    np.testing.assert_allclose(piped[: len(whole) - 100], whole[:-100], atol=1e-6)


def test_seekable_file_object_is_read_and_left_open(tmp_path):
    path = af.encode(tmp_path / "a.m4a", af.sine(440, 1))
    buffer = io.BytesIO(path.read_bytes())
    np.testing.assert_array_equal(load(buffer), load(path))
    assert not buffer.closed


@pytest.mark.parametrize("make", [io.BytesIO, lambda data: None])
def test_empty_streams(make):
    with pytest.raises(AudioError, match=r"^<stream>: is empty; "):
        load(make(b"")) if make is io.BytesIO else load(_Trickle(b""))


class _Trickle:
    """The least a stream can be: `read` only, a few bytes at a time."""

    def __init__(self, data: bytes):
        self._data = io.BytesIO(data)

    def read(self, size):
        return self._data.read(min(size, 1000))


def test_stream_that_gives_few_bytes_at_a_time(tmp_path):
    path = af.encode(tmp_path / "a.mp4", af.sine(440, 1))
    np.testing.assert_array_equal(load(_Trickle(path.read_bytes())), load(path))


class _Broken(_Trickle):
    def read(self, size):
        if self._data.tell() > 10_000:
            raise OSError(5, "Input/output error")
        return super().read(size)


def test_reading_error_is_named(tmp_path):
    path = af.wave_file(tmp_path / "a.wav", af.sine(440, 2))
    with pytest.raises(AudioError, match=r"<stream>: .*Input/output error"):
        load_audio(_Broken(path.read_bytes()))


def bad_inputs(folder):
    yield folder / "missing.mp3", "no such file"
    yield folder, "is a folder"
    (folder / "empty.mp3").touch()
    yield folder / "empty.mp3", "is empty"
    (folder / "text.mp3").write_text("this is no song, whatever its name says\n" * 100)
    yield folder / "text.mp3", "is not audio"
    (folder / "random.mp3").write_bytes(np.random.default_rng(0).bytes(50_000))
    yield folder / "random.mp3", "(is not audio|no audio came out)"
    yield af.video_only(folder / "silent film.mp4"), "has no audio track"
    yield af.video_only(folder / "silent film.mkv"), "has no audio track"
    cut = af.truncate(af.encode(folder / "cut.m4a", af.sine()), 0.5)
    yield cut, "is not audio"
    yield af.wave_file(folder / "no samples.wav", np.zeros(0)), "no audio came out"
    yield (
        af.float_wave(folder / "wild.wav", 30_000 * af.sine(440, 1, RATE)),
        "no audio came out of it .*garbage",
    )
    song = af.encode(folder / "song.mp3", af.sine())
    (folder / "list.mp3").write_text(f"#EXTM3U\n#EXTINF:3,\nfile://{song}\n#EXT-X-ENDLIST\n")
    yield folder / "list.mp3", "is not audio"
    (folder / "list.m3u8").write_text(
        f"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\nfile://{song}\n#EXT-X-ENDLIST\n"
    )
    yield folder / "list.m3u8", "is not audio"


def test_bad_inputs_are_named_with_their_cause(tmp_path, capfd):
    for path, cause in bad_inputs(tmp_path):
        with pytest.raises(AudioError, match=cause) as caught:
            load_audio(path)
        message = str(caught.value)
        assert message.startswith(f"{path}: ")
        assert "; " in message
        assert "\n" not in message
    assert capfd.readouterr() == ("", "")


def test_truncated_flac_gives_what_there_is(tmp_path, capfd):
    path = af.encode(tmp_path / "a.flac", af.sine(1000, 10))
    samples, warning = load_damaged(af.truncate(path, 0.6))
    assert 4 * RATE < len(samples) < 7 * RATE
    assert tone(samples, 1000)[0] == pytest.approx(0.5, rel=0.02)
    assert f"{path}: gave " in warning
    assert "of the 10.0 s it claims" in warning
    assert capfd.readouterr() == ("", "")


def test_truncated_mp3_is_noticed(tmp_path):
    path = af.truncate(af.encode(tmp_path / "a.mp3", af.sine(1000, 10)), 0.5)
    samples, warning = load_damaged(path)
    assert 4 * RATE < len(samples) < 6 * RATE
    assert "it claims" in warning


# Matroska counts milliseconds; mp3 has no clock, so a frame without its header is gone: 24 ms
@pytest.mark.parametrize(("name", "lag_s"), [("a.flac", 0), ("a.m4a", 0), ("a.mkv", 0.002), ("a.mp3", 0.05)])
def test_flipped_bits_do_not_shift_what_follows(tmp_path, name, lag_s, capfd):
    signal = 0.1 * np.random.default_rng(0).standard_normal(12 * 48_000)
    path = af.encode(tmp_path / name, signal, 48_000)
    whole = load(path)
    samples, warning = load_damaged(af.flip_bits(path, 30, seed=2))
    assert warning.startswith(f"{path}: is damaged: ")
    assert len(samples) == pytest.approx(len(whole), abs=0.11 * RATE)  # the last flac frame: 96 ms
    assert np.abs(samples).max() < 4
    lags = []
    for start in range(RATE, 11 * RATE, RATE):
        excerpt = whole[start : start + 4000]
        likeness = np.correlate(samples[start - 2000 : start + 6000], excerpt, "valid")
        if likeness.max() > 0.5 * np.dot(excerpt, excerpt):
            lags.append(abs(int(np.argmax(likeness)) - 2000))
    assert len(lags) >= 8, "too much was lost"
    assert max(lags) <= lag_s * RATE
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("codec", "lost"), [("libopus", range(50, 100)), ("flac", range(10, 20))])
def test_missing_packets_become_silence_of_their_length(tmp_path, codec, lost):
    signal = 0.1 * np.random.default_rng(0).standard_normal(5 * 48_000)
    whole = load(af.encode(tmp_path / "whole.mkv", signal, 48_000, codec))
    path = af.encode(tmp_path / "a.mkv", signal, 48_000, codec, keep=lambda i: i not in lost)
    samples, warning = load_damaged(path)
    assert "s of missing audio replaced by silence" in warning
    assert len(samples) == pytest.approx(len(whole), abs=0.002 * RATE)
    # Matroska's clock counts milliseconds, so the remainder may sit half of one off
    late = np.argmax(np.correlate(samples[4 * RATE :], whole[4 * RATE + 100 : -100], "valid")) - 100
    assert abs(late) <= 0.001 * RATE
    assert np.mean(np.abs(samples) < 1e-4) > 0.1


def test_undecodable_packets_become_silence(tmp_path):
    signal = af.sine(1000, 5, 48_000)
    path = af.encode(tmp_path / "a.mkv", signal, 48_000, "aac", corrupt=lambda i: 100 <= i < 110)
    samples, warning = load_damaged(path)
    assert "10 damaged pieces skipped (" in warning
    assert "0.21 s of missing audio" in warning
    assert len(samples) == pytest.approx(5 * RATE, abs=0.03 * RATE)


def test_damage_at_the_beginning_keeps_the_time_of_the_rest(tmp_path):
    signal = af.click(4, 5, 48_000)
    path = af.encode(tmp_path / "a.mkv", signal, 48_000, "aac", corrupt=lambda i: 0 < i < 60)
    samples, _ = load_damaged(path)
    assert np.argmax(np.abs(samples)) / RATE == pytest.approx(4, abs=0.025)  # AAC's priming


def test_values_that_no_recording_has(tmp_path):
    clean = af.sine(1000, 3, RATE)
    spoilt = clean.copy()
    spoilt[8000] = np.nan
    spoilt[8001] = -np.inf
    spoilt[24_000] = 99.0  # the frame of 4096 bytes or so around it is dropped
    spoilt[40_000] = 1.05  # a mild over stays
    samples, warning = load_damaged(af.float_wave(tmp_path / "a.wav", spoilt))
    assert "2 frames of garbage silenced" in warning
    assert len(samples) == len(clean)
    assert samples[8000] == samples[8001] == 0
    assert samples[7999] == np.float32(clean[7999])
    assert samples[24_000] == 0
    assert samples[40_000] == np.float32(1.05)
    assert np.mean(samples != clean.astype(np.float32)) < 0.1


def test_rate_and_channels_may_change_on_the_way(tmp_path):
    first = af.encode(tmp_path / "a.mp3", af.sine(1000, 3)).read_bytes()
    stereo = np.stack([af.sine(1000, 3, 22_050)] * 2, axis=1)
    second = af.encode(tmp_path / "b.mp3", stereo, 22_050).read_bytes()
    (tmp_path / "both.mp3").write_bytes(first + second)
    samples = load_audio(tmp_path / "both.mp3")
    assert len(samples) == pytest.approx(6 * RATE, abs=0.2 * RATE)
    for part in (samples[: 3 * RATE], samples[3 * RATE : 6 * RATE]):
        assert tone(part, 1000)[0] == pytest.approx(0.5, rel=0.03)


def test_chained_ogg(tmp_path):
    data = af.encode(tmp_path / "a.opus", af.sine(1000, 3, 48_000), 48_000).read_bytes()
    (tmp_path / "chain.opus").write_bytes(data + data)
    samples = load_audio(tmp_path / "chain.opus")
    assert len(samples) == pytest.approx(6 * RATE, abs=0.1 * RATE)
