"""``earprint evaluate`` from end to end on composed music, with the tiny encoder."""

import json
import shutil
from functools import partial

import numpy as np
import pytest
from typer.testing import CliRunner

from earprint.audio.wav import write_wav
from earprint.cli.evaluate import HELP
from earprint.cli.main import app
from earprint.dsp.reverberation import synthetic_rir
from earprint.dsp.synthetic_noise import pink_noise
from earprint.evaluation import runner
from earprint.evaluation.conditions import CONDITIONS
from earprint.evaluation.query import read_manifest
from earprint.evaluation.rendering import render
from earprint.library import Library
from earprint.synth import composer
from helpers.tinyencoder import TinyEncoder

pytest.importorskip("scipy.stats", reason="evaluations need scipy: pip install 'earprint[evaluate]'")

RATE = 16_000


@pytest.fixture(autouse=True)
def _tiny_encoder(monkeypatch, request):
    def load(name="dense", threads=0):
        made = TinyEncoder()
        if name == "other":
            made.name, made.model_id = "other", "other-0000"
        return made

    monkeypatch.setattr("earprint.encoders.load_encoder", load)
    monkeypatch.setattr("earprint.evaluation.costs.TIMED_QUERIES", 3)
    if request.node.name != "test_figures_are_drawn":  # figures take seconds
        monkeypatch.setattr("earprint.evaluation.report.draw", lambda *_: ([], None))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Three references, one distractor, two absent recordings, a noise and a room."""
    base = tmp_path_factory.mktemp("world")
    for folder, seeds in {"music": (0, 1, 2), "others": (3,), "absent": (10, 11)}.items():
        (base / folder).mkdir()
        for seed in seeds:
            write_wav(base / folder / f"{seed}.wav", composer.compose(seed, 9.0))
    (base / "noise").mkdir()
    write_wav(base / "noise" / "pink.wav", 0.2 * pink_noise(2 * RATE, 0))
    (base / "rooms").mkdir()
    write_wav(base / "rooms" / "room.wav", 0.9 * synthetic_rir(0.5, 0))
    return base


def evaluate(*arguments):
    # One process: the stand-in for the model lives in this one.
    return CliRunner().invoke(app, ["evaluate", "--jobs", "1", *map(str, arguments)], prog_name="earprint")


@pytest.mark.slow
def test_end_to_end(world, tmp_path):
    out = tmp_path / "out"
    result = evaluate(
        "--references", world / "music", "--distractors", world / "others", "--absent", world / "absent",
        "--noise", world / "noise", "--rir", world / "rooms", "--lengths", 2, "--lengths", 4, "--lengths", 2,
        "--snr", 20, "--queries", 6, "--absent-queries", 4, "--out", out,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    lines = [line for line in result.stderr.splitlines() if "matplotlib" not in line]
    assert lines == []  # not a terminal: no bar, and nothing was left out
    results = json.loads((out / "results.json").read_text())
    conditions = ["clean", "noise 20 dB", "room", "room + noise 20 dB", "phone"]
    present = [row for row in results["rows"] if "answered" in row and "RT60" not in row["condition"]]
    absent = [row for row in results["rows"] if "false_accept" in row]
    assert [(row["length_s"], row["condition"]) for row in present] == [
        (length_s, condition) for length_s in (2.0, 4.0) for condition in conditions
    ]
    assert {row["queries"] for row in present} == {6}
    assert {row["queries"] for row in absent} == {4}
    for row in present:
        if row["condition"] == "clean":
            assert row["top_1"]["percent"] == row["located_50_ms"]["percent"] == 100.0
            assert row["median_error_ms"] < 10
    assert absent[0]["false_accept"]["percent"] == 0.0
    (system,) = results["settings"]["systems"]
    assert (system["system"], system["model_id"], system["tracks"]) == ("tiny", "tiny-0000", 4)
    assert system["added_hours"] == pytest.approx(4 * 9 / 3600, abs=1e-3)
    assert [one["length_s"] for one in system["seconds_per_query"]] == [2.0, 4.0]
    for one in system["seconds_per_query"]:
        assert one["queries"] == 3
        assert 0 < one["embed_ms"]["median"] <= one["total_ms"]["p95"]
    by_time = [row["condition"] for row in results["rows"] if "RT60" in row["condition"]]
    assert by_time == ["room, RT60 0.45-0.6 s"] * 2  # one room of 0.5 s, and two lengths
    assert results["left_out"] == {"files": [], "recordings_too_short": {}, "excerpts": []}
    table = (out / "table.md").read_text()
    assert table.startswith(result.stdout.split("\n\n")[0])
    for line in result.stdout.split("\n\n"):
        assert line.strip() in table
    assert "Table 3: noise" in (out / "paper-tables.md").read_text()
    # the manifest gives the same questions again
    manifest = read_manifest(out / "queries.jsonl")
    assert set(read_manifest(out / "manifest.jsonl")) == set(manifest)
    assert len(manifest) == 2 * 5 * (6 + 4)
    assert {one.path.parent.name for one in manifest} == {"music", "absent"}
    assert len(list(render(manifest[:3]))) == 3


@pytest.mark.slow
def test_figures_are_drawn(world, tmp_path):
    pytest.importorskip("matplotlib", reason="figures need matplotlib (the extra evaluate)")
    result = evaluate(
        "--references", world / "music", "--absent", world / "absent", "--lengths", 2, "--queries", 3,
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    names = {path.name for path in (tmp_path / "out").glob("*.png")}
    assert names == {"accuracy-other.png", "roc.png", "time-errors.png"}


def test_each_condition_is_in_the_help():
    for name in CONDITIONS:
        assert f"\n  {name} " in HELP


def test_conditions_by_name_and_level(world, tmp_path):
    result = evaluate(
        "--references", world / "music", "--noise", world / "noise", "--speech", world / "others",
        "--device", world / "rooms", "--condition", "noise=-5,3", "--condition", "speech=-3",
        "--condition", "device", "--lengths", 2, "--queries", 3, "--out", tmp_path / "out",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    titles = ["noise -5 dB", "noise 3 dB", "device", "speech -3 dB"]
    assert [row["condition"] for row in results["rows"]] == results["settings"]["conditions"] == titles
    spoken = read_manifest(tmp_path / "out" / "manifest.jsonl")[-1]
    assert (spoken.noise.parent.name, spoken.snr_db) == ("others", -3.0)


def test_seed_and_kept_library(world, tmp_path):
    def asked(name, *more):
        arguments = ("--references", world / "music", "--lengths", 2, "--queries", 3, *more)
        result = evaluate(*arguments, "--keep-library", tmp_path / "library", "--out", tmp_path / name)
        assert result.exit_code == 0, result.output
        return [one.to_dict() for one in read_manifest(tmp_path / name / "queries.jsonl")]

    assert asked("a") == asked("b") != asked("c", "--seed", 2)


def test_copies_and_links_are_known_by_their_content(world, tmp_path):
    shutil.copytree(world / "music", tmp_path / "music")
    shutil.copy(tmp_path / "music" / "0.wav", tmp_path / "music" / "copy.wav")
    (tmp_path / "link").symlink_to(tmp_path / "music")
    result = evaluate(
        "--references", tmp_path / "link", "--distractors", world / "music", "--absent", world / "music",
        "--lengths", 3, "--queries", 4, "--out", tmp_path / "out",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    lines = result.stderr.splitlines()
    assert len([line for line in lines if line.endswith("so it is not absent")]) == 3
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    (row,) = results["rows"]
    assert (row["queries"], row["top_1"]["percent"]) == (4, 100.0)
    assert results["settings"]["systems"][0]["tracks"] == 3


def test_what_is_left_out_is_said(world, tmp_path):
    absent, music = tmp_path / "absent", tmp_path / "music"
    shutil.copytree(world / "absent", absent)
    (absent / "text.mp3").write_text("no audio\n" * 40)
    (absent / "empty.wav").touch()
    music.mkdir()
    half = composer.compose(1, 12.0)
    half[: 8 * RATE] = 0
    write_wav(music / "half silent.wav", half)
    write_wav(music / "short.wav", composer.compose(2, 1.5))
    (music / "text.mp3").write_text("no audio\n" * 30)
    noise = tmp_path / "noise"
    shutil.copytree(world / "noise", noise)
    (noise / "bad.wav").write_bytes(b"RIFF")
    result = evaluate(
        "--references", music, "--absent", absent, "--noise", noise, "--lengths", 2, "--queries", 20,
        "--absent-queries", 2, "--out", tmp_path / "out",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    lines = result.stderr.splitlines()
    for path in (absent / "text.mp3", absent / "empty.wav", music / "text.mp3", noise / "bad.wav"):
        (line,) = [line for line in lines if str(path) in line]
        assert line.startswith(f"left out: {path}: ")
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    left_out = results["left_out"]
    assert len(left_out["files"]) == 4
    assert left_out["recordings_too_short"] == {"2 s": 1}
    (silent,) = left_out["excerpts"]
    assert silent["cause"] == "silent"
    assert silent["queries"] == 2 * silent["excerpts"]  # clean and noisy
    assert 0 < silent["excerpts"] < 20
    assert [row["queries"] for row in results["rows"] if "answered" in row] == [20 - silent["excerpts"]] * 2
    for line in lines[-3:]:
        assert line in (tmp_path / "out" / "table.md").read_text()
    assert f"left out: {silent['excerpts']} excerpts ({silent['queries']} of the queries): silent" in lines


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda p: p.write_text("no audio\n" * 40), "no recording can be used"),
        (lambda p: write_wav(p, composer.compose(0, 2.0)), "the longest recording has 2.0 s"),
        (lambda p: p.rename(p.parent / "no.txt") if p.exists() else None, "holds no audio files"),
    ],
)
def test_nothing_to_ask(tmp_path, make, said):
    (tmp_path / "music").mkdir()
    make(tmp_path / "music" / "a.mp3")
    result = evaluate("--references", tmp_path / "music")
    assert result.exit_code == 2
    line = result.stderr.splitlines()[-1]
    assert line.startswith("earprint: error: ")
    assert said in line
    assert result.stdout == ""


def test_only_silence_to_ask_about(tmp_path):
    music = np.zeros(20 * RATE, dtype=np.float32)
    music[:800] = 0.5
    write_wav(tmp_path / "a.wav", music)
    result = evaluate("--references", tmp_path / "a.wav", "--queries", 1, "--seed", 3, "--lengths", 2)
    assert result.exit_code == 2
    assert "every excerpt is silent" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--lengths", "inf"], "finite"),
        (["--lengths", "nan"], "--lengths"),
        (["--lengths", "0"], "--lengths"),
        (["--queries", "0"], "--queries"),
        (["--snr", "5"], "--noise"),
        (["--snr", "inf", "--noise", "x"], "finite"),
        (["--speed", "3"], "--speed"),
        (["--condition", "noise=x"], "its level is the SNR in dB"),
        (["--condition", "noise"], "needs noises; name a folder of them with --noise"),
        (["--condition", "room"], "needs room responses; name a folder of them with --rir"),
        (["--condition", "speed"], "give them with --speed"),
        (["--condition", "nonsense"], "--condition"),
        (["--manifest", "nowhere.jsonl"], "nowhere.jsonl: cannot be read"),
        (["--absent", "nowhere"], "nowhere: no such file or folder"),
    ],
)
def test_wrong_use(world, arguments, said):
    result = evaluate("--references", world / "music", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_noises_that_are_none(world, tmp_path):
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    result = evaluate("--references", world / "music", "--noise", tmp_path)
    assert result.exit_code == 2
    assert "none of its 1 files can be used" in result.stderr


def test_unwritable_report_is_found_before_the_work(world, tmp_path):
    (tmp_path / "out").touch()
    library = tmp_path / "library"
    result = evaluate("--references", world / "music", "--out", tmp_path / "out", "--keep-library", library)
    assert result.exit_code == 2
    assert "name another folder for --out" in result.stderr
    assert not library.exists()


def test_models_are_asked_the_same(world, tmp_path):
    out = tmp_path / "out"
    arguments = (
        "--references", world / "music", "--absent", world / "absent", "--rir", world / "rooms",
        "--condition", "clean", "--condition", "speed", "--speed", 1.03, "--speed", 0.97, "--lengths", 2,
        "--queries", 6, "--absent-queries", 3, "--model", "tiny", "--model", "other", "--model", "tiny",
        "--keep-library", tmp_path / "kept", "--out", out,
    )  # fmt: skip
    result = evaluate(*arguments)
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["other-0000", "tiny-0000"]
    results = json.loads((out / "results.json").read_text())
    present = [row for row in results["rows"] if "answered" in row]
    assert [(row["system"], row["condition"]) for row in present] == [
        (system, condition)
        for system in ("tiny", "other")
        for condition in ("clean", "speed x 1.03", "speed x 0.97")
    ]
    for row in present:
        row.pop("system")
    assert present[:3] == present[3:]  # the same stand-in under two names
    # The pair is compared, and both are put at the same rate of false accepts.
    compared = [one for one in results["comparisons"] if one["condition"] == "all"]
    assert {(one["first"], one["second"]) for one in compared} == {("tiny", "other")}
    assert {one["metric"] for one in compared} == {"top_1_and_50_ms", "answered", "false_accept"}
    assert all(
        one["only_first"] == one["only_second"] == 0 == one["difference"]["percent"] for one in compared
    )
    matched = [one for one in results["matched_false_accepts"] if one["condition"] == "all"]
    assert [one["system"] for one in matched] == ["tiny", "other"]
    assert "right % at matched false accepts" in result.stdout
    assert "McNemar p" in result.stdout
    asked = [json.loads(line) for line in (out / "queries.jsonl").read_text().splitlines()]
    assert len(asked) == 2 * 3 * (6 + 3)
    again = evaluate(*arguments)
    assert again.exit_code == 0
    costs = json.loads((out / "results.json").read_text())["settings"]["systems"]
    assert [cost["add_x_real_time"] for cost in costs] == [None, None]  # nothing was left to add


@pytest.mark.slow
def test_a_manifest_asks_again(world, tmp_path):
    music = ("--references", world / "music", "--absent", world / "absent")
    first = evaluate(
        *music, "--noise", world / "noise", "--snr", 5, "--lengths", 2, "--lengths", 3, "--queries", 4,
        "--out", tmp_path / "a", "--absent-queries", 2, "--seed", 9,
    )  # fmt: skip
    assert first.exit_code == 0, first.output
    manifest = tmp_path / "a" / "manifest.jsonl"
    second = evaluate(*music, "--manifest", manifest, "--out", tmp_path / "b")
    assert second.exit_code == 0, second.output
    assert (tmp_path / "b" / "manifest.jsonl").read_text() == manifest.read_text()
    rows = [json.loads((tmp_path / name / "results.json").read_text())["rows"] for name in "ab"]
    assert rows[0] == rows[1]
    # recordings that are not there, or not absent any more, take no part
    third = evaluate("--references", world / "music" / "0.wav", "--manifest", manifest)
    assert third.exit_code == 0, third.output
    assert "its recording is not among those of --references" in third.stderr
    assert "its recording is not among those of --absent" in third.stderr
    fourth = evaluate("--references", world / "others", "--manifest", manifest)
    assert fourth.exit_code == 2
    assert "no query of the manifest fits the recordings" in fourth.stderr


def test_speed_changed_distractors(world, tmp_path, monkeypatch):
    arguments = (
        "--references", world / "music", "--distractors", world / "others", "--augment-distractors", 3,
        "--lengths", 2, "--queries", 3, "--keep-library", tmp_path / "kept",
    )  # fmt: skip
    assert evaluate(*arguments).exit_code == 0
    library_folder = tmp_path / "kept" / "tiny-0000"

    def titles():
        with Library(library_folder, encoder=TinyEncoder()) as library:
            return [track.title for track in library.tracks()]

    assert titles() == ["0", "1", "2", "3", "3 x 0.86", "3 x 1.06", "3 x 1.19"]
    # a copy that went missing, as after an interruption, is made again, and it alone
    with Library(library_folder, encoder=TinyEncoder()) as library:
        library.remove("3 x 1.06")
    made = []
    real = Library.add
    monkeypatch.setattr(Library, "add", lambda self, *p, **k: made.extend(p) or real(self, *p, **k))
    assert evaluate(*arguments).exit_code == 0
    assert [path.name for path in made if "x" in path.name] == ["3 x 1.06.wav"]
    assert sorted(titles()) == ["0", "1", "2", "3", "3 x 0.86", "3 x 1.06", "3 x 1.19"]


def test_ctrl_c_reports_what_was_answered(world, tmp_path, monkeypatch):
    in_twos = partial(runner.identify_queries, chunk_size=2)
    monkeypatch.setattr("earprint.evaluation.experiment.identify_queries", in_twos)
    real = runner._identify_chunk
    chunks = []

    def answer(readers, chunk, keep):
        chunks.append(chunk)
        if len(chunks) == 3:
            raise KeyboardInterrupt
        return real(readers, chunk, keep)

    monkeypatch.setattr(runner, "_identify_chunk", answer)
    result = evaluate(
        "--references", world / "music", "--lengths", 2, "--queries", 9, "--out", tmp_path / "out"
    )
    assert result.exit_code == 130
    assert "PARTIAL: interrupted after 4 of 9 queries" in result.stdout
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["settings"]["complete"] is False
    assert [row["queries"] for row in results["rows"]] == [4]
    assert len(read_manifest(tmp_path / "out" / "manifest.jsonl")) == 9


def test_a_long_run_says_how_far_it_is(world, monkeypatch):
    monkeypatch.setattr("earprint.cli.evaluate.SECONDS_PER_LINE", 0.0)
    result = evaluate("--references", world / "music", "--lengths", 2, "--queries", 3)
    assert result.exit_code == 0
    lines = result.stderr.splitlines()
    assert "adding to tiny: 100 %" in lines
    assert "identifying, 2 s: 100 %" in lines
    assert "timing tiny: 100 %" in lines


def test_help():
    result = evaluate("--help")
    assert result.exit_code == 0
    for text in (
        "Examples:\n    earprint evaluate --references",
        "Exit code: 0",
        "false accepts",
        "--lengths",
    ):
        assert text in result.stdout
    assert "\x1b" not in result.stdout
    assert "\b" not in result.stdout
