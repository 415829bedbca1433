"""What a library does when its folder, its encoder or its index is not what it should be."""

import json
import shutil

import numpy as np
import pytest

import earprint
from earprint.errors import LibraryError, ModelError
from helpers.fake_encoder import RATE, FakeEncoder, tune, write_wav
from helpers.libraries import open_library


def add(library, seed):
    return library.add_audio(tune(seed), RATE, title=f"tune {seed}")


def found(library, seed):
    match = library.identify(tune(seed)[RATE : 3 * RATE], sample_rate=RATE).match
    return None if match is None else match.track.title


def test_a_relative_path_survives_a_change_of_the_working_folder(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with open_library("lib") as library:
        add(library, 1)
        monkeypatch.chdir(tmp_path / "elsewhere")
        add(library, 2)
        assert (found(library, 1), found(library, 2)) == ("tune 1", "tune 2")
        assert library.verify().sound
        assert library.info().path == str(tmp_path / "lib")
    assert not list((tmp_path / "elsewhere").iterdir())
    monkeypatch.chdir(tmp_path)
    with open_library("lib") as library:
        assert (found(library, 1), found(library, 2)) == ("tune 1", "tune 2")


@pytest.mark.parametrize("replaced", [False, True])
def test_a_library_that_was_deleted_while_open_is_not_changed(tmp_path, replaced):
    with open_library(tmp_path / "lib") as library:
        add(library, 1)
        shutil.rmtree(tmp_path / "lib")
        if replaced:
            open_library(tmp_path / "lib").close()
        with pytest.raises(LibraryError, match="was deleted or replaced while open"):
            add(library, 2)
        with pytest.raises(LibraryError, match="was deleted or replaced while open"):
            library.remove(1)
    assert (tmp_path / "lib").exists() == replaced


def test_a_library_that_is_deleted_during_add_reports_no_success(tmp_path):
    class Deletes(FakeEncoder):
        def encode(self, blocks, *, query=False):
            shutil.rmtree(tmp_path / "lib")
            return super().encode(blocks, query=query)

    with open_library(tmp_path / "lib", Deletes()) as library:
        with pytest.raises(LibraryError, match="was deleted or replaced while open"):
            add(library, 1)
