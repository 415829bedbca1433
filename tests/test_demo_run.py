"""The demonstration: its queries are what they say, and its counts are right."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from typer.testing import CliRunner

from earprint.audio.wav import write_wav
from earprint.cli.main import app
from earprint.constants import SAMPLE_RATE
from earprint.demo import DemoQuery, DemoSettings, excerpts, run_demo
from earprint.demo.results import summarise
from earprint.errors import AudioError
from earprint.synth import composer
from helpers.tinyencoder import TinyEncoder

SMALL = DemoSettings(composed=4, composed_absent=2, composed_s=10.0, long_queries=4, short_queries=2)


@pytest.fixture(autouse=True)
def _tiny_encoder(monkeypatch):
    monkeypatch.setattr("earprint.encoders.load_encoder", lambda name="dense": TinyEncoder())


@pytest.fixture
def music(tmp_path):
    folder = tmp_path / "music"
    folder.mkdir()
    for seed in range(5):
        write_wav(folder / f"piece {seed}.wav", composer.compose(seed, 8.0))
    return folder


def test_cut_takes_the_right_samples(tmp_path):
    path = tmp_path / "ramp.wav"
    ramp = np.linspace(-0.9, 0.9, 30 * SAMPLE_RATE, dtype=np.float32)
    write_wav(path, ramp)
    excerpt = excerpts.cut(path, 12.5, 5.0)
    np.testing.assert_allclose(excerpt.samples, ramp[200_000:280_000], atol=1e-4)
    np.testing.assert_allclose(excerpt.past, ramp[184_000:200_000], atol=1e-4)
    assert excerpt.start_s == 12.5
    assert excerpts.cut(path, 0.25, 1.0).past.shape == (4000,)
    assert excerpts.cut(path, 29.0, 5.0).samples.shape == (16_000,)
    assert excerpts.duration_s(path) == 30.0


def test_silent_excerpts_are_not_audible():
    nothing = np.zeros(0, dtype=np.float32)
    assert not excerpts.Excerpt(np.zeros(100, dtype=np.float32), nothing, 0.0).audible
    assert not excerpts.Excerpt(nothing, nothing, 0.0).audible
    assert excerpts.Excerpt(np.full(100, 0.1, dtype=np.float32), nothing, 0.0).audible


@pytest.mark.parametrize("condition", excerpts.CONDITIONS)
def test_distorted_excerpts_differ_by_seed_and_fit(condition):
    piece = composer.compose(3, 4.0)
    excerpt = excerpts.Excerpt(piece[16_000:48_000], piece[:16_000], 1.0)
    distorted = excerpts.distort(excerpt, condition, 5)
    assert distorted.shape == excerpt.samples.shape
    assert np.abs(distorted).max() <= 1.0
    np.testing.assert_array_equal(distorted, excerpts.distort(excerpt, condition, 5))
    assert not np.array_equal(distorted, excerpts.distort(excerpt, condition, 6))


@pytest.mark.slow
def test_composed_demonstration_and_its_seed():
    stages = []
    first = run_demo(seed=3, settings=SMALL, on_progress=lambda *now: stages.append(now))
    second = run_demo(seed=3, settings=SMALL)
    other = run_demo(seed=4, settings=SMALL)

    def questions(result):
        return [(q.title, q.start_s, q.length_s, q.condition, q.answer) for q in result.queries]

    assert questions(first) == questions(second)
    assert questions(first) != questions(other)
    assert len(first.queries) == 4 + 2 + 2
    assert [query.length_s for query in first.queries] == [5.0] * 4 + [2.0] * 2 + [5.0] * 2
    assert {query.condition for query in first.queries} == set(excerpts.CONDITIONS)
    assert [query.absent for query in first.queries] == [False] * 6 + [True] * 2
    summary = first.summary
    assert (summary.n_tracks, summary.audio_s, summary.failed) == (4, 40.0, [])
    assert (summary.present, summary.absent) == (6, 2)
    assert summary.times_real_time > 0
    assert {stage for stage, _, _ in stages} == {"compose", "add", "identify"}
    assert stages[-1] == ("identify", 8, 8)
    assert first.to_dict()["queries"][0]["title"] == first.queries[0].title


def test_clean_excerpts_are_found():
    # The tiny encoder is not robust to noise; without it every answer must be correct and located.
    stages = []
    settings = replace(SMALL, conditions=(excerpts.CLEAN,))
    result = run_demo(seed=1, settings=settings, on_progress=lambda *now: stages.append(now))
    assert (result.summary.found, result.summary.located, result.summary.rejected) == (6, 6, 2)
    assert [query.length_s for query in result.queries] == [5.0] * 4 + [2.0] * 2 + [5.0] * 2
    assert stages[-1] == ("identify", 8, 8)


@pytest.mark.slow
def test_folder_holds_out_every_fifth_file(music):
    result = run_demo(music, seed=1, settings=SMALL)
    assert result.summary.n_tracks == 4
    assert result.summary.absent == 1
    (absent,) = [query for query in result.queries if query.absent]
    assert absent.title not in {query.title for query in result.queries if not query.absent}


def test_small_folder_with_a_copy_and_a_bad_file(music):
    for seed in (3, 4):
        (music / f"piece {seed}.wav").unlink()
    (music / "copy.wav").write_bytes((music / "piece 0.wav").read_bytes())
    (music / "bad.mp3").write_text("no audio")
    result = run_demo(music, settings=SMALL)
    assert result.summary.n_tracks == 3
    assert result.summary.absent == 0
    (line,) = result.summary.failed
    assert "bad.mp3" in line


def test_large_folder_is_drawn_from(music):
    summary = run_demo(music, settings=replace(SMALL, max_files=2)).summary
    assert (summary.n_tracks, summary.files_left_out) == (2, 3)


def test_folder_without_audio(tmp_path):
    with pytest.raises(AudioError, match="no audio files"):
        run_demo(tmp_path)
    (tmp_path / "bad.mp3").write_text("no audio")
    with pytest.raises(AudioError, match="could be added"):
        run_demo(tmp_path)


def test_counts():
    def query(absent, correct, located, seconds):
        return DemoQuery("a", 1.0, 5.0, "phone", absent, None, None, None, correct, located, seconds)

    queries = [
        query(False, True, True, 0.1),
        query(False, True, False, 0.2),
        query(False, False, False, 0.3),
        query(True, True, False, 0.4),
        query(True, False, False, 9.0),
    ]
    summary = summarise(queries, n_tracks=3, audio_s=120.0, add_seconds=2.0, failed=[], files_left_out=0)
    assert (summary.present, summary.found, summary.located) == (3, 2, 1)
    assert (summary.absent, summary.rejected) == (2, 1)
    assert summary.median_answer_s == 0.3
    assert summary.times_real_time == 60.0


def test_command_prints_rows_and_a_summary(music, monkeypatch):
    monkeypatch.setattr("earprint.demo.run_demo", partial(run_demo, settings=SMALL))
    result = CliRunner().invoke(app, ["demo", str(music), "--seed", "2"])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    rows = [line for line in lines if "\t" in line]
    assert len(rows) == 4 + 2 + 1
    assert {line.count("\t") for line in rows} == {8}
    assert lines[len(rows)].startswith("4 recordings (0:00:32.0 of audio) added in ")
    assert "of 6 excerpts found" in lines[len(rows) + 1]
    assert 'of 1 excerpts of recordings that were never added got "no match"' in result.stdout
