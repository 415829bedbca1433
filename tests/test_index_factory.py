"""Indexes of one's own: a callable, or the entry point of another package."""

import numpy as np
import pytest

import earprint
from earprint.errors import LibraryError
from earprint.index import BaseIndex, ExactIndex, Index, Rows, index_names, make_index
from earprint.quantization.storage import HalfStorage
from helpers.codebooks import unit_rows
from helpers.libraries import excerpt, finds, open_library, write_music
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


def searching(change):
    """An exact index whose hits are changed."""

    def search(self, queries, k):
        return change(*ExactIndex.search(self, queries, k))

    return type("Mine", (ExactIndex,), {"search": search})


def fails(*_):
    raise KeyError("no\nneighbours")


FAULTS = [
    (lambda rows: None, "that .*lambda.* returned is a NoneType, not an Index"),
    (lambda rows: ExactIndex, "returned is the class ExactIndex, not an Index"),
    (BaseIndex, "returned is a BaseIndex, not an Index"),
    (type("Mine", (ExactIndex,), {"__len__": lambda self: 3}), "returned has 3 rows instead of"),
    (type("Mine", (ExactIndex,), {"max_query_rows": 0}), "Mine has a max_query_rows of 0"),
    (type("Mine", (ExactIndex,), {"max_query_rows": "x"}), "Mine has a max_query_rows of 'x'"),
    (type("Mine", (ExactIndex,), {"__init__": fails}), "Mine cannot be made .KeyError: 'no.nneighbours'"),
    (
        type("Mine", (ExactIndex,), {"take": lambda self, rows: None}),
        "Mine returned result of take of type None",
    ),
    (searching(fails), "Mine failed in search .KeyError: 'no.nneighbours'"),
    (searching(lambda scores, rows: None), "Mine returned a NoneType from search"),
    (searching(lambda scores, rows: (scores, rows + 10**6)), "Mine returned row 100.* rows"),
    (searching(lambda scores, rows: (scores, rows - 10**6)), "Mine returned row -99"),
    (searching(lambda scores, rows: (scores, rows.astype(float))), "rows of search of type array of float64"),
    (searching(lambda scores, rows: (rows, scores)), "rows of search of type array of float32"),
    (searching(lambda scores, rows: (scores * np.nan, rows)), "scores of search that are NaN"),
    (searching(lambda scores, rows: (scores[:1], rows[:1])), r"scores of search of shape \(1, "),
    (searching(lambda scores, rows: (scores, rows[:, :1])), "and rows of shape"),
    (searching(lambda scores, rows: (np.tile(scores, 2), np.tile(rows, 2))), "from search instead of"),
]


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stored")
    music = write_music(folder / "music", range(2))
    with open_library(folder / "library") as library:
        library.add(*music)
    return folder / "library"


@pytest.mark.parametrize(("choice", "message"), FAULTS)
def test_what_a_faulty_index_does_is_said_with_its_name(stored, choice, message):
    with open_library(stored, index=choice) as library, pytest.raises(LibraryError, match=message) as caught:
        finds(library, 1)
    assert "\n" not in str(caught.value)
    assert "; mend " in str(caught.value)
    if "cannot be made" not in message:
        with open_library(stored) as library, pytest.raises(LibraryError, match=message):
            library.identify(excerpt(1), sample_rate=16_000, wrap_index=lambda index: choice(index._rows))


def test_hits_of_other_integer_types_and_in_lists_are_accepted(stored):
    for change in (
        lambda scores, rows: (scores.tolist(), rows.tolist()),
        lambda scores, rows: [scores.astype(np.float64), rows.astype(np.int32)],
    ):
        with open_library(stored, index=searching(change)) as library:
            assert finds(library, 1)


def test_a_callable_need_not_be_hashable(stored):
    class Unhashable:
        __hash__ = None

        def __call__(self, rows):
            return ExactIndex(rows)

    with open_library(stored, index=Unhashable()) as library:
        assert finds(library, 0)
        assert finds(library, 1)
