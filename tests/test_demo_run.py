"""The demonstration: its questions are what they say, and its counts are right."""

import numpy as np
import pytest
from typer.testing import CliRunner

from earprint.audio.wav import write_wav
from earprint.cli.main import app
from earprint.constants import SAMPLE_RATE
from earprint.demo import excerpts
from earprint.demo import run as demo_run
from earprint.demo.results import Row, count
from earprint.errors import AudioError
from earprint.synth import composer
from helpers.tinyencoder import TinyEncoder


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr("earprint.encoders.load_encoder", lambda name="dense": TinyEncoder())
    for name, value in {
        "COMPOSED": 4,
        "COMPOSED_ABSENT": 2,
        "COMPOSED_S": 10.0,
        "QUESTIONS": 4,
        "SHORT_QUESTIONS": 2,
    }.items():
        monkeypatch.setattr(demo_run, name, value)


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


def test_silence_is_no_question():
    nothing = np.zeros(0, dtype=np.float32)
    assert not excerpts.Excerpt(np.zeros(100, dtype=np.float32), nothing, 0.0).audible
    assert not excerpts.Excerpt(nothing, nothing, 0.0).audible
    assert excerpts.Excerpt(np.full(100, 0.1, dtype=np.float32), nothing, 0.0).audible


@pytest.mark.parametrize("condition", excerpts.CONDITIONS)
def test_spoiled_excerpts_differ_by_seed_and_fit(condition):
    piece = composer.compose(3, 4.0)
    excerpt = excerpts.Excerpt(piece[16_000:48_000], piece[:16_000], 1.0)
    spoiled = excerpts.spoil(excerpt, condition, 5)
    assert spoiled.shape == excerpt.samples.shape
    assert np.abs(spoiled).max() <= 1.0
    np.testing.assert_array_equal(spoiled, excerpts.spoil(excerpt, condition, 5))
    assert not np.array_equal(spoiled, excerpts.spoil(excerpt, condition, 6))


@pytest.mark.slow
def test_composed_demonstration_and_its_seed():
    stages = []
    first = demo_run.demonstrate(seed=3, on_progress=lambda *now: stages.append(now))
    second = demo_run.demonstrate(seed=3)
    other = demo_run.demonstrate(seed=4)

    def questions(result):
        return [(r.asked, r.asked_s, r.length_s, r.condition, r.answered) for r in result.rows]

    assert questions(first) == questions(second)
    assert questions(first) != questions(other)
    assert len(first.rows) == 4 + 2 + 2
    assert [row.length_s for row in first.rows] == [5.0] * 4 + [2.0] * 2 + [5.0] * 2
    assert {row.condition for row in first.rows} == set(excerpts.CONDITIONS)
    assert [row.absent for row in first.rows] == [False] * 6 + [True] * 2
    tally = first.tally
    assert (tally.tracks, tally.audio_s, tally.failed) == (4, 40.0, [])
    assert (tally.present, tally.absent) == (6, 2)
    assert tally.times_real_time > 0
    assert {stage for stage, _, _ in stages} == {"compose", "add", "ask"}
    assert stages[-1] == ("ask", 8, 8)
    assert first.to_dict()["rows"][0]["asked"] == first.rows[0].asked


def test_clean_excerpts_are_found(monkeypatch):
    # The tiny encoder knows nothing of noise; unspoiled, every answer must be right and in place.
    monkeypatch.setattr(demo_run, "spoil", lambda excerpt, condition, seed: excerpt.samples)
    tally = demo_run.demonstrate(seed=1).tally
    assert (tally.found, tally.located, tally.refused) == (6, 6, 2)


def test_folder_holds_out_every_fifth_file(music):
    result = demo_run.demonstrate(music, seed=1)
    assert result.tally.tracks == 4
    assert result.tally.absent == 1
    (absent,) = [row for row in result.rows if row.absent]
    assert absent.asked not in {row.asked for row in result.rows if not row.absent}


def test_small_folder_with_a_copy_and_a_bad_file(music):
    for seed in (3, 4):
        (music / f"piece {seed}.wav").unlink()
    (music / "copy.wav").write_bytes((music / "piece 0.wav").read_bytes())
    (music / "bad.mp3").write_text("no audio")
    result = demo_run.demonstrate(music)
    assert result.tally.tracks == 3
    assert result.tally.absent == 0
    (line,) = result.tally.failed
    assert "bad.mp3" in line


def test_large_folder_is_drawn_from(music, monkeypatch):
    monkeypatch.setattr(demo_run, "MOST_FILES", 2)
    tally = demo_run.demonstrate(music).tally
    assert (tally.tracks, tally.files_left_out) == (2, 3)


def test_folder_without_audio(tmp_path):
    with pytest.raises(AudioError, match="no audio files"):
        demo_run.demonstrate(tmp_path)
    (tmp_path / "bad.mp3").write_text("no audio")
    with pytest.raises(AudioError, match="could be added"):
        demo_run.demonstrate(tmp_path)


def test_counts():
    def row(absent, right, located, seconds):
        return Row("a", 1.0, 5.0, "phone", absent, None, None, None, right, located, seconds)

    rows = [
        row(False, True, True, 0.1),
        row(False, True, False, 0.2),
        row(False, False, False, 0.3),
        row(True, True, False, 0.4),
        row(True, False, False, 9.0),
    ]
    tally = count(rows, 3, 120.0, 2.0, [], 0)
    assert (tally.present, tally.found, tally.located) == (3, 2, 1)
    assert (tally.absent, tally.refused) == (2, 1)
    assert tally.median_answer_s == 0.3
    assert tally.times_real_time == 60.0


def test_command_prints_rows_and_a_tally(music):
    result = CliRunner().invoke(app, ["demo", str(music), "--seed", "2"])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    rows = [line for line in lines if "\t" in line]
    assert len(rows) == 4 + 2 + 1
    assert {line.count("\t") for line in rows} == {8}
    assert lines[len(rows)].startswith("4 recordings (0:00:32.0 of audio) added in ")
    assert "of 6 excerpts found" in lines[len(rows) + 1]
    assert 'of 1 excerpts of recordings that were never added got "no match"' in result.stdout
