"""The verbs that maintain a library: what they print, and how they end."""

import json
from functools import partial

import numpy as np
import pytest
from typer.testing import CliRunner

from earprint import encoders as encoder
from earprint.audio import stream_audio
from earprint.cli.main import app
from earprint.library import EncodingPool, Library
from helpers.fake_encoder import FakeEncoder
from helpers.libraries import ONE_COMMIT, OtherEncoder, finds, open_library, write_music


@pytest.fixture(autouse=True)
def _encoders(monkeypatch):
    made = {"dense": FakeEncoder(), "other": OtherEncoder()}
    monkeypatch.setattr("earprint.encoders.load_encoder", lambda name="dense": made[name])
    monkeypatch.delenv("EARPRINT_LIBRARY", raising=False)
    monkeypatch.delenv("EARPRINT_MODEL", raising=False)


@pytest.fixture
def folder(tmp_path):
    for file in write_music(tmp_path / "music", range(3)):
        assert run(tmp_path / "lib", "add", file).exit_code == 0
    return tmp_path / "lib"


def run(folder, *arguments):
    return CliRunner().invoke(app, ["--library", str(folder), *map(str, arguments)], prog_name="earprint")


def test_compact(folder):
    run(folder, "remove", "tune 1")
    result = run(folder, "compact")
    assert result.exit_code == 0
    assert result.stdout == (
        "3 segments became 1; 20 fingerprints of removed recordings deleted, 1.3 kB freed\n"
    )
    assert run(folder, "compact").stdout == "nothing to do: 1 segment\n"


def test_long_runs_continue_in_processes_with_the_named_model(tmp_path, monkeypatch):
    encoded, made = [], []

    class Here(EncodingPool):
        """Encodes in this process, with the tests' encoders."""

        def __init__(self, model, jobs=1, start_after_s=0.0):
            made.append(jobs)
            super().__init__(model, jobs, start_after_s=0.0)

        def encode_file(self, path, model_id):
            encoded.append((self._model, path.name))
            return encoder.load_encoder(self._model).encode(stream_audio(path)), []

    monkeypatch.setattr("earprint.library.EncodingPool", Here)
    monkeypatch.setattr("earprint.library.Library", partial(Library, settings=ONE_COMMIT))
    write_music(tmp_path / "music", range(2))
    names = ["tune 0.wav", "tune 1.wav"]
    assert run(tmp_path / "lib", "add", tmp_path / "music").exit_code == 0
    assert encoded == [("dense", name) for name in names]
    encoded.clear()
    assert run(tmp_path / "lib", "rebuild", "--model", "other").exit_code == 0
    assert encoded == [("other", name) for name in names]
    encoded.clear()
    (segment,) = (tmp_path / "lib" / "segments").iterdir()
    segment.write_bytes(segment.read_bytes()[:-1])
    assert run(tmp_path / "lib", "repair", "--model", "other").exit_code == 0
    assert encoded == [("other", "tune 1.wav")]
    assert run(tmp_path / "lib", "verify").exit_code == 0
    for verb in (["add", tmp_path / "music"], ["rebuild"], ["repair"]):
        assert run(tmp_path / "lib", *verb, "--model", "other", "--jobs", "3").exit_code == 0
        assert made[-1] == 3
    assert run(tmp_path / "lib", "rebuild", "--jobs", "-1").exit_code == 2


def test_verify_and_repair(folder, tmp_path):
    result = run(folder, "verify")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "3 recordings in 3 segments (3.8 kB): nothing is damaged\n"
    segment = folder / "segments" / "000002.f16"
    segment.with_name("000009.f16").write_bytes(b"x")
    result = run(folder, "verify")
    assert result.exit_code == 0
    note = f"note: {segment.with_name('000009.f16')}: belongs to no recording; the next change of the "
    assert result.stderr == f"{note}library deletes it\n"
    segment.write_bytes(b"x" + segment.read_bytes()[1:])
    result = run(folder, "verify")
    assert result.exit_code == 2
    problem, damaged = result.stderr.splitlines()
    assert problem.startswith(f"earprint: error: {segment}: is damaged")
    assert damaged == "damaged: 2: tune 1"
    assert result.stdout.endswith("1 problem, 1 damaged recording; run `earprint repair`\n")
    document = json.loads(run(folder, "verify", "--json").stdout)
    assert document["damaged"][0]["track"]["title"] == "tune 1"

    assert run(folder, "compact").exit_code == 2
    (tmp_path / "music" / "tune 1.wav").rename(tmp_path / "away.wav")
    result = run(folder, "repair")
    assert (result.exit_code, result.stdout) == (2, "0 recordings repaired, 1 still damaged\n")
    path = tmp_path / "music" / "tune 1.wav"
    assert result.stderr == f"failed: 2: tune 1: {path}: no such file or folder; check the path\n"
    (tmp_path / "away.wav").rename(path)
    result = run(folder, "repair")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "1 recording repaired\n", "")
    assert run(folder, "repair").stdout == "nothing is damaged\n"


def test_what_cannot_be_repaired_can_be_dropped(folder, tmp_path):
    (folder / "segments" / "000002.f16").unlink()
    (tmp_path / "music" / "tune 1.wav").unlink()
    result = run(folder, "repair", "--drop-lost")
    assert (result.exit_code, result.stdout) == (0, "0 recordings repaired, 1 removed\n")
    assert len(run(folder, "list").stdout.splitlines()) == 2


def test_rebuild(folder, tmp_path):
    refused = run(folder, "identify", tmp_path / "music" / "tune 0.wav", "--model", "other")
    assert refused.exit_code == 2
    assert "run `earprint rebuild`" in refused.stderr
    result = run(folder, "rebuild", "--model", "other")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "3 recordings fingerprinted again by model other-0002\n"
    found = run(folder, "identify", tmp_path / "music" / "tune 0.wav", "--model", "other")
    assert found.stdout.split("\t")[1] == "tune 0"


def test_rebuild_without_a_file(folder, tmp_path):
    path = tmp_path / "music" / "tune 1.wav"
    path.unlink()
    result = run(folder, "rebuild", "--model", "other")
    assert (result.exit_code, result.stdout) == (2, "")
    missing, refusal = result.stderr.splitlines()
    assert missing == f"failed: 2: tune 1: {path}: no such file or folder; check the path"
    assert refusal.startswith(
        "earprint: error: 1 recording could not be fingerprinted again, so the library is unch"
    )
    assert "unfinished rebuild\tother-0002" in run(folder, "info").stdout
    assert run(folder, "rebuild", "--discard").stdout.startswith("the unfinished rebuild is deleted")
    assert run(folder, "rebuild", "--give-up").stdout == "there is no unfinished rebuild\n"
    result = run(folder, "rebuild", "--model", "other", "--drop-missing")
    assert (result.exit_code, result.stdout) == (
        0,
        "2 recordings fingerprinted again by model other-0002, 1 removed\n",
    )


def test_rebuild_interrupted(folder, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("earprint.library.Library.rebuild", interrupt)
    result = run(folder, "rebuild")
    assert (result.exit_code, result.stdout) == (130, "")
    assert "unchanged, run the same command again" in result.stderr


def test_export_import_and_merge(folder, tmp_path):
    file = tmp_path / "some.npz"
    result = run(folder, "export", file)
    assert result.exit_code == 0
    assert result.stdout.startswith("wrote 3 recordings (60 fingerprints, ")
    assert "exists already" in run(folder, "export", file).stderr
    assert run(tmp_path / "two", "import", file).stdout == "added 3 recordings\n"
    assert run(tmp_path / "two", "import", file).stdout == "added 0 recordings, 3 already there\n"
    assert run(tmp_path / "two", "remove", 1).exit_code == 0
    result = run(tmp_path / "two", "merge", folder)
    assert (result.exit_code, result.stdout) == (0, "added 1 recording, 2 already there\n")
    document = json.loads(run(tmp_path / "two", "merge", "--json", folder).stdout)
    assert document == {"added": [], "skipped": 3}
    with open_library(tmp_path / "two") as opened:
        assert all(finds(opened, i) for i in range(3))


def test_import_of_something_else_makes_no_library(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.zeros(3))
    for name in ("x.npz", "gone.npz"):
        result = run(tmp_path / "new", "import", tmp_path / name)
        assert result.exit_code == 2
        assert result.stderr.startswith(f"earprint: error: {tmp_path / name}: ")
        assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("verb", ["compact", "verify", "repair", "rebuild", "export", "import", "merge"])
def test_every_help_shows_an_example(tmp_path, verb):
    result = run(tmp_path / "none", verb, "--help")
    assert result.exit_code == 0
    assert f"earprint {verb}" in result.stdout.split("Options:")[0].split("\n\n", 2)[2]


@pytest.mark.parametrize("verb", ["compact", "verify", "repair", "rebuild"])
def test_without_a_library(tmp_path, verb):
    result = run(tmp_path / "none", verb)
    assert result.exit_code == 2
    assert "is no earprint library" in result.stderr
    assert not (tmp_path / "none").exists()
