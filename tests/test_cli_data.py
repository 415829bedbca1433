"""`earprint data` as a user types it."""

import hashlib
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from earprint.cli.main import app
from earprint.datasets.sets import RECIPES
from helpers import tinysets

runner = CliRunner()


def data(*words):
    return runner.invoke(app, ["data", *[str(word) for word in words]])


@pytest.fixture
def tiny_recipes(monkeypatch):
    for name in list(RECIPES):
        monkeypatch.setitem(RECIPES, name, tinysets.tiny_recipe(name))


def test_list_and_description():
    listed = data("list")
    assert listed.exit_code == 0
    for name, recipe in RECIPES.items():
        assert name in listed.stdout
        assert recipe.licence in listed.stdout
        described = data(name)
        assert described.exit_code == 0
        assert recipe.source in described.stdout
        assert all(archive.digest in described.stdout for archive in recipe.archives)


@pytest.mark.parametrize("words", [["nonsense"], ["fma", "--check"], ["fma", "--out", "x"]])
def test_misuse_is_an_error(words):
    result = data(*words)
    assert result.exit_code == 2
    assert "Traceback" not in result.output


@pytest.mark.usefixtures("tiny_recipes")
def test_a_whole_set_is_checked_split_and_resumed(tmp_path):
    tinysets.make("fma", tmp_path / "fma")
    result = data("fma", tmp_path / "fma", "--check", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "fma_large: 8 of 8 present, 0 missing, 0 corrupt, 0 unexpected\n" in result.stdout
    assert "\ncomplete\n" in result.stdout
    assert f"{tmp_path / 'out/music/references'}: 3 files\n" in result.stdout
    assert data("fma", tmp_path / "fma", "--check", "--out", tmp_path / "out").stdout == result.stdout


@pytest.mark.usefixtures("tiny_recipes")
def test_faults_give_a_line_each_and_exit_code_1(tmp_path):
    files = tinysets.make("fma", tmp_path / "fma")
    (tmp_path / "fma" / files[0]).unlink()
    (tmp_path / "fma" / files[1]).write_bytes(b"")
    result = data("fma", tmp_path / "fma")
    assert result.exit_code == 1
    assert f"missing: {files[0]}\n" in result.stdout
    assert f"corrupt: {files[1]}: empty" in result.stdout
    assert "fma_large: 6 of 8 present, 1 missing, 1 corrupt, 0 unexpected\n" in result.stdout
    assert result.stdout.endswith("not complete\n")


@pytest.mark.usefixtures("tiny_recipes")
def test_a_wrong_folder_is_exit_code_2(tmp_path):
    result = data("openslr28", tmp_path)
    assert result.exit_code == 2
    assert "holds nothing of OpenSLR 28" in result.output
    assert data("openslr28", tmp_path / "nowhere").exit_code == 2


def test_an_archive_is_compared_with_its_sum(tmp_path, monkeypatch):
    tinysets.make("openslr28", tmp_path / "set")
    recipe = tinysets.tiny_recipe("openslr28")
    (tmp_path / "rirs_noises.zip").write_bytes(b"archive")
    monkeypatch.setitem(RECIPES, "openslr28", recipe)
    result = data("openslr28", tmp_path / "set", "--archives", tmp_path)
    assert result.exit_code == 1
    assert "corrupt: rirs_noises.zip: its MD5 checksum is wrong; download it again\n" in result.stdout
    right = replace(recipe.archives[0], digest=hashlib.md5(b"archive").hexdigest())
    monkeypatch.setitem(RECIPES, "openslr28", replace(recipe, archives=(right,)))
    assert data("openslr28", tmp_path / "set", "--archives", tmp_path).exit_code == 0


@pytest.mark.usefixtures("tiny_recipes")
def test_several_sets_share_an_output_that_training_packs(tmp_path):
    out = tmp_path / "corpus"
    for name in ("openslr28", "air", "musan"):
        tinysets.make(name, tmp_path / name)
        assert data(name, tmp_path / name, "--out", out).exit_code == 0
    result = runner.invoke(
        app,
        ["train", "pack", str(tmp_path / "store"), "--music", str(out / "music/train"), "--noise",
         str(out / "noise/train"), "--rooms", str(out / "rir/train"), "--simulate", "0"],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "music: 3 items" in result.stdout
    assert "rooms: 2 items" in result.stdout
    assert "left out" not in result.output
