import os
import re
import shutil
import sqlite3

import pytest

from earprint.errors import LibraryError
from earprint.library import Library, Settings
from earprint.quantization.storage import HalfStorage
from earprint.store import compaction, segments
from earprint.store.catalogue import Catalogue
from helpers.fake_encoder import DIM, RATE, tune, write_wav
from helpers.libraries import (
    ROWS,
    SECONDS,
    content,
    finds,
    grown,
    open_library,
    run_script,
    segment_names,
    write_music,
)


@pytest.fixture
def library(tmp_path):
    with grown(tmp_path / "lib", tmp_path / "music", range(6)) as opened:
        yield opened


# compact


def test_compacting_merges_and_drops_and_keeps_the_rest(library, tmp_path):
    library.remove("tune 1", "tune 4")
    before = content(library)
    report = library.compact()
    assert (report.segments_before, report.segments_after, report.rows_dropped) == (6, 1, 2 * ROWS)
    assert report.bytes_freed == 2 * ROWS * 32 * 2
    assert content(library) == before
    assert segment_names(tmp_path / "lib") == ["000007.f16"]
    assert (library.info().removed, library.info().segments) == (0, 1)
    assert library.verify().sound
    again = library.compact()
    assert (again.segments_before, again.segments_after, again.bytes_freed) == (1, 1, 0)
    assert segment_names(tmp_path / "lib") == ["000007.f16"]


def test_adding_reads_no_tracks_where_there_is_nothing_to_merge(library, tmp_path, monkeypatch):
    """Or one more recording would take the longer, the more there are."""

    def never(self):
        raise AssertionError("the whole catalogue was read")

    monkeypatch.setattr(Catalogue, "snapshot", never)
    assert library.add(*write_music(tmp_path / "music", [7, 8])).added
    monkeypatch.undo()
    assert finds(library, 8)


def test_what_is_in_use_is_what_a_snapshot_tells(library):
    library.remove("tune 2", "tune 5")
    snapshot = library._store.catalogue.snapshot()
    segments, live = library._store.catalogue.usage()
    assert segments == snapshot.segments
    expected = dict.fromkeys((track.segment_id for track in snapshot.tracks), 0)
    for track in snapshot.tracks:
        expected[track.segment_id] += track.n_rows
    assert live == expected
    assert len(live) == len(segments) - 2


def test_merged_segments_have_a_largest_size(library, tmp_path):
    with open_library(tmp_path / "lib", settings=Settings(segment_bytes=4 * ROWS * DIM * 2)) as opened:
        before = content(opened)
        assert opened.compact().segments_after == 2
        assert content(opened) == before
        opened.remove("tune 2")
        assert opened.compact().rows_dropped == ROWS
        assert opened.verify().sound


def test_numbers_of_segments_and_tracks_are_never_used_again(library, tmp_path):
    with open_library(tmp_path / "lib") as reader:
        assert finds(reader, 0)
        library.remove(*[f"tune {i}" for i in range(6)])
        assert library.compact().segments_after == 0
        assert segment_names(tmp_path / "lib") == []
        (track,) = library.add(write_music(tmp_path / "music", [8])[0]).added
        assert track.id == 7
        assert segment_names(tmp_path / "lib") == ["000007.f16"]
        assert finds(reader, 8)
        assert not finds(reader, 0)


@pytest.mark.skipif(os.name == "nt", reason="mapped files stay there until they are let go")
def test_readers_keep_what_they_have_mapped(library, tmp_path):
    with open_library(tmp_path / "lib") as reader:
        old = reader._views.current()
        index = old.index(HalfStorage(DIM))
        rows = index.vectors(0, len(index))
        library.compact()
        assert not (tmp_path / "lib" / "segments" / "000001.f16").exists()
        assert (index.vectors(0, len(index)) == rows).all()
        assert all(finds(reader, i) for i in range(6))
        assert reader._views.current()._segments.keys() == {7}  # the old files are closed


def test_a_reader_that_is_overtaken_by_compacting_looks_again(library, tmp_path, monkeypatch):
    with open_library(tmp_path / "lib") as reader:
        snapshot = reader._store.catalogue.snapshot

        def overtaken():
            found = snapshot()
            monkeypatch.undo()
            library.compact()
            return found

        reader._views.release()
        monkeypatch.setattr(reader._store.catalogue, "snapshot", overtaken)
        assert all(finds(reader, i) for i in range(6))
        assert reader._views.current().damaged == []


def test_adding_many_small_pieces_compacts_by_itself(tmp_path):
    with grown(tmp_path / "lib", tmp_path / "music", range(9), Settings(many_small=4)) as opened:
        assert opened.info().segments == 3
        assert all(finds(opened, i) for i in range(9))
        assert opened.verify().sound


def test_adding_succeeds_even_if_compacting_cannot(library, tmp_path, monkeypatch):
    library.close()
    library = open_library(tmp_path / "lib", settings=Settings(many_small=4))

    def full(*_):
        raise LibraryError("no room")

    monkeypatch.setattr(compaction, "relocate", full)
    report = library.add(*write_music(tmp_path / "music", [8]))
    assert len(report.added) == 1
    assert report.warnings == ["compacting was put off: no room"]
    assert finds(library, 8)
    library.close()


def test_compacting_does_not_whitewash_damage(library, tmp_path):
    file = tmp_path / "lib" / "segments" / "000003.f16"
    file.write_bytes(b"x" + file.read_bytes()[1:])
    report = library.compact()
    assert report.segments_after == 2
    (line,) = report.left
    assert "000003.f16: is damaged" in line
    assert [t.track.title for t in library.verify().damaged] == ["tune 2"]
    assert all(finds(library, i) for i in (0, 1, 3, 4, 5))


# verify


def test_verify_of_a_sound_library(library):
    report = library.verify()
    assert report.sound
    assert (report.tracks, report.segments, report.size_bytes) == (6, 6, 6 * ROWS * 32 * 2)
    assert report.to_dict()["sound"] is True


def test_strays_are_reported_and_deleted_by_the_next_writer(library, tmp_path):
    stray = tmp_path / "lib" / "segments" / "000099.f16.tmp"
    stray.write_bytes(b"x")
    report = library.verify()
    assert (report.sound, report.strays) == (True, [stray])
    library.remove("tune 0")
    assert not stray.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("UPDATE tracks SET first_row = first_row + 1 WHERE id = 2", "track 2 .*claims rows 1 to 21"),
        ("UPDATE tracks SET segment_id = 1 WHERE id = 2", "track 2 .*not its own"),
        ("UPDATE meta SET value = 64 WHERE key = 'dim'", "model does not fit"),
    ],
)
def test_contradictions_in_the_catalogue_are_named(tmp_path, change, message):
    grown(tmp_path / "lib", tmp_path / "music", range(2)).close()
    connection = sqlite3.connect(tmp_path / "lib" / "catalogue.sqlite")
    connection.execute(change)
    connection.commit()
    connection.close()
    with Library(tmp_path / "lib") as opened:
        (problem,) = opened.verify().problems
        assert re.search(message, problem)


def test_a_damaged_catalogue_is_an_error(library, tmp_path):
    library.close()
    file = tmp_path / "lib" / "catalogue.sqlite"
    data = bytearray(file.read_bytes())
    data[4096 * 2 : 4096 * 4] = b"\xff" * 8192
    file.write_bytes(data)
    with pytest.raises(LibraryError, match=r"catalogue\.sqlite: .*restore it from a copy"):
        open_library(tmp_path / "lib").verify()


def test_damage_that_is_gone_is_forgotten(library, tmp_path):
    file = tmp_path / "lib" / "segments" / "000003.f16"
    sound = file.read_bytes()
    file.write_bytes(b"x" + sound[1:])
    library.verify()
    assert not finds(library, 2)
    file.write_bytes(sound)
    assert library.verify().sound
    assert finds(library, 2)


# repair


@pytest.mark.parametrize("damage", ["missing", "short", "flipped"])
def test_repair_makes_again_what_the_files_allow(tmp_path, damage):
    with open_library(tmp_path / "lib") as opened:
        opened.add(*write_music(tmp_path / "music", range(5)))
        opened.add_audio(tune(9, SECONDS), sample_rate=RATE, title="tune 9")
        before = content(opened)
        file = tmp_path / "lib" / "segments" / "000001.f16"
        data = bytearray(file.read_bytes())
        file.unlink()
        if damage == "flipped":
            data[ROWS * 64 + 5] ^= 64
        if damage != "missing":
            file.write_bytes(data if damage == "flipped" else data[: ROWS * 64 * 2 + 7])
        report = opened.repair()
        lost = {"missing": range(5), "short": [2, 3, 4], "flipped": [1]}[damage]
        assert [t.title for t in report.recomputed] == [f"tune {i}" for i in lost]
        assert (report.moved, report.lost, report.problems) == (5 - len(lost), [], [])
        assert content(opened) == before
        assert opened.verify().sound
        assert not file.exists()
        assert opened.repair().recomputed == []


def test_repair_names_what_it_cannot_make_again(tmp_path):
    with open_library(tmp_path / "lib") as opened:
        opened.add(*write_music(tmp_path / "music", range(3)))
        shutil.rmtree(tmp_path / "music")
        file = tmp_path / "lib" / "segments" / "000001.f16"
        file.write_bytes(b"x" + file.read_bytes()[1:])
        report = opened.repair()
        assert [(t.track.title, t.cause.split(";")[0]) for t in report.lost] == [
            ("tune 0", "no such file or folder")
        ]
        assert (report.moved, report.dropped) == (2, False)
        assert [t.title for t in opened.tracks()] == ["tune 0", "tune 1", "tune 2"]
        assert opened.info().damaged == 1
        assert [finds(opened, i) for i in range(3)] == [False, True, True]
        write_music(tmp_path / "music", [0])
        assert [t.title for t in opened.repair().recomputed] == ["tune 0"]
        assert finds(opened, 0)


def test_what_is_lost_can_be_dropped(tmp_path):
    with open_library(tmp_path / "lib") as opened:
        opened.add(*write_music(tmp_path / "music", range(2)))
        shutil.rmtree(tmp_path / "music")
        (tmp_path / "lib" / "segments" / "000001.f16").unlink()
        report = opened.repair(drop_lost=True)
        assert (len(report.lost), report.dropped) == (2, True)
        assert opened.tracks() == []
        assert opened.verify().sound
        assert opened.info().segments == 0


def test_a_damaged_track_can_be_removed(tmp_path):
    with open_library(tmp_path / "lib") as opened:
        opened.add(*write_music(tmp_path / "music", range(2)))
        (tmp_path / "lib" / "segments" / "000001.f16").unlink()
    with open_library(tmp_path / "lib") as opened:
        opened.remove("tune 0", "tune 1")
        opened.compact()
        assert opened.verify().sound


# a full disk


@pytest.mark.parametrize("call", ["add", "compact", "rebuild", "remove"])
def test_a_full_disk_loses_nothing(library, tmp_path, monkeypatch, call):
    before = content(library)
    music = tmp_path / "music"
    write_wav(music / "more.wav", tune(30, SECONDS))

    def full(_):
        raise OSError(28, "No space left on device")

    calls = {
        "add": lambda: library.add(music),
        "compact": library.compact,
        "rebuild": library.rebuild,
        "remove": lambda: library.remove("tune 0"),
    }
    with monkeypatch.context() as patch:
        if call == "remove":
            pages = library._store.catalogue._connection.execute("PRAGMA page_count").fetchone()[0]
            library._store.catalogue._connection.execute(f"PRAGMA max_page_count = {pages}")
            with pytest.raises(LibraryError, match="full; check that the folder"):
                library._store.catalogue.set_meta({f"filler {i}": "x" * 500 for i in range(200)})
            library._store.catalogue._connection.execute("PRAGMA max_page_count = 100000")
        else:
            patch.setattr(segments.os, "fsync", full)
            with pytest.raises(LibraryError, match=r"No space left on device\); make room"):
                calls[call]()
    assert content(library) == before
    assert library.verify().sound
    calls[call]()
    assert library.verify().sound
    assert all(finds(library, i) for i in range(1, 6))


SMALL_DISK = """
    from helpers.libraries import *
    from earprint.errors import LibraryError
    library = open_library(sys.argv[1] + "/lib")
    added = 0
    try:
        for i in range(1000):
            library.add_audio(tune(i, SECONDS), sample_rate=RATE, title=f"tune {i}")
            added += 1
    except LibraryError as error:
        print(added, error)
    library.close()
    with open_library(sys.argv[1] + "/lib") as library:
        assert [t.title for t in library.tracks()] == [f"tune {i}" for i in range(added)]
        assert finds(library, 0)
"""


@pytest.mark.skipif(not shutil.which("mount") or os.name == "nt", reason="needs mount")
def test_a_disk_that_is_really_full(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = 'mount -t tmpfs -o size=400k tmpfs "$0" && exec "$@"'
    if shutil.which("unshare") is None or run_script("", prefix=("unshare", "-rm")).returncode:
        pytest.skip("needs mount namespaces")
    done = run_script(SMALL_DISK, disk, prefix=("unshare", "-rm", "sh", "-c", mount, disk))
    if "permission denied" in done.stderr:
        pytest.skip("may not mount")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) > 0
    assert len(done.stdout.splitlines()) == 1
