import os
import shutil
import sqlite3

import pytest

from earprint.errors import LibraryError, LibraryLockedError, ModelError
from earprint.library import Library
from helpers.fake_encoder import RATE, FakeEncoder, tune, write_wav
from helpers.libraries import (
    COMMIT_EACH,
    SECONDS,
    OtherEncoder,
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
    with grown(tmp_path / "lib", tmp_path / "music", range(4)) as opened:
        opened.remove("tune 1")
        yield opened


def test_everything_but_the_vectors_stays(library, tmp_path):
    before = library.tracks()
    report = library.rebuild(encoder=OtherEncoder())
    assert (report.switched, report.rebuilt, report.resumed, report.missing) == (True, 3, 0, [])
    assert library.tracks() == before
    info = library.info()
    assert (info.model_id, info.reference_hop_s, info.unfinished_rebuild) == ("other-0002", 0.16, None)
    assert all(finds(library, i) for i in (0, 2, 3))
    assert library.verify().sound
    assert len(segment_names(tmp_path / "lib")) == info.segments
    with pytest.raises(ModelError, match=r"run `earprint rebuild`"):
        open_library(tmp_path / "lib")
    with open_library(tmp_path / "lib", OtherEncoder()) as again:
        assert all(finds(again, i) for i in (0, 2, 3))
        (new,) = again.add(write_music(tmp_path / "music", [8])[0]).added
        assert new.id > max(track.id for track in before)


def test_the_same_model_may_rebuild_too(library):
    before = content(library)
    assert library.rebuild().switched
    assert content(library) == before


def test_a_model_that_is_not_the_library_s_can_be_opened_by_name_to_rebuild(library, tmp_path, monkeypatch):
    monkeypatch.setattr("earprint.encoders.load_encoder", lambda name: OtherEncoder())
    with Library(tmp_path / "lib", model="other") as opened:
        with pytest.raises(ModelError, match="earprint rebuild"):
            opened.identify(tune(0), sample_rate=RATE)
        assert opened.rebuild().switched
        assert finds(opened, 2)


def test_a_model_on_another_grid_is_refused(library, tmp_path):
    other = FakeEncoder()
    other.reference_hop_s = 0.16
    with pytest.raises(
        ModelError, match=r"32 numbers each 0\.08 s, .* 32 each 0\.16 s; run `earprint rebuild`"
    ):
        open_library(tmp_path / "lib", other)


def test_files_gone_or_changed_are_named_and_nothing_is_lost(library, tmp_path):
    (tmp_path / "music" / "tune 0.wav").unlink()
    write_wav(tmp_path / "music" / "tune 2.wav", tune(50, SECONDS))
    library.add_audio(tune(9, SECONDS), sample_rate=RATE, title="tune 9")
    before = content(library)
    report = library.rebuild(encoder=OtherEncoder())
    assert not report.switched
    causes = {problem.track.title: problem.cause for problem in report.missing}
    assert causes.keys() == {"tune 0", "tune 2", "tune 9"}
    assert causes["tune 0"].startswith("no such file")
    assert causes["tune 2"] == "has other content than when it was added"
    assert "from memory" in causes["tune 9"]
    assert content(library) == before
    assert library.info().unfinished_rebuild == "other-0002"
    assert all(finds(library, i) for i in (0, 2, 3, 9))
    assert library.verify().strays == []

    report = library.rebuild(encoder=OtherEncoder(), drop_missing=True)
    assert (report.switched, report.rebuilt, report.resumed) == (True, 1, 1)
    assert [track.title for track in library.tracks()] == ["tune 3"]
    assert finds(library, 3)
    assert library.verify().sound


def test_nothing_is_dropped_when_no_file_is_there(library, tmp_path):
    shutil.rmtree(tmp_path / "music")
    with pytest.raises(LibraryError, match="none of its files could be read"):
        library.rebuild(encoder=OtherEncoder(), drop_missing=True)
    assert len(library.tracks()) == 3
    assert finds(library, 0)


def test_an_unfinished_rebuild_can_be_discarded_or_replaced(library, tmp_path):
    (tmp_path / "music" / "tune 0.wav").unlink()
    library.rebuild(encoder=OtherEncoder())
    assert len(segment_names(tmp_path / "lib")) == 5
    write_wav(tmp_path / "music" / "tune 0.wav", tune(0, SECONDS))
    report = library.rebuild(encoder=OtherEncoder("third-0003"))
    assert (report.switched, report.resumed, report.model_id) == (True, 0, "third-0003")
    (tmp_path / "music" / "tune 0.wav").unlink()
    library.rebuild(encoder=OtherEncoder())
    assert library.discard_rebuild()
    assert not library.discard_rebuild()
    assert library.info().unfinished_rebuild is None
    assert library.info().model_id == "third-0003"
    assert finds(library, 0)


def test_a_killed_rebuild_goes_on_and_sees_what_happened_since(library, tmp_path):
    script = """
        from helpers.libraries import *
        from earprint.store import rebuild_tables
        keep, calls = rebuild_tables.keep, []
        def killing(*arguments):
            keep(*arguments)
            calls.append(1)
            if len(calls) == 2:
                os.kill(os.getpid(), signal.SIGKILL)
        rebuild_tables.keep = killing
        with open_library(sys.argv[1], settings=COMMIT_EACH) as library:
            library.rebuild(encoder=OtherEncoder())
    """
    if os.name == "nt":
        pytest.skip("needs SIGKILL")
    assert run_script(script, tmp_path / "lib").returncode == -9
    with open_library(tmp_path / "lib") as opened:
        assert all(finds(opened, i) for i in (0, 2, 3))
        opened.add(write_music(tmp_path / "music", [7])[0])
        opened.remove("tune 0")
        opened.compact()
        report = opened.rebuild(encoder=OtherEncoder())
        assert (report.switched, report.rebuilt, report.resumed) == (True, 3, 1)
        assert [track.title for track in opened.tracks()] == ["tune 2", "tune 3", "tune 7"]
        assert all(finds(opened, i) for i in (2, 3, 7))
        assert not finds(opened, 0)
        assert opened.verify().sound


def test_what_an_earlier_run_left_is_checked_before_it_is_used(library, tmp_path):
    (tmp_path / "music" / "tune 0.wav").unlink()
    library.rebuild(encoder=OtherEncoder())
    newest = tmp_path / "lib" / "segments" / segment_names(tmp_path / "lib")[-1]
    newest.write_bytes(b"x" + newest.read_bytes()[1:])
    write_wav(tmp_path / "music" / "tune 0.wav", tune(0, SECONDS))
    report = library.rebuild(encoder=OtherEncoder())
    assert (report.switched, report.resumed, report.rebuilt) == (True, 0, 3)
    assert all(finds(library, i) for i in (0, 2, 3))
    assert library.verify().sound


def test_a_reader_with_the_old_model_is_refused_after_the_switch(library, tmp_path):
    with open_library(tmp_path / "lib") as reader:
        assert finds(reader, 0)
        library.rebuild(encoder=OtherEncoder())
        with pytest.raises(ModelError, match="made by model other-0002"):
            reader.identify(tune(0), sample_rate=RATE)
        assert len(reader.tracks()) == 3


def test_a_switch_while_a_query_is_encoded_does_not_mix_models(library, tmp_path):
    class Switching(FakeEncoder):
        def encode(self, blocks, *, query=False):
            made = super().encode(blocks, query=query)
            library.rebuild(encoder=OtherEncoder())
            return made

    with (
        open_library(tmp_path / "lib", Switching()) as reader,
        pytest.raises(ModelError, match="made by model other-0002"),
    ):
        reader.identify(tune(0), sample_rate=RATE)


def test_only_one_writer_at_a_time(library, tmp_path):
    refused = []

    def meanwhile(event):
        if event.kind == "done" and not refused:
            with open_library(tmp_path / "lib") as other:
                assert finds(other, 0)  # reading goes on, with the old model
                for attempt in (other.rebuild, other.compact, lambda: other.remove("tune 0")):
                    with pytest.raises(LibraryLockedError):
                        attempt()
                    refused.append(attempt)

    library.rebuild(encoder=OtherEncoder(), on_event=meanwhile)
    assert len(refused) == 3


def test_a_switch_that_fails_changes_nothing(library, monkeypatch):
    before = content(library)

    def full(*_):
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("earprint.store.rebuild_tables.remember_last_segment", full)
        with pytest.raises(LibraryError, match="disk is full; check that"):
            library.rebuild(encoder=OtherEncoder())
    assert content(library) == before
    assert library.verify().sound
    report = library.rebuild(encoder=OtherEncoder())
    assert (report.switched, report.resumed) == (True, 3)


def test_batches_of_a_rebuild_are_kept_as_they_come(library, tmp_path):
    library.close()
    with open_library(tmp_path / "lib", settings=COMMIT_EACH) as opened:
        assert opened.rebuild(encoder=OtherEncoder()).switched
        assert opened.info().segments == 3
        assert opened.compact().segments_after == 1
        assert all(finds(opened, i) for i in (0, 2, 3))


@pytest.mark.skipif(os.name == "nt", reason="other names there")
def test_files_whose_names_are_not_unicode_are_found_again(tmp_path):
    file = os.fsdecode(os.fsencode(tmp_path) + b"/tune \xe9.wav")
    try:
        write_wav(tmp_path / "x.wav", tune(1, SECONDS)).rename(file)
    except OSError:
        pytest.skip("this file system takes only Unicode")
    with open_library(tmp_path / "lib") as opened:
        opened.add(file)
        assert opened.rebuild(encoder=OtherEncoder()).switched
