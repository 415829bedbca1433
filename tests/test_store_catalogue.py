import os
import sqlite3
from pathlib import Path

import pytest

from earprint.errors import LibraryError
from earprint.store.catalogue import Catalogue, NewTrack
from earprint.store.paths import path_text, stored_path
from earprint.store.segments import Segment


def new(name, digest, n_rows=10):
    return NewTrack(f"/music/{name}.mp3", name, None, None, 12.5, digest, n_rows)


@pytest.fixture
def catalogue(tmp_path):
    opened = Catalogue(tmp_path, create=True)
    yield opened
    opened.close()


def segment(number):
    return Segment(number, f"{number:06d}.f16", 20, 8, "00")


def test_tracks_come_back_with_their_places(catalogue):
    added, replaced = catalogue.enter(segment(1), [new("a", "1"), new("b", "2")], "m")
    assert replaced == []
    snapshot = catalogue.snapshot()
    live, segments = snapshot.tracks, snapshot.segments
    assert [s.track for s in live] == added
    assert [(s.segment_id, s.first_row, s.n_rows) for s in live] == [(1, 0, 10), (1, 10, 10)]
    assert segments == {1: segment(1)}
    assert added[0].added_at.endswith("+00:00")
    assert catalogue.next_segment_id() == 2
    assert catalogue.find("title", "b") == [added[1]]


def test_removed_tracks_keep_a_row_and_numbers_are_not_reused(catalogue):
    (track,), _ = catalogue.enter(segment(1), [new("a", "1")], "m")
    catalogue.remove([track])
    assert catalogue.snapshot().tracks == []
    assert catalogue.live_hashes() == set()
    assert not catalogue.holds("1")
    assert catalogue.removed_count() == 1
    (again,), _ = catalogue.enter(segment(2), [new("a", "1")], "m")
    assert again.id > track.id


def test_equal_live_content_is_refused_whole(catalogue):
    catalogue.enter(segment(1), [new("a", "1")], "m")
    with pytest.raises(LibraryError):
        catalogue.enter(segment(2), [new("b", "2"), new("c", "1")], "m")
    assert catalogue.live_hashes() == {"1"}
    assert catalogue.holds("1")
    assert not catalogue.holds("2")
    assert catalogue.segment_files() == {"000001.f16"}


def test_new_content_under_an_old_path_replaces_it(catalogue):
    (old,), _ = catalogue.enter(segment(1), [new("a", "1")], "m")
    added, replaced = catalogue.enter(segment(2), [new("a", "2")], "m")
    assert replaced == [old]
    assert [s.track for s in catalogue.snapshot().tracks] == added


def test_other_connections_see_commits_and_know_it(catalogue, tmp_path):
    reader = Catalogue(tmp_path, create=False)
    before = reader.data_version()
    assert reader.data_version() == before
    catalogue.enter(segment(1), [new("a", "1")], "m")
    assert reader.data_version() != before
    own = catalogue.data_version()
    catalogue.remove(catalogue.find("id", 1))
    assert catalogue.data_version() != own  # its own commits count too
    catalogue.enter(segment(2), [new("a", "1")], "m")
    assert len(reader.snapshot().tracks) == 1
    reader.close()


def test_foreign_keys_hold(catalogue):
    with pytest.raises(sqlite3.IntegrityError):
        catalogue._connection.execute(
            "INSERT INTO tracks (title, duration_s, content_hash, added_at, model_id, segment_id,"
            " first_row, n_rows) VALUES ('x', 1, 'x', 'x', 'x', 99, 0, 1)"
        )


def test_newer_formats_garbage_and_nothing_are_refused(tmp_path):
    with pytest.raises(LibraryError, match="no earprint library"):
        Catalogue(tmp_path, create=False)
    file = tmp_path / "catalogue.sqlite"
    file.write_bytes(b"")
    with pytest.raises(LibraryError, match="is empty"):
        Catalogue(tmp_path, create=False)
    file.write_bytes(b"not a database" * 500)
    for create in (False, True):
        with pytest.raises(LibraryError, match=r"catalogue\.sqlite: is no catalogue"):
            Catalogue(tmp_path, create=create)
    file.unlink()
    Catalogue(tmp_path, create=True).close()
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(LibraryError, match="newer earprint"):
        Catalogue(tmp_path, create=True)


def test_a_closed_catalogue_says_so(tmp_path):
    opened = Catalogue(tmp_path, create=True)
    opened.close()
    with pytest.raises(LibraryError, match="is closed"):
        opened.snapshot()


@pytest.mark.skipif(os.name == "nt", reason="names there are always Unicode")
def test_paths_of_any_bytes_become_text():
    assert path_text("/ä/日本.mp3") == "/ä/日本.mp3"
    assert path_text(os.fsdecode(b"/caf\xe9.mp3")) == "/caf\\udce9.mp3"
    for name in (b"/caf\xe9.mp3", "/ä/日本.mp3".encode(), b"/plain"):
        assert stored_path(path_text(os.fsdecode(name))) == Path(os.fsdecode(name))
    assert path_text("x.mp3") == f"{os.getcwd()}/x.mp3"  # noqa: PTH109
