"""Codec queries: the same in every process, aligned with their recording, never of held-out sources."""

import importlib.util
import os
import subprocess
import sys
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from typer.testing import CliRunner

from earprint.audio.codec_simulation import CODECS, can_encode
from earprint.cli.main import app
from earprint.constants import SAMPLE_RATE
from earprint.errors import AudioError, TrainingError
from earprint.parallel.cores import process_count
from earprint.parallel.ordered_map import ordered_map
from earprint.training import codec_queries
from earprint.training.codec_queries import MIN_MUSIC_POWER, CodecQueryRenderer, CodecQuerySettings
from earprint.training.codec_queries_packing import render_codec_queries
from earprint.training.packed_audio import Pack, codec_queries_by_recording, in_validation, open_pack
from helpers.trainstore import make_store, pack_of

LENGTH = 24_000
needs_codecs = pytest.mark.skipif(not all(map(can_encode, CODECS)), reason="FFmpeg lacks a codec here")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("calls"), tracks=5, held_out=2, duration_s=4.0)


def packs(store, percent=8):
    return [open_pack(store, kind).split(percent)[0] for kind in ("music", "noise", "rooms")]


def delay(query, original):
    """Samples that a codec query lags behind its position in the recording, at most 400 either way."""
    size = 1 << 16
    product = np.fft.rfft(query, size) * np.fft.rfft(original, size).conj()
    lags = np.fft.irfft(product / np.maximum(np.abs(product), 1e-9), size)  # as sharp as it gets
    near = np.concatenate([lags[-400:], lags[:401]])
    return int(np.argmax(near)) - 400


def test_the_same_whatever_the_jobs(store):
    told = []
    one = render_codec_queries(store, 7, 1.5, 8, jobs=1, on_queries=told.append, per_task=2)
    samples, items = np.array(one.pack.samples), one.pack.items
    assert told == [2, 2, 2, 1]
    two = render_codec_queries(store, 7, 1.5, 8, jobs=2, per_task=2)
    assert two.pack.items == items
    np.testing.assert_array_equal(two.pack.samples, samples)
    assert two.codecs == one.codecs
    fewer = render_codec_queries(store, 3, 1.5, 8)
    np.testing.assert_array_equal(fewer.pack.samples, samples[: 3 * LENGTH])
    other = render_codec_queries(store, 3, 1.5, 8, seed=2)
    assert not np.array_equal(other.pack.samples, samples[: 3 * LENGTH])


def test_the_pack_reads_back(store):
    written = render_codec_queries(store, 10, 1.5, 8).pack
    again = open_pack(store, "calls")
    assert again.items == written.items
    assert again.samples.dtype == np.int16
    music = {item.name: item for item in open_pack(store, "music").items}
    for number, item in enumerate(again.items):
        assert (item.start, item.length, item.twin) == (number * LENGTH, LENGTH, None)
        assert item.group == music[item.name].group
        assert 0 <= item.at <= music[item.name].length - LENGTH
        assert 0.05 < np.abs(again.audio(item)).max() <= 1.0
    by_recording = codec_queries_by_recording(again)
    # Five recordings are trained on, and each has as many codec queries.
    assert sorted(map(len, by_recording.values())) == [2] * 5
    assert all(query.name == name for name, of in by_recording.items() for query in of)
    assert codec_queries_by_recording(open_pack(store, "music")) == {}


def test_nothing_held_out_is_used(store, monkeypatch):
    used = set()

    def audio(self, item):
        used.add(item.group)
        return read(self, item)

    read = Pack.audio
    monkeypatch.setattr(Pack, "audio", audio)
    written = render_codec_queries(store, 40, 1.5, 8)
    assert any(in_validation(item.group, 8) for item in open_pack(store, "rooms").items)
    assert len(used) == 5
    assert not any(in_validation(group, 8) for group in used)
    assert not any(in_validation(item.group, 8) for item in written.pack.items)


@needs_codecs
@pytest.mark.parametrize("codec", list(CODECS))
def test_aligned_with_the_recording(store, codec):
    settings = CodecQuerySettings(codec_shares={codec: 1.0}, snr_db=(20.0, 25.0))
    music, noise, rooms = packs(store)
    renderer = CodecQueryRenderer(music, noise, rooms, 2 * LENGTH, 3, settings)
    for number in range(10):
        query = renderer.render(number)
        assert query.codec == codec
        original = music.audio(query.recording)[query.at : query.at + 2 * LENGTH]
        assert abs(delay(query.samples.astype(np.float64), original)) <= SAMPLE_RATE // 1_000


def plain(**changes):
    """Settings without any distortion but noise and what is given."""
    names = ("room", "device", "second_noise", "telephone", "clipping")
    off = dict.fromkeys((f"{name}_probability" for name in names), 0.0)
    return CodecQuerySettings(**{**off, "codec_shares": {}, **changes})


def test_snr_past_and_peak():
    """A click's echo reaches into the query from its past; the noise is as loud as it should be."""
    everything = ((10.0, 10.0), (1e5, 1e5))
    settings = plain(room_probability=1.0, snr_db=(10.0, 10.0), peak=(0.5, 0.5), wide_hz=everything)
    rng = np.random.default_rng(1)
    tone = np.round(3_000 * np.sin(np.arange(60_000) / 5))
    noise = rng.integers(-9_000, 9_000, 4_999)  # does not divide the delay of the echo, which would cancel it
    response = np.zeros(16_000, np.float32)
    response[[0, 15_000]] = 1.0, -1.0
    rooms = pack_of([response], np.float32, ["room/r"])
    renderer = CodecQueryRenderer(pack_of([tone]), pack_of([noise]), rooms, LENGTH, 1, settings)
    for number in range(4):
        query = renderer.render(number)
        heard = query.samples / 32_768
        assert np.abs(heard).max() == pytest.approx(0.5, abs=1e-4)
        padded = np.concatenate([np.zeros(15_000), tone])
        wet = (padded[15_000:] - padded[: len(tone)])[query.at : query.at + LENGTH]
        gain = heard @ wet / (wet @ wet)
        snr_db = 10 * np.log10(np.sum((gain * wet) ** 2) / np.sum((heard - gain * wet) ** 2))
        assert snr_db == pytest.approx(10.0, abs=0.3)


def test_the_band_is_a_telephones():
    settings = plain(telephone_probability=1.0)
    rng = np.random.default_rng(2)
    white = pack_of([rng.integers(-9_000, 9_000, 60_000)])
    renderer = CodecQueryRenderer(white, white, Pack(white.samples, []), LENGTH, 1, settings)
    hz = np.fft.rfftfreq(LENGTH, 1 / SAMPLE_RATE)
    for number in range(8):
        power = np.abs(np.fft.rfft(renderer.render(number).samples)) ** 2
        inside = power[(hz > 450) & (hz < 2_800)].mean()
        assert power[hz < 90].mean() < 0.05 * inside
        assert power[hz > 7_000].mean() < 0.15 * inside


def test_clipping():
    settings = plain(clipping_probability=1.0)
    rng = np.random.default_rng(2)
    white = pack_of([rng.integers(-9_000, 9_000, 60_000)])
    renderer = CodecQueryRenderer(white, white, Pack(white.samples, []), LENGTH, 1, settings)
    samples = renderer.render(0).samples
    assert np.count_nonzero(np.abs(samples) == np.abs(samples).max()) > 10


def test_not_near_silence():
    half = np.zeros(160_000)
    half[-40_000:] = 8_000 * np.sin(np.arange(40_000) / 7)
    music = pack_of([half, np.roll(half, 70_000)])
    renderer = CodecQueryRenderer(music, pack_of([np.ones(100)]), Pack(music.samples, []), LENGTH, 1, plain())
    for number in range(20):
        query = renderer.render(number)
        excerpt = music.audio(query.recording)[query.at : query.at + LENGTH]
        assert np.mean(excerpt**2) >= MIN_MUSIC_POWER


@needs_codecs
def test_a_codec_that_fails_leaves_the_query_uncoded(store, monkeypatch):
    def fails(*_):
        raise AudioError("cannot")

    monkeypatch.setattr(codec_queries, "round_trip", fails)
    query = CodecQueryRenderer(*packs(store), LENGTH, seed=1).render(0)
    assert query.codec is None
    assert query.samples.any()


def test_recordings_of_the_same_name_are_not_used():
    music = pack_of([np.full(60_000, 99.0)] * 3, names=["a", "b", "a"])
    renderer = CodecQueryRenderer(music, music, Pack(music.samples, []), LENGTH, 1, plain())
    assert {renderer.render(number).recording.name for number in range(4)} == {"b"}


def test_a_store_that_cannot_give_codec_queries(store, tmp_path):
    with pytest.raises(TrainingError, match=r"no music in this store.*earprint train pack"):
        render_codec_queries(tmp_path, 3, 1.5, 8)
    with pytest.raises(TrainingError, match="no recording of 30 s; make codec queries shorter"):
        render_codec_queries(store, 3, 30.0, 8)
    music, noise, rooms = packs(store)
    with pytest.raises(TrainingError, match="noise: none to train with"):
        CodecQueryRenderer(music, replace(noise, items=[]), rooms, LENGTH, seed=1)


@pytest.mark.parametrize("verb", ["calls", "codec-queries"])
def test_the_command(store, verb):
    runner = CliRunner()
    words = ["train", verb, str(store), "--count", "6", "--seconds", "1.5", "--jobs", "1"]
    result = runner.invoke(app, words)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("codec queries: 6 of 5 recordings, 0.00 h: ")
    assert len(open_pack(store, "calls").items) == 6
    refused = runner.invoke(app, ["train", "codec-queries", str(store / "none")])
    assert refused.exit_code == 2
    assert "no such folder; make a store with" in refused.output
    listed = runner.invoke(app, ["train", "--help"]).stdout
    assert "codec-queries" in listed
    assert "train calls" not in listed


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs torch, to see it unused")
def test_processes_start_without_torch():
    code = "import sys, earprint.training.codec_queries_packing; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def _squares(deadly):
    return partial(_square, deadly)


def _square(deadly, number):
    if number in deadly:
        os._exit(1)
    return number * number


def test_a_process_that_dies_takes_nothing_with_it():
    died = []
    results = ordered_map(
        partial(_squares, {2, 5}), range(9), 2, lambda number: died.append(number) or -number
    )
    assert list(results) == [0, 1, -2, 9, 16, -5, 36, 49, 64]
    assert died == [2, 5]


def test_no_processes_for_one_job():
    assert list(ordered_map(partial(_squares, set()), range(4), 1, abs)) == [0, 1, 4, 9]
    assert process_count(3) == 3
    assert process_count(0) >= 1
