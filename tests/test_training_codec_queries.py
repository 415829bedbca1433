"""Calls: the same whatever renders them, in step with their recording, and never of what is held out."""

import importlib.util
import os
import subprocess
import sys
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from typer.testing import CliRunner

from earprint.audio.codec import CODECS, can_encode
from earprint.cli.main import app
from earprint.constants import SAMPLE_RATE
from earprint.errors import AudioError, TrainingError
from earprint.parallel.cores import process_count
from earprint.parallel.ordered_map import ordered_map
from earprint.training import codec_queries as calls
from earprint.training import codec_queries_packing as calls_packing
from earprint.training.codec_queries import Caller
from earprint.training.codec_queries_packing import make_calls
from earprint.training.store import Pack, calls_by_recording, in_validation, open_pack
from helpers.trainstore import make_store, pack_of

LENGTH = 24_000
needs_codecs = pytest.mark.skipif(not all(map(can_encode, CODECS)), reason="FFmpeg lacks a codec here")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("calls"), tracks=5, held_out=2, duration_s=4.0)


def packs(store, percent=8):
    return [open_pack(store, kind).split(percent)[0] for kind in ("music", "noise", "rooms")]


def delay(call, original):
    """Samples that a call lags behind its place in the recording, at most 400 either way."""
    size = 1 << 16
    product = np.fft.rfft(call, size) * np.fft.rfft(original, size).conj()
    lags = np.fft.irfft(product / np.maximum(np.abs(product), 1e-9), size)  # as sharp as it gets
    near = np.concatenate([lags[-400:], lags[:401]])
    return int(np.argmax(near)) - 400


def test_the_same_whatever_the_jobs(store, tmp_path, monkeypatch):
    monkeypatch.setattr(calls_packing, "PER_TASK", 2)
    told = []
    one = make_calls(store, 7, 1.5, 8, jobs=1, on_calls=told.append)
    samples, items = np.array(one.pack.samples), one.pack.items
    assert told == [2, 2, 2, 1]
    two = make_calls(store, 7, 1.5, 8, jobs=2)
    assert two.pack.items == items
    np.testing.assert_array_equal(two.pack.samples, samples)
    assert two.codecs == one.codecs
    fewer = make_calls(store, 3, 1.5, 8)
    np.testing.assert_array_equal(fewer.pack.samples, samples[: 3 * LENGTH])
    other = make_calls(store, 3, 1.5, 8, seed=2)
    assert not np.array_equal(other.pack.samples, samples[: 3 * LENGTH])


def test_the_pack_reads_back(store):
    written = make_calls(store, 10, 1.5, 8).pack
    again = open_pack(store, "calls")
    assert again.items == written.items
    assert again.samples.dtype == np.int16
    music = {item.name: item for item in open_pack(store, "music").items}
    for number, item in enumerate(again.items):
        assert (item.start, item.length, item.twin) == (number * LENGTH, LENGTH, None)
        assert item.group == music[item.name].group
        assert 0 <= item.at <= music[item.name].length - LENGTH
        assert 0.05 < np.abs(again.audio(item)).max() <= 1.0
    by_recording = calls_by_recording(again)
    # Five recordings train, and each has as many calls.
    assert sorted(map(len, by_recording.values())) == [2] * 5
    assert all(call.name == name for name, of in by_recording.items() for call in of)
    assert calls_by_recording(open_pack(store, "music")) == {}


def test_nothing_held_out_is_used(store, monkeypatch):
    used = set()

    def audio(self, item):
        used.add(item.group)
        return read(self, item)

    read = Pack.audio
    monkeypatch.setattr(Pack, "audio", audio)
    written = make_calls(store, 40, 1.5, 8)
    assert any(in_validation(item.group, 8) for item in open_pack(store, "rooms").items)
    assert len(used) == 5
    assert not any(in_validation(group, 8) for group in used)
    assert not any(in_validation(item.group, 8) for item in written.pack.items)


@needs_codecs
@pytest.mark.parametrize("codec", list(CODECS))
def test_in_step_with_the_recording(store, codec, monkeypatch):
    monkeypatch.setattr(calls, "CODEC_SHARES", {codec: 1.0})
    monkeypatch.setattr(calls, "SNR_DB", (20.0, 25.0))
    music, noise, rooms = packs(store)
    caller = Caller(music, noise, rooms, 2 * LENGTH, seed=3)
    for number in range(10):
        call = caller.call(number)
        assert call.codec == codec
        original = music.audio(call.recording)[call.at : call.at + 2 * LENGTH]
        assert abs(delay(call.samples.astype(np.float64), original)) <= SAMPLE_RATE // 1_000


def plain(monkeypatch, **shares):
    """Switch off all that is not named."""
    for name in ("ROOM", "DEVICE", "SECOND_NOISE", "TELEPHONE_BAND", "CLIPPED"):
        monkeypatch.setattr(calls, name, shares.get(name, 0.0))
    monkeypatch.setattr(calls, "can_encode", lambda name: False)


def test_snr_past_and_peak(monkeypatch):
    """A click's echo reaches into the call from its past; the noise is as loud as it should be."""
    plain(monkeypatch, ROOM=1.0)
    monkeypatch.setattr(calls, "SNR_DB", (10.0, 10.0))
    monkeypatch.setattr(calls, "PEAKS", (0.5, 0.5))
    monkeypatch.setattr(Caller, "_band", lambda self, *_: np.float32(1))
    rng = np.random.default_rng(1)
    tone = np.round(3_000 * np.sin(np.arange(60_000) / 5))
    noise = rng.integers(-9_000, 9_000, 5_000)
    response = np.zeros(16_000, np.float32)
    response[[0, 15_000]] = 1.0, -1.0
    rooms = pack_of([response], np.float32, ["room/r"])
    caller = Caller(pack_of([tone]), pack_of([noise]), rooms, LENGTH, seed=1)
    for number in range(4):
        call = caller.call(number)
        heard = call.samples / 32_768
        assert np.abs(heard).max() == pytest.approx(0.5, abs=1e-4)
        padded = np.concatenate([np.zeros(15_000), tone])
        wet = (padded[15_000:] - padded[: len(tone)])[call.at : call.at + LENGTH]
        gain = heard @ wet / (wet @ wet)
        snr_db = 10 * np.log10(np.sum((gain * wet) ** 2) / np.sum((heard - gain * wet) ** 2))
        assert snr_db == pytest.approx(10.0, abs=0.3)


def test_the_band_is_a_telephones(monkeypatch):
    plain(monkeypatch, TELEPHONE_BAND=1.0)
    rng = np.random.default_rng(2)
    white = pack_of([rng.integers(-9_000, 9_000, 60_000)])
    caller = Caller(white, white, Pack(white.samples, []), LENGTH, seed=1)
    hz = np.fft.rfftfreq(LENGTH, 1 / SAMPLE_RATE)
    for number in range(8):
        power = np.abs(np.fft.rfft(caller.call(number).samples)) ** 2
        inside = power[(hz > 450) & (hz < 2_800)].mean()
        assert power[hz < 90].mean() < 0.05 * inside
        assert power[hz > 7_000].mean() < 0.15 * inside


def test_clipped_calls(monkeypatch):
    plain(monkeypatch, CLIPPED=1.0)
    rng = np.random.default_rng(2)
    white = pack_of([rng.integers(-9_000, 9_000, 60_000)])
    samples = Caller(white, white, Pack(white.samples, []), LENGTH, seed=1).call(0).samples
    assert np.count_nonzero(np.abs(samples) == np.abs(samples).max()) > 10


def test_not_near_silence(monkeypatch):
    plain(monkeypatch)
    half = np.zeros(160_000)
    half[-40_000:] = 8_000 * np.sin(np.arange(40_000) / 7)
    music = pack_of([half, np.roll(half, 70_000)])
    caller = Caller(music, pack_of([np.ones(100)]), Pack(music.samples, []), LENGTH, seed=1)
    for number in range(20):
        call = caller.call(number)
        excerpt = music.audio(call.recording)[call.at : call.at + LENGTH]
        assert np.mean(excerpt**2) >= calls.QUIETEST


@needs_codecs
def test_a_codec_that_fails_leaves_the_call_uncoded(store, monkeypatch):
    def fails(*_):
        raise AudioError("cannot")

    monkeypatch.setattr(calls, "round_trip", fails)
    call = Caller(*packs(store), LENGTH, seed=1).call(0)
    assert call.codec is None
    assert call.samples.any()


def test_recordings_of_the_same_name_are_not_called(monkeypatch):
    plain(monkeypatch)
    music = pack_of([np.full(60_000, 99.0)] * 3, names=["a", "b", "a"])
    caller = Caller(music, music, Pack(music.samples, []), LENGTH, seed=1)
    assert {caller.call(number).recording.name for number in range(4)} == {"b"}


def test_what_cannot_be_called_is_told(store, tmp_path):
    with pytest.raises(TrainingError, match=r"no music in this store.*earprint train pack"):
        make_calls(tmp_path, 3, 1.5, 8)
    with pytest.raises(TrainingError, match="no recording of 30 s; make calls shorter"):
        make_calls(store, 3, 30.0, 8)
    music, noise, rooms = packs(store)
    with pytest.raises(TrainingError, match="noise: none to train with"):
        Caller(music, replace(noise, items=[]), rooms, LENGTH, seed=1)


def test_the_command(store):
    runner = CliRunner()
    words = ["train", "calls", str(store), "--count", "6", "--seconds", "1.5", "--jobs", "1"]
    result = runner.invoke(app, words)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("calls: 6 of 5 recordings, 0.00 h: ")
    assert len(open_pack(store, "calls").items) == 6
    refused = runner.invoke(app, ["train", "calls", str(store / "none")])
    assert refused.exit_code == 2
    assert "no music in this store" in refused.output


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
