"""Libraries whose fingerprints are stored compactly, as codes of the model's codebook."""

import json
import sqlite3
from dataclasses import replace

import numpy as np
import pytest

from earprint.audio import load_audio
from earprint.errors import LibraryError, ModelError
from earprint.library import Library
from earprint.quantization.storage import CompactStorage
from helpers.codebooks import random_codebook
from helpers.fake_encoder import DIM, RATE, FakeEncoder
from helpers.libraries import (
    ONE_COMMIT,
    CompactEncoder,
    content,
    excerpt,
    finds,
    open_library,
    segment_names,
    write_music,
)

SEEDS = range(4)

INVERTED = replace(ONE_COMMIT, exact_rows=10)
"""With these settings "auto" is the inverted index."""


@pytest.fixture
def compact(tmp_path, request):
    """A compact library of a few tunes, each in a segment of its own. A test may choose its settings."""
    settings = getattr(request, "param", ONE_COMMIT)
    with open_library(tmp_path / "lib", CompactEncoder(), settings=settings) as library:
        for file in write_music(tmp_path / "music", SEEDS):
            library.add(file)
        yield library


def lists_of(library):
    """Inverted lists of a library's segments, by number."""
    return {number: segment.lists for number, segment in library._views.current()._segments.items()}


def half(tmp_path, name="half"):
    library = open_library(tmp_path / name, CompactEncoder(), storage="half")
    library.add(*write_music(tmp_path / "music", SEEDS))
    return library


def test_a_model_with_a_codebook_makes_compact_libraries(compact, tmp_path):
    info = compact.info()
    assert (info.storage, info.format_version) == ("compact", 2)
    assert segment_names(tmp_path / "lib") == [f"{n:06d}.u8" for n in range(1, 5)]
    assert (tmp_path / "lib" / "segments" / "000001.u8").stat().st_size == 20 * (DIM + 2)
    assert all(finds(compact, seed) for seed in SEEDS)
    assert not finds(compact, 9)
    assert compact.verify().sound


def test_what_is_stored_is_what_the_codebook_makes(compact, tmp_path):
    encoder = CompactEncoder()
    view = compact._views.current()
    for entry, track in enumerate(view.tracks):
        expected = encoder.codebook.encode(encoder.encode([load_audio(track.path)]).vectors)
        assert np.array_equal(view.stored_rows(entry), expected)
    assert view.meta["storage"] == CompactStorage(encoder.codebook).key


def test_half_precision_can_be_chosen_and_stays_format_1(tmp_path):
    with half(tmp_path) as library:
        assert (library.info().storage, library.info().format_version) == ("half", 1)
        assert finds(library, 2)
    with open_library(tmp_path / "half", CompactEncoder()) as again:  # what it is, whatever the default
        again.add(*write_music(tmp_path / "music", [7]))
        assert again.info().storage == "half"
        assert {name[-4:] for name in segment_names(tmp_path / "half")} == {".f16"}
    with pytest.raises(LibraryError, match="stores its fingerprints as 'half', not 'compact'"):
        open_library(tmp_path / "half", CompactEncoder(), storage="compact")


def test_compact_without_a_codebook_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ModelError, match="has no codebook"):
        open_library(tmp_path / "lib", storage="compact")
    with open_library(tmp_path / "lib", CompactEncoder()) as library:
        assert library.info().model_id is None


def test_another_codebook_is_refused(compact, tmp_path):
    for encoder in (CompactEncoder(seed=1), FakeEncoder()):
        with pytest.raises(ModelError, match="another codebook"):
            open_library(tmp_path / "lib", encoder)
    with open_library(tmp_path / "lib", CompactEncoder(thresholds={1.0: 0.2})) as library:
        assert finds(library, 1)  # thresholds may change


@pytest.mark.parametrize("compact", [INVERTED], indirect=True)
@pytest.mark.parametrize("index", ["auto", "exact", "inverted", "lsh"])
def test_every_index_gives_the_same_answer(compact, tmp_path, index):
    expected = compact.identify(excerpt(3), sample_rate=RATE)
    with open_library(tmp_path / "lib", CompactEncoder(), INVERTED, index=index) as library:
        found = library.identify(excerpt(3), sample_rate=RATE)
        assert found.match.track.title == "tune 3"
        assert found.match.score == pytest.approx(expected.match.score, abs=1e-5)
        library.remove("tune 3")
        library.add(*write_music(tmp_path / "music", [8]))
        assert finds(library, 8)
        assert not finds(library, 3)


@pytest.mark.parametrize("compact", [INVERTED], indirect=True)
def test_lists_of_segments_that_stay_are_kept(compact, tmp_path):
    assert finds(compact, 0)
    kept = lists_of(compact)
    assert sorted(kept) == [1, 2, 3, 4]
    with open_library(tmp_path / "lib", CompactEncoder()) as other:
        other.add(*write_music(tmp_path / "music", [8]))
    assert finds(compact, 8)
    assert sorted(lists_of(compact)) == [1, 2, 3, 4, 5]
    assert all(lists_of(compact)[number] is lists for number, lists in kept.items())
    compact.add(*write_music(tmp_path / "music", [9]))  # a change of its own keeps them too
    assert finds(compact, 9)
    assert sorted(lists_of(compact)) == [1, 2, 3, 4, 5, 6]
    assert all(lists_of(compact)[number] is lists for number, lists in kept.items())
    compact.compact()
    assert finds(compact, 8)
    assert sorted(lists_of(compact)) == [7]


def test_the_inverted_index_needs_compact_rows(tmp_path):
    half(tmp_path).close()
    with (
        Library(tmp_path / "half", encoder=CompactEncoder(), index="inverted") as library,
        pytest.raises(LibraryError, match="needs a compact library"),
    ):
        library.identify(excerpt(0), sample_rate=RATE)


def test_thresholds_are_the_codebooks(compact, tmp_path):
    assert compact.identify(excerpt(0), sample_rate=RATE).threshold == FakeEncoder().threshold(1.8)
    with open_library(tmp_path / "lib", CompactEncoder(thresholds={1.0: 0.31, 4.0: 0.31})) as library:
        assert library.identify(excerpt(0), sample_rate=RATE).threshold == pytest.approx(0.31)
    half(tmp_path).close()
    with open_library(tmp_path / "half", CompactEncoder(thresholds={1.0: 0.31})) as library:
        assert library.identify(excerpt(0), sample_rate=RATE).threshold == FakeEncoder().threshold(1.8)


def test_rebuild_changes_the_storage_either_way(tmp_path):
    half(tmp_path).close()
    with open_library(tmp_path / "half") as old:  # the same model, before it had a codebook
        ids = {track.title: track.id for track in old.tracks()}
        report = old.rebuild(encoder=CompactEncoder())
        assert report.switched
        assert old.info().storage == "compact"
        assert finds(old, 3)
    assert sqlite3.connect(tmp_path / "half" / "catalogue.sqlite").execute(
        "PRAGMA user_version"
    ).fetchone() == (2,)
    with Library(tmp_path / "half", storage="half") as library:
        assert library.rebuild(encoder=CompactEncoder()).switched
        assert (library.info().storage, library.info().format_version) == ("half", 1)
        assert {track.title: track.id for track in library.tracks()} == ids
        assert {name[-4:] for name in segment_names(tmp_path / "half")} == {".f16"}


def test_a_compact_library_goes_out_and_comes_back(compact, tmp_path):
    compact.export(tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz") as arrays:
        header = json.loads(arrays["header"].tobytes())
        assert header["version"] == 2
        assert header["storage"] == CompactStorage(CompactEncoder().codebook).key
        assert arrays["vectors"].shape == (80, DIM + 2)
        assert arrays["vectors"].dtype == np.uint8
    with open_library(tmp_path / "back", CompactEncoder()) as back:
        assert len(back.import_file(tmp_path / "out.npz").added) == 4
        assert [check for _, check in content(back).values()] == [c for _, c in content(compact).values()]
        assert finds(back, 1)
        assert back.info().storage == "compact"


def test_half_precision_becomes_compact_on_the_way_in(compact, tmp_path):
    with half(tmp_path) as source:
        source.export(tmp_path / "half.npz")
    with open_library(tmp_path / "new", CompactEncoder(), storage="compact") as new:
        assert len(new.merge(tmp_path / "half").added) == 4
        assert new.info().storage == "compact"
        assert new.verify().sound
        assert finds(new, 0)
        # But for rounding, it is what adding the files would have stored.
        pairs = zip(content(new).values(), content(compact).values(), strict=True)
        assert [(a.title, a.content_hash) for (a, _), _ in pairs] == [
            (b.title, b.content_hash) for b, _ in content(compact).values()
        ]
    compact.remove("tune 1")
    assert [track.title for track in compact.import_file(tmp_path / "half.npz").added] == ["tune 1"]
    assert finds(compact, 1)
    with open_library(tmp_path / "plain", CompactEncoder()) as plain:  # as it comes, by default
        plain.merge(tmp_path / "half")
        assert plain.info().storage == "half"


def test_compact_rows_do_not_become_half_precision(compact, tmp_path):
    compact.export(tmp_path / "out.npz")
    with half(tmp_path) as library:
        library.remove("tune 0")
        before = content(library)
        for come_in, source in ((library.import_file, "out.npz"), (library.merge, "lib")):
            with pytest.raises(ModelError, match="cannot become"):
                come_in(tmp_path / source)
        assert content(library) == before
    other = CompactEncoder(seed=1)
    with open_library(tmp_path / "other", other) as library:
        library.add(*write_music(tmp_path / "music", [0]))
        with pytest.raises(ModelError, match="cannot become"):
            library.merge(tmp_path / "lib")


def test_half_precision_without_the_codebook_cannot_become_compact(compact, tmp_path):
    half(tmp_path).close()
    with Library(tmp_path / "lib") as library:  # by another program's model
        library._model.replace(FakeEncoder())
        library.remove("tune 1")
        with pytest.raises(ModelError, match="codebook to make them compact is not at hand"):
            library.merge(tmp_path / "half")


def test_damage_is_found_and_repaired(compact, tmp_path):
    expected = content(compact)
    file = tmp_path / "lib" / "segments" / "000002.u8"
    data = bytearray(file.read_bytes())
    data[100] ^= 1
    file.write_bytes(data)
    report = compact.verify()
    assert [problem.track.title for problem in report.damaged] == ["tune 1"]
    assert not finds(compact, 1)
    assert finds(compact, 2)
    assert [track.title for track in compact.repair().recomputed] == ["tune 1"]
    assert content(compact) == expected
    assert finds(compact, 1)


def test_segments_that_do_not_fit_the_storage_are_a_contradiction(compact, tmp_path):
    with sqlite3.connect(tmp_path / "lib" / "catalogue.sqlite") as connection:
        connection.execute("UPDATE meta SET value = 'half' WHERE key = 'storage'")
    connection.close()
    with Library(tmp_path / "lib", encoder=FakeEncoder()) as library:
        assert any("does not fit its segments" in problem for problem in library.verify().problems)


def test_a_program_of_format_1_would_refuse_it(compact, tmp_path, monkeypatch):
    monkeypatch.setattr("earprint.store.database.FORMAT_VERSION", 1)
    with pytest.raises(LibraryError, match="format 2, made by a newer earprint"):
        Library(tmp_path / "lib")


def test_random_codebooks_differ():
    assert random_codebook(seed=0).digest != random_codebook(seed=1).digest
