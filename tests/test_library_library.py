import io
import json
import os
import shutil
import sys
import threading
import time
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import numpy as np
import pytest

from earprint.errors import AudioError, LibraryError, LibraryLockedError, ModelError
from earprint.library import Library, Settings
from helpers import audiofiles
from helpers.fake_encoder import DIM, RATE, FakeEncoder, tune, write_wav
from helpers.libraries import (
    ONE_COMMIT,
    SECONDS,
    CompactEncoder,
    locked_by_another_process,
    open_library,
    run_script,
    write_music,
)


@pytest.fixture
def music(tmp_path):
    folder = tmp_path / "music"
    folder.mkdir()
    for i in range(5):
        write_wav(folder / f"tune {i}.wav", tune(i))
    return folder


@pytest.fixture
def filled(tmp_path, music):
    with open_library(tmp_path / "lib") as opened:
        opened.add(music)
        yield opened


def excerpt(seed, begin_s, seconds=2.5):
    begin = int(begin_s * RATE)
    return tune(seed)[begin : begin + int(seconds * RATE)]


def test_an_excerpt_is_identified_where_it_is(filled, tmp_path):
    # On the grid; 16-bit rounding of the stored file is all the difference.
    answer = filled.identify(excerpt(3, 2.0), sample_rate=RATE)
    assert answer.match is answer.matches[0]
    assert answer.match.track.title == "tune 3"
    assert answer.match.start_s == pytest.approx(2.0, abs=0.02)
    assert answer.match.end_s == pytest.approx(answer.match.start_s + 2.5)
    assert answer.match.score > 0.9
    assert answer.query_duration_s == pytest.approx(2.5)
    assert answer.candidates[: len(answer.matches)] == answer.matches
    assert answer.match.lead == pytest.approx(answer.match.score - answer.candidates[1].score)
    assert answer.seconds > 0

    file = write_wav(tmp_path / "clip.wav", excerpt(3, 2.0))
    for source in (file, str(file), io.BytesIO(file.read_bytes())):
        assert filled.identify(source).match.track.title == "tune 3"
    stereo = np.repeat(np.stack([excerpt(3, 2.0)] * 2, axis=1), 2, axis=0)
    assert filled.identify(stereo, sample_rate=2 * RATE).match.track.title == "tune 3"


def test_unknown_audio_is_no_match(filled):
    answer = filled.identify(tune(77), sample_rate=RATE)
    assert answer.match is None
    assert answer.matches == []
    assert answer.candidates
    assert filled.identify(tune(77), sample_rate=RATE, threshold=-1).match is not None
    assert filled.identify(excerpt(1, 1.0), sample_rate=RATE, threshold=1.1).matches == []


def test_damage_of_a_query_is_a_warning(filled, tmp_path):
    file = audiofiles.encode(tmp_path / "cut.flac", excerpt(3, 1.0, 5.0), RATE)
    assert filled.identify(file).warnings == []
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    answer = filled.identify(file)
    assert answer.match.track.title == "tune 3"
    assert f"{file}: gave 2." in answer.warnings[-1]


def test_paper_method(filled):
    answer = filled.identify(excerpt(3, 1.6), sample_rate=RATE, method="paper")
    assert answer.match.track.title == "tune 3"
    assert answer.match.start_s == pytest.approx(1.6, abs=0.001)
    assert filled.identify(tune(77), sample_rate=RATE, method="paper").match is None


def test_an_array_needs_its_sample_rate(filled):
    with pytest.raises(ValueError, match="its sample rate is unknown; pass sample_rate"):
        filled.identify(excerpt(3, 2.0))
    with pytest.raises(ValueError, match="its sample rate is unknown; pass sample_rate"):
        filled.add_audio(tune(20), title="x")
    assert len(filled.tracks()) == 5


def test_an_embedded_query_is_not_encoded_again(filled, monkeypatch):
    query = FakeEncoder().encode([excerpt(3, 2.0)], query=True)
    expected = filled.identify(excerpt(3, 2.0), sample_rate=RATE)

    def never(*_, **__):
        raise AssertionError("encoded again")

    monkeypatch.setattr(FakeEncoder, "encode", never)
    answer = filled.identify(query)
    assert answer.candidates == expected.candidates
    assert answer.query_duration_s == expected.query_duration_s


def test_fingerprints_of_another_kind_are_refused(filled):
    query = FakeEncoder().encode([excerpt(3, 2.0)], query=True)
    with pytest.raises(ValueError, match=rf"those of fake-0001 have shape \(n, {DIM}\)"):
        filled.identify(replace(query, vectors=query.vectors[:, :-1]))
    with pytest.raises(ValueError, match="embed the audio as a query"):
        filled.identify(FakeEncoder().encode([excerpt(3, 2.0)]))


def test_results_are_frozen_and_become_dictionaries(filled, music):
    events = []
    report = filled.add(music, "gone.wav", on_event=events.append)
    results = [
        filled.identify(excerpt(2, 1.0), sample_rate=RATE),
        filled.tracks()[0],
        filled.info(),
        report,
        report.failed[0],
        events[0],
        filled.verify(),
        filled.compact(),
        filled.repair(),
        filled.export(music.parent / "out.npz"),
        filled.import_file(music.parent / "out.npz"),
        filled.rebuild(),
    ]
    for result in results:
        document = result.to_dict()
        assert json.loads(json.dumps(document)) == document
        assert set(vars(type(result))["__dataclass_fields__"]) <= set(document)
        with pytest.raises(FrozenInstanceError):
            setattr(result, next(iter(document)), None)


def test_top_bounds_the_answers(filled):
    assert len(filled.identify(tune(77), sample_rate=RATE, top=2).candidates) == 2
    full = filled.identify(excerpt(0, 1.0), sample_rate=RATE)
    (one,) = filled.identify(excerpt(0, 1.0), sample_rate=RATE, top=1).candidates
    assert one == full.candidates[0]  # its lead too
    for wrong in ({"top": 0}, {"method": "guess"}, {"threshold": np.nan}, {"threshold": -np.inf}):
        with pytest.raises(ValueError, match=r"it must|at least"):
            filled.identify(tune(0), sample_rate=RATE, **wrong)


def test_silence_empty_library_and_bad_sources(filled, tmp_path):
    silent = filled.identify(np.zeros(RATE, np.float32), sample_rate=RATE)
    assert silent.candidates == []
    assert silent.warnings == ["the query: is silent throughout; there is nothing to recognise it by"]
    with open_library(tmp_path / "empty") as empty:
        assert empty.identify(tune(0), sample_rate=RATE).candidates == []
        assert empty.tracks() == []
        assert empty.info().model_id is None
    with pytest.raises(AudioError, match=r"nowhere\.wav"):
        filled.identify(tmp_path / "nowhere.wav")


def test_answers_go_into_json(filled, music):
    answer = json.loads(json.dumps(filled.identify(excerpt(2, 1.0), sample_rate=RATE).to_dict()))
    assert answer["matches"][0]["track"]["path"] == str(music / "tune 2.wav")
    json.dumps(filled.info().to_dict())
    json.dumps(filled.add(music, "gone.wav").to_dict())


def test_adding_again_adds_nothing(filled, music):
    before = filled.info()
    report = filled.add(music)
    assert report.added == []
    assert len(report.skipped) == 5
    assert (filled.info().tracks, filled.info().segments) == (before.tracks, before.segments)


def test_info(filled):
    info = filled.info()
    assert (info.tracks, info.removed, info.segments) == (5, 0, 1)
    assert info.duration_s == pytest.approx(30)
    assert info.fingerprints == 5 * 64
    assert (info.model_id, info.dim, info.reference_hop_s) == ("fake-0001", 32, 0.08)
    assert info.size_bytes > 5 * 64 * 32 * 2
    assert info.format_version == 1
    assert info.storage == "half"


def test_reopening_finds_everything(filled, tmp_path):
    with open_library(tmp_path / "lib", create=False) as again:
        assert again.tracks() == filled.tracks()
        assert again.identify(excerpt(4, 1.0), sample_rate=RATE).match.track.title == "tune 4"
        assert again.verify().sound


def test_removal_for_files_that_are_gone_by_number_path_and_title(filled, music):
    shutil.rmtree(music)
    numbers = {track.title: track.id for track in filled.tracks()}
    assert [t.title for t in filled.remove(numbers["tune 0"])] == ["tune 0"]
    assert [t.title for t in filled.remove(str(numbers["tune 1"]))] == ["tune 1"]
    removed = filled.remove(music / "tune 2.wav", "tune 3")
    assert [t.title for t in removed] == ["tune 2", "tune 3"]
    assert [t.title for t in filled.tracks()] == ["tune 4"]
    assert filled.info().removed == 4
    for i in range(4):
        for method in ("aligned", "paper"):
            answer = filled.identify(excerpt(i, 1.0), sample_rate=RATE, method=method, threshold=0)
            assert {m.track.title for m in answer.candidates} <= {"tune 4"}
    answer = filled.identify(excerpt(4, 3.0), sample_rate=RATE)
    assert answer.match.start_s == pytest.approx(3.0, abs=0.02)


def test_removal_is_all_or_nothing(filled):
    with pytest.raises(LibraryError, match="'no such thing'"):
        filled.remove("tune 1", "no such thing")
    for unknown in (999, 10**22, "9" * 23, "1" * 5000, "\udcff"):
        with pytest.raises(LibraryError, match="has no track with"):
            filled.remove(unknown)
    assert len(filled.tracks()) == 5


def test_a_removed_track_can_be_added_again(filled, music):
    filled.remove("tune 2")
    report = filled.add(music)
    assert [t.title for t in report.added] == ["tune 2"]
    assert filled.identify(excerpt(2, 1.0), sample_rate=RATE).match.track == report.added[0]


def test_files_that_exchange_names_are_all_held_afterwards(filled, music):
    before = {track.content_hash for track in filled.tracks()}
    write_wav(music / "fresh.wav", tune(9))
    # 0 -> 1 -> 2 -> gone, fresh -> 0: each name stands for other content than before.
    (music / "tune 2.wav").rename(music / "tune 5.wav")
    (music / "tune 1.wav").rename(music / "tune 2.wav")
    (music / "tune 0.wav").rename(music / "tune 1.wav")
    (music / "fresh.wav").rename(music / "tune 0.wav")
    events = []
    report = filled.add(music, on_event=events.append)
    held = {track.content_hash: Path(track.path).name for track in filled.tracks()}
    assert before < held.keys()
    assert len(held) == 6
    assert sorted(held.values()) == [f"tune {i}.wav" for i in range(6)]
    assert not {Path(track.path) for track in report.added} & set(report.skipped)
    assert [Path(path).name for path in report.skipped] == ["tune 3.wav", "tune 4.wav"]
    assert events[-1].files_done == events[-1].files_total
    assert events[-1].bytes_done == events[-1].bytes_total
    assert filled.add(music).added == []


def test_adding_looks_through_no_table_of_tracks(filled, music):
    """So that it takes as long in a library of any size."""
    statements = []
    connection = filled._store.catalogue._connection
    connection.set_trace_callback(statements.append)
    write_wav(music / "fresh.wav", tune(9))
    filled.add(music / "fresh.wav")
    connection.set_trace_callback(None)
    looked = [
        text for text in statements if text.lstrip().startswith(("SELECT", "UPDATE", "DELETE", "INSERT"))
    ]
    assert any("content_hash" in text for text in looked)
    plans = {
        text: [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {text}")]
        for text in looked
        if "sqlite_master" not in text
    }
    through = {
        text: step for text, steps in plans.items() for step in steps if step.startswith("SCAN tracks")
    }
    # What was removed has an index of its own, which holds nothing else.
    assert set(through.values()) <= {"SCAN tracks USING INDEX removed"}, through


def test_a_changed_file_replaces_its_track(filled, music):
    write_wav(music / "tune 2.wav", tune(50))
    report = filled.add(music)
    assert [t.title for t in report.added] == ["tune 2"]
    assert [t.path for t in report.replaced] == [str(music / "tune 2.wav")]
    assert filled.identify(tune(50), sample_rate=RATE).match.track == report.added[0]
    assert filled.identify(excerpt(2, 1.0), sample_rate=RATE).match is None
    assert len(filled.tracks()) == 5


def test_audio_from_memory(filled):
    track = filled.add_audio(tune(20), sample_rate=RATE, title="made up", artist="nobody")
    assert (track.title, track.artist, track.path) == ("made up", "nobody", None)
    assert filled.identify(excerpt(20, 1.0), sample_rate=RATE).match.track == track
    assert filled.add_audio(tune(20), sample_rate=RATE, title="again") == track
    assert filled.remove("made up") == [track]
    with pytest.raises(AudioError, match=r"^quiet: is silent throughout"):
        filled.add_audio(np.zeros(RATE, np.float32), sample_rate=RATE, title="quiet")


def test_names_in_any_script(tmp_path):
    folder = tmp_path / "Музыка ♫"
    folder.mkdir()
    file = write_wav(folder / "日本の歌 été.wav", tune(1))
    with open_library(tmp_path / "Bücherei 書") as opened:
        (track,) = opened.add(folder).added
        assert (track.title, track.path) == ("日本の歌 été", str(file))
        assert opened.identify(excerpt(1, 1.0), sample_rate=RATE).match.track == track
        assert opened.remove(str(file)) == [track]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_names_that_are_not_unicode(tmp_path):
    file = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav")
    write_wav(tmp_path / "x.wav", tune(1)).rename(file)
    with open_library(tmp_path / "lib") as opened:
        (track,) = opened.add(file).added
        assert track.title == "caf\\udce9"
        assert opened.remove(file) == [track]


def test_a_short_file_is_remembered(tmp_path):
    with open_library(tmp_path / "lib") as opened:
        opened.add(write_wav(tmp_path / "short.wav", tune(1, 0.5)))
        assert opened.info().fingerprints == 1


def test_another_model_is_refused(filled, tmp_path, monkeypatch):
    other = FakeEncoder("other-9999")
    with pytest.raises(ModelError, match=r"made by model fake-0001, not other-9999; open"):
        Library(tmp_path / "lib", encoder=other)
    import earprint.encoders as package

    monkeypatch.setattr(package, "load_encoder", lambda name: other, raising=False)
    with Library(tmp_path / "lib", model="other") as opened:
        assert len(opened.tracks()) == 5  # needs no model
        with pytest.raises(ModelError):
            opened.identify(tune(0), sample_rate=RATE)
        with pytest.raises(ModelError):
            opened.add(tmp_path)
        opened.remove("tune 0")


def test_wrong_places_are_refused(tmp_path, music):
    with pytest.raises(LibraryError, match="empty path"):
        open_library("")
    for create in (False, True):  # as in a folder that may not be searched, but for root too
        with pytest.raises(LibraryError, match=r"cannot be made or read \("):
            open_library(tmp_path / ("x" * 300), create=create)
    with pytest.raises(LibraryError, match=r"no earprint library; .* check --library and EARPRINT_LIBRARY"):
        open_library(tmp_path / "nowhere", create=False)
    assert not (tmp_path / "nowhere").exists()
    with pytest.raises(LibraryError, match="is a file"):
        open_library(write_wav(tmp_path / "x.wav", tune(0)))
    with pytest.raises(LibraryError, match="holds other files"):
        open_library(music)
    assert len(list(music.iterdir())) == 5


@pytest.mark.parametrize("damage", ["missing", "short", "flipped"])
def test_damaged_segments_are_named(filled, tmp_path, damage):
    segment = tmp_path / "lib" / "segments" / "000001.f16"
    content = bytearray(segment.read_bytes())
    segment.unlink()
    if damage == "flipped":
        content[1000] ^= 1  # in the first track
        segment.write_bytes(content)
    if damage == "short":
        segment.write_bytes(content[:-2])  # in the last track
    with open_library(tmp_path / "lib") as opened:
        report = opened.verify()
        assert not report.sound
        (problem,) = report.problems
        assert "000001.f16: " in problem
        assert "\n" not in problem
        lost = {"missing": range(5), "short": [4], "flipped": [0]}[damage]
        assert [problem.track.title for problem in report.damaged] == [f"tune {i}" for i in lost]
        assert (opened.info().tracks, opened.info().damaged) == (5, len(lost))
        assert len(opened.tracks()) == 5
        for i in range(5):
            answer = opened.identify(excerpt(i, 1.0), sample_rate=RATE)
            assert (answer.match is None) == (i in lost)
            assert "damaged and not searched; run `earprint repair`" in answer.warnings[-1]


def test_a_writer_of_another_process_is_waited_for_and_named(filled, tmp_path, music):
    waits = []
    settings = replace(ONE_COMMIT, lock_wait_s=0.1)
    with open_library(tmp_path / "lib", settings=settings, on_wait=waits.append) as other:
        with locked_by_another_process(tmp_path / "lib") as number:
            for change in (lambda: other.add(music), lambda: other.remove("tune 1")):
                with pytest.raises(LibraryLockedError, match=f"process {number} is writing"):
                    change()
            assert len(waits) == 2
            assert f"process {number} is writing to this library; waiting" in waits[0]
            assert other.identify(excerpt(1, 1.0), sample_rate=RATE).match  # reading goes on
        other.remove("tune 1")
        assert len(waits) == 2


def test_a_change_within_a_change_of_the_same_thread_is_refused(filled, tmp_path, music):
    messages = []

    def meanwhile(event):
        if event.kind == "failed":
            with open_library(tmp_path / "lib") as other, pytest.raises(LibraryLockedError) as caught:
                other.add(music)
            messages.append(str(caught.value))

    filled.add("missing.wav", on_event=meanwhile)
    (message,) = messages
    assert "this thread is changing the library already" in message


@pytest.mark.parametrize("shared", [True, False])
def test_adders_of_one_process_queue(tmp_path, shared):
    settings = Settings(lock_wait_s=0.0, longest_commit_s=0.0)
    files = [write_wav(tmp_path / f"{i}.wav", tune(i, 2.0)) for i in range(12)]
    with open_library(tmp_path / "lib", settings=settings) as opened:
        errors, waits = [], []

        def add(number):
            try:
                if shared:
                    opened.add(*files[number::4], on_event=lambda _: time.sleep(0.01))
                else:
                    with open_library(tmp_path / "lib", settings=settings, on_wait=waits.append) as other:
                        other.add(*files[number::4], on_event=lambda _: time.sleep(0.01))
            except LibraryError as error:
                errors.append(error)

        threads = [threading.Thread(target=add, args=[number]) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == waits == []
        assert sorted(track.title for track in opened.tracks()) == sorted(file.stem for file in files)
        assert opened.verify().sound


def test_a_reader_sees_what_another_process_commits(filled, tmp_path):
    assert filled.identify(tune(60), sample_rate=RATE).match is None
    script = """
        from helpers.fake_encoder import *
        from earprint.library import Library
        with Library(sys.argv[1], encoder=FakeEncoder()) as library:
            library.add_audio(tune(60), sample_rate=RATE, title="new")
            library.remove("tune 0")
    """
    assert run_script(script, tmp_path / "lib").returncode == 0
    assert filled.identify(tune(60), sample_rate=RATE).match.track.title == "new"
    assert filled.identify(excerpt(0, 1.0), sample_rate=RATE).match is None


def search_during_changes(library, change, seeds):
    """Let three threads identify tunes while a fourth one changes the library; returns all errors."""
    errors = []

    def search():
        while changing.is_alive():
            for seed in seeds:
                try:
                    answer = library.identify(tune(seed, SECONDS)[: int(1.8 * RATE)], sample_rate=RATE)
                    assert answer.match.track.title == f"tune {seed}"
                except BaseException as error:
                    errors.append(error)

    changing = threading.Thread(target=change)
    searching = [threading.Thread(target=search) for _ in range(3)]
    for thread in (changing, *searching):
        thread.start()
    for thread in (changing, *searching):
        thread.join()
    return errors


@pytest.mark.parametrize("index", [pytest.param("exact", marks=pytest.mark.slow), "inverted"])
def test_threads_may_search_while_another_one_adds(tmp_path, index):
    """The inverted lists of segments that one thread searches outlive changes by another thread."""
    encoder = CompactEncoder() if index == "inverted" else None
    settings = Settings(longest_commit_s=0.0, many_small=4)
    with open_library(tmp_path / "lib", encoder, settings, index=index) as library:
        library.add(*write_music(tmp_path / "music", range(3)))

        def change():
            for seed in range(10, 26):
                library.add_audio(tune(seed, SECONDS), RATE, title=f"tune {seed}")
                if seed % 8 == 0:
                    library.remove(f"tune {seed}")

        assert search_during_changes(library, change, range(3)) == []
        assert len(library.tracks()) == 17
        assert library.verify().sound


KILLED = """
    from helpers.fake_encoder import *
    from helpers.libraries import COMMIT_EACH, open_library
    from earprint.store import catalogue
    from earprint.store import segments
    from earprint.store.store import Store
    place, calls = sys.argv[3], []

    def killing(function, after=False):
        def wrapped(*args, **options):
            calls.append(1)
            if after and len(calls) == 3:
                function(*args, **options)
            if len(calls) == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **options)
        return wrapped

    if place == "before the rename":
        segments.Path.replace = killing(segments.Path.replace)
    elif place == "before the commit":
        catalogue.Catalogue.enter = killing(catalogue.Catalogue.enter)
    elif place == "within the commit":
        catalogue.Catalogue._mark_removed = killing(catalogue.Catalogue._mark_removed)
    elif place == "between commits":
        Store.add = killing(Store.add, after=True)
    with open_library(sys.argv[1], settings=COMMIT_EACH) as library:
        library.add(sys.argv[2])
"""


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
@pytest.mark.parametrize(
    ("place", "kept"),
    [
        pytest.param("before the rename", 2, marks=pytest.mark.slow),
        pytest.param("before the commit", 2, marks=pytest.mark.slow),
        ("within the commit", 2),
        pytest.param("between commits", 3, marks=pytest.mark.slow),
    ],
)
def test_a_killed_add_is_completed_by_the_next(tmp_path, music, place, kept):
    killed = run_script(KILLED, tmp_path / "lib", music, place)
    assert killed.returncode == -9, killed.stderr
    with open_library(tmp_path / "lib", create=False) as opened:
        assert [t.title for t in opened.tracks()] == [f"tune {i}" for i in range(kept)]
        assert opened.verify().sound
        assert opened.identify(excerpt(1, 1.0), sample_rate=RATE).match.track.title == "tune 1"
        report = opened.add(music)
        assert len(report.added) == 5 - kept
        assert len(report.skipped) == kept
        for i in range(5):
            assert opened.identify(excerpt(i, 1.0), sample_rate=RATE).match.track.title == f"tune {i}"
        assert opened.verify().sound
        stored = {p.name for p in (tmp_path / "lib" / "segments").iterdir()}
        assert stored == {s.file for s in opened._views.current().snapshot.segments.values()}
        assert not (tmp_path / "lib" / "writer.pid").exists()


READ_ONLY = """
    from helpers.fake_encoder import *
    from earprint.errors import LibraryError
    from earprint.library import Library
    for create in (False, True):
        with Library(sys.argv[1], encoder=FakeEncoder(), create=create) as library:
            assert library.identify(tune(2)[16000:56000], sample_rate=RATE).match.track.title == "tune 2"
            assert library.verify().sound
            for change in (
                lambda: library.add(sys.argv[2]),
                lambda: library.remove("tune 1"),
                library.compact,
                library.rebuild,
                library.repair,
            ):
                try:
                    change()
                except LibraryError as error:
                    assert "cannot be written" in str(error), error
                else:
                    raise AssertionError("written")
"""


@pytest.mark.skipif(os.name == "nt", reason="needs permission bits")
@pytest.mark.parametrize("files", ["writable", pytest.param("read-only", marks=pytest.mark.slow)])
def test_a_read_only_folder_can_be_searched(tmp_path, music, files):
    with open_library(tmp_path / "lib") as opened:
        opened.add(music)
    prefix = ()
    if os.geteuid() == 0:  # root may write everywhere, unless it gives that up
        if not shutil.which("setpriv"):
            pytest.skip("needs setpriv to test as root")
        prefix = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--")
    folders = [tmp_path / "lib" / "segments", tmp_path / "lib"]
    try:
        for folder in folders:
            for file in folder.iterdir():
                if file.is_file() and files == "read-only":
                    file.chmod(0o444)
            folder.chmod(0o555)
        done = run_script(READ_ONLY, tmp_path / "lib", music, prefix=prefix)
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert done.returncode == 0, done.stderr
