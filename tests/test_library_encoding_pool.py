import time

import pytest

from earprint import Library
from earprint.encoders import load_encoder
from earprint.errors import AudioError, ModelError
from earprint.library import EncodingPool, encoding_pool
from helpers import fragile
from helpers.fake_encoder import FakeEncoder, tune, write_tunes, write_wav
from helpers.libraries import ONE_COMMIT

DENSE = load_encoder("dense", 1).model_id


@pytest.fixture
def folder(tmp_path):
    return write_tunes(tmp_path / "music", 5, 4.0)


class Here(EncodingPool):
    """Encodes in this process, and notes the files."""

    def __init__(self, start_after_s):
        super().__init__("dense", 1, start_after_s)
        self.encoded = []

    def encode_file(self, path, model_id):
        self.encoded.append(path.name)
        return encoding_pool.encode_file("dense", path, model_id)


def rows_of(library):
    view = library._views.current()
    return {track.title: view.stored_rows(entry) for entry, track in enumerate(view.tracks)}


def test_processes_store_what_threads_store_and_name_the_same_bad_files(folder, tmp_path):
    (folder / "empty.wav").write_bytes(b"")
    (folder / "text.mp3").write_text("this is no music\n" * 100)
    whole = (folder / "4.wav").read_bytes()
    (folder / "cut.wav").write_bytes(whole[: len(whole) // 2])
    with Library(tmp_path / "here") as here, Library(tmp_path / "there") as there:
        by_threads = here.add(folder)
        with EncodingPool("dense", 2, start_after_s=0) as processes:
            by_processes = there.add(folder, pool=processes)
        assert by_processes.failed == by_threads.failed
        assert len(by_processes.failed) == 2
        assert by_processes.warnings == by_threads.warnings
        assert [track.title for track in by_processes.added] == [track.title for track in by_threads.added]
        mine, theirs = rows_of(here), rows_of(there)
        assert mine.keys() == theirs.keys() == {"0", "1", "2", "3", "4", "cut"}
        assert all(mine[title].tobytes() == theirs[title].tobytes() for title in mine)


def test_a_rebuild_and_a_repair_use_processes(folder, tmp_path, monkeypatch):
    encoded = []

    class Noting(EncodingPool):
        def encode_file(self, path, model_id):
            encoded.append(path.name)
            return super().encode_file(path, model_id)

    with (
        Library(tmp_path / "library", storage="half", settings=ONE_COMMIT) as library,
        Noting("dense", 1, start_after_s=0) as processes,
    ):
        library.add(folder / "0.wav", folder / "1.wav")
        assert library.rebuild(pool=processes).switched
        assert encoded == ["0.wav", "1.wav"]
        (segment,) = (tmp_path / "library/segments").iterdir()
        damaged = bytearray(segment.read_bytes())
        damaged[-1] ^= 1
        segment.chmod(0o644)
        segment.write_bytes(damaged)
        assert not library.verify().sound
        assert [track.title for track in library.repair(pool=processes).recomputed] == ["1"]
        assert encoded == ["0.wav", "1.wav", "1.wav"]
        assert library.verify().sound


@pytest.mark.parametrize(("start_after_s", "moved"), [(0.0, 5), (3600.0, 0)])
def test_a_run_continues_in_the_pool_once_it_is_long(folder, tmp_path, start_after_s, moved):
    with Library(tmp_path / "library") as library, Here(start_after_s) as processes:
        assert len(library.add(folder, pool=processes).added) == 5
    assert len(processes.encoded) == moved


def test_a_run_near_its_end_stays_where_it_is(folder, tmp_path):
    with Library(tmp_path / "library") as library, Here(3600.0) as processes:

        def wait(event):
            # Time passes only once most is done.
            processes.start_after_s = 0.0 if event.files_done >= 4 else 3600.0

        for i in range(5, 20):
            write_wav(folder / f"short {i}.wav", tune(i, 0.5))
        library.add(folder, pool=processes, on_event=wait)
    assert processes.encoded == []


def test_files_that_are_there_already_do_not_count_as_most_of_a_run(folder, tmp_path):
    with Library(tmp_path / "library") as library, Here(3600.0) as processes:
        library.add(folder)
        for i in range(5, 21):
            write_wav(folder / f"short {i:02}.wav", tune(i, 0.5))

        def wait(event):
            # Time passes once all that is there was passed over.
            processes.start_after_s = 0.0 if event.files_done >= 5 else 3600.0

        report = library.add(folder, pool=processes, on_event=wait)
        assert len(report.skipped) == 5
    assert processes.encoded[-1] == "short 20.wav"


@pytest.mark.slow
def test_a_file_that_ends_its_process_has_failed_and_the_others_go_on(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(encoding_pool, "encode_file", fragile.encode_or_die)
    for name in ("1 crash.wav", "3 crash.wav"):
        write_wav(folder / name, tune(9, 2.0 + len(name) + int(name[0])))
    with (
        Library(tmp_path / "library") as library,
        EncodingPool("dense", 2, start_after_s=0) as processes,
    ):
        report = library.add(folder, pool=processes)
        assert [track.title for track in report.added] == ["0", "1", "2", "3", "4"]
        assert [failure.path.name for failure in report.failed] == ["1 crash.wav", "3 crash.wav"]
        assert all("ended the process that read it" in failure.cause for failure in report.failed)


def test_no_fingerprints_of_another_model_get_in(folder, tmp_path):
    with Library(tmp_path / "library", encoder=FakeEncoder()) as library:
        with (
            EncodingPool("dense", 1, start_after_s=0) as processes,
            pytest.raises(ModelError, match="fake-0001"),
        ):
            library.add(folder, pool=processes)
        assert library.tracks() == []


def test_an_unforeseen_error_is_the_file_s(folder, monkeypatch):
    monkeypatch.setattr(encoding_pool, "stream_audio", lambda *_a, **_k: 1 / 0)
    with pytest.raises(AudioError, match=r"0\.wav: ZeroDivisionError: division by zero"):
        encoding_pool.encode_file("dense", folder / "0.wav", DENSE)


def test_an_interruption_does_not_wait_for_a_long_file(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(encoding_pool, "encode_file", fragile.encode_for_ever)
    write_wav(folder / "2 long.wav", tune(9, 3.0))

    def interrupt(event):
        if event.kind == "done" and event.files_done == 2:
            while not (folder / "begun.txt").exists():
                time.sleep(0.01)
            raise KeyboardInterrupt

    with Library(tmp_path / "library") as library:
        began = time.monotonic()
        with (
            pytest.raises(KeyboardInterrupt),
            EncodingPool("dense", 2, start_after_s=0) as processes,
        ):
            library.add(folder, pool=processes, on_event=interrupt)
        assert time.monotonic() - began < 30  # it would take for ever
        assert sorted(track.title for track in library.tracks()) == ["0", "1"]


def test_decoding_ends_when_the_pool_is_cancelled(folder, monkeypatch):
    monkeypatch.setattr(encoding_pool, "is_cancelled", lambda: True)
    with pytest.raises(AudioError, match="was cancelled"):
        encoding_pool.encode_file("dense", folder / "0.wav", DENSE)
