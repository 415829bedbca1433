"""Indexes of one's own: a callable, or the entry point of another package."""

import numpy as np
import pytest

import earprint
from earprint.errors import LibraryError
from earprint.index import BaseIndex, ExactIndex, Index, Rows, index_names, make_index
from earprint.quantization.storage import HalfStorage
from helpers.codebooks import unit_rows
from helpers.libraries import finds, open_library, write_music
from helpers.plugins import install

ROWS = Rows([unit_rows(np.random.default_rng(0), 30).astype(np.float16)], HalfStorage(16))


def made(choice):
    return make_index(choice, ROWS, [], {}, {})


class Recording(BaseIndex):
    """Exact search that counts its searches."""

    searches = 0

    def search(self, queries, k):
        type(self).searches += 1
        return ExactIndex(self._rows).search(queries, k)


def test_a_callable_makes_the_index():
    index = made(Recording)
    assert isinstance(index, Recording)
    assert isinstance(index, Index)
    assert len(index) == 30
    np.testing.assert_array_equal(index.vectors(2, 5), ROWS.vectors(2, 5))
    np.testing.assert_array_equal(index.take(np.array([7, 1])), ROWS.take(np.array([7, 1])))


def test_a_library_searches_with_it(tmp_path):
    music = write_music(tmp_path / "music", range(3))
    before = Recording.searches
    with open_library(tmp_path / "library", index=Recording) as library:
        library.add(*music)
        assert finds(library, 1)
    assert Recording.searches > before


def test_indexes_of_other_packages(tmp_path, monkeypatch):
    code = """
        def broken(rows): raise RuntimeError("no memory")
        def nothing(rows): return rows
    """
    points = {
        "counting": "test_index_factory:Recording",
        "broken": "more_indexes:broken",
        "nothing": "more_indexes:nothing",
        "missing": "more_indexes:missing",
    }
    install(tmp_path, monkeypatch, "more_indexes", code, {"earprint.indexes": points})
    assert {"auto", "exact", "inverted", "lsh", *points} <= set(index_names())
    assert earprint.index_names() == sorted(index_names())
    assert type(made("counting")).__name__ == "Recording"
    assert type(made("auto")).__name__ == "ExactIndex"
    for name, cause in [
        ("broken", "no memory"),
        ("nothing", "it gives a Rows, not an Index"),
        ("missing", "has no attribute"),
    ]:
        with pytest.raises(LibraryError) as caught:
            made(name)
        message = str(caught.value)
        assert message.startswith(f"{name}: entry point more_indexes:{name} of more_indexes failed (")
        assert cause in message
        assert message.endswith("; reinstall or remove more_indexes")


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(LibraryError, match="nearest: no index of this name is installed; use one of auto, "):
        made("nearest")
