import os
import threading
import time

import numpy as np
import pytest

from earprint.errors import AudioError, ModelError
from earprint.library import Settings, Track, ingest
from earprint.quantization.storage import HalfStorage
from helpers.fake_encoder import FakeEncoder, tune, write_tunes, write_wav
from helpers.libraries import COMMIT_EACH, ONE_COMMIT


@pytest.fixture
def folder(tmp_path):
    return write_tunes(tmp_path / "music", 6, 3.0)


class Store:
    """Takes batches as a library would."""

    def __init__(self):
        self.batches = []

    def __call__(self, batch):
        self.batches.append([(new.title, vectors.dtype, len(vectors)) for new, vectors in batch])
        tracks = [
            Track(i, n.path, n.title, n.artist, n.album, n.duration_s, n.content_hash, "now")
            for i, (n, _) in enumerate(batch)
        ]
        return tracks, []


def run(paths, store, *, encoder=None, known=(), on_event=None, settings=ONE_COMMIT):
    encoder = encoder or FakeEncoder()
    return ingest.ingest(
        paths,
        encoder=encoder,
        storage=HalfStorage(encoder.dim),
        known=lambda digest: digest in known,
        commit=store,
        settings=settings,
        on_event=on_event,
    )


def test_files_come_in_order_with_their_vectors(folder):
    store = Store()
    report = run([folder], store)
    assert [t.title for t in report.added] == ["0", "1", "2", "3", "4", "5"]
    assert report.added[0].duration_s == pytest.approx(3.0)
    assert report.added[0].path == str(folder / "0.wav")
    assert store.batches == [[(str(i), np.float16, 26) for i in range(6)]]
    for rest in (report.failed, report.skipped, report.warnings, report.replaced):
        assert rest == []


def test_events_count_up_to_the_totals(folder):
    (folder / "bad.wav").write_bytes(b"")
    write_wav(folder / "zz.wav", tune(0, 3.0))
    events = []
    run([folder, folder / "gone.wav"], Store(), on_event=events.append)
    ends = [e for e in events if e.kind in ("done", "skipped", "failed")]
    assert sorted(e.kind for e in ends) == ["done"] * 6 + ["failed"] * 2 + ["skipped"]
    assert [e.files_done for e in ends] == list(range(1, 10))
    assert ends[-1].bytes_done == ends[-1].bytes_total == sum(f.stat().st_size for f in folder.iterdir())
    assert {e.files_total for e in events} == {9}
    assert sum(e.kind == "start" for e in events) == 8
    assert sum(e.audio_s for e in ends) == pytest.approx(18)


def test_bad_files_are_named_and_do_not_stop_the_rest(folder):
    (folder / "0empty.wav").write_bytes(b"")
    (folder / "0text.mp3").write_text("this is no music\n" * 100)
    write_wav(folder / "0silent.wav", np.zeros(48_000))
    report = run([folder, "nowhere.wav"], Store())
    assert len(report.added) == 6
    causes = {failure.path.name: failure.cause for failure in report.failed}
    assert causes.keys() == {"0empty.wav", "0text.mp3", "0silent.wav", "nowhere.wav"}
    assert causes["0silent.wav"].startswith("is silent throughout")
    assert causes["nowhere.wav"].startswith("no such file")
    for cause in causes.values():
        assert "\n" not in cause
        assert "0" not in cause.split(";")[0]  # the name is in `path`, not again in the cause


def test_an_unforeseen_error_is_the_file_s(folder):
    class Fragile(FakeEncoder):
        def encode(self, blocks, *, query=False):
            found = super().encode(blocks, query=query)
            if len(found.vectors) > 30:
                raise ZeroDivisionError("odd\nfile")
            return found

    write_wav(folder / "long.wav", tune(9, 5.0))
    report = run([folder], Store(), encoder=Fragile())
    assert len(report.added) == 6
    assert [f.cause for f in report.failed] == ["ZeroDivisionError: odd file"]


def test_an_error_of_the_model_ends_the_call(folder):
    class Broken(FakeEncoder):
        def encode(self, blocks, *, query=False):
            raise ModelError("broken")

    with pytest.raises(ModelError):
        run([folder], Store(), encoder=Broken())


def test_known_and_repeated_content_is_skipped(folder, tmp_path):
    write_wav(tmp_path / "copy.wav", tune(3, 3.0))
    report = run([folder, tmp_path / "copy.wav", folder / "0.wav"], Store())
    assert len(report.added) == 6
    assert report.skipped == [tmp_path / "copy.wav"]
    again = run([folder], Store(), known=[t.content_hash for t in report.added])
    assert again.added == []
    assert len(again.skipped) == 6


@pytest.mark.parametrize(("rows", "seconds"), [(40, 1e9), (10**9, 0.0)])
def test_batches_are_cut_by_rows_or_by_time(folder, rows, seconds):
    store = Store()
    settings = Settings(commit_rows=rows, first_commit_s=seconds, longest_commit_s=seconds)
    run([folder], store, settings=settings)
    assert [len(batch) for batch in store.batches] == ([2, 2, 2] if rows == 40 else [1] * 6)


def test_an_interruption_keeps_what_is_finished_and_ends_soon(folder):
    class Slow(FakeEncoder):
        def encode(self, blocks, *, query=False):
            def slowly():
                for block in blocks:
                    yield block
                    time.sleep(0.05)

            return super().encode(slowly(), query=query)

    for i in range(6, 40):
        write_wav(folder / f"{i:03d}.wav", tune(i, 1.0))

    def interrupt(event):
        if event.kind == "done" and event.files_done == 3:
            raise KeyboardInterrupt

    store = Store()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run([folder], store, encoder=Slow(), on_event=interrupt)
    assert [len(batch) for batch in store.batches] == [3]
    assert time.monotonic() - began < 3
    assert not [t for t in threading.enumerate() if t.name.startswith("earprint-add")]


def test_few_files_are_held_at_a_time(folder):
    held = []
    lock = threading.Lock()

    class Counting(FakeEncoder):
        def encode(self, blocks, *, query=False):
            with lock:
                held.append(1)
            return super().encode(blocks, query=query)

    committed = []

    class SlowStore(Store):
        def __call__(self, batch):
            time.sleep(0.03)
            committed.append(len(held) - len(committed))
            return super().__call__(batch)

    for i in range(6, 16):
        write_wav(folder / f"{i}.wav", tune(i, 1.0))
    run([folder], SlowStore(), encoder=Counting(), settings=COMMIT_EACH)
    assert max(committed) <= ingest.QUEUED_FILES + 1


def test_copies_of_a_bad_file_all_fail(folder):
    for name in ("bad 1", "bad 2", "bad 3"):
        (folder / f"{name}.wav").write_text("this is no music\n" * 100)
    report = run([folder], Store())
    assert [failure.path.name for failure in report.failed] == ["bad 1.wav", "bad 2.wav", "bad 3.wav"]
    assert len({failure.cause for failure in report.failed}) == 1
    assert report.skipped == []
    assert len(report.added) == 6


def test_folders_that_give_nothing_have_failed(folder, monkeypatch):
    (folder / "closed").mkdir()
    (folder / "empty").mkdir()
    scandir = os.scandir

    def refusing(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    events = []
    report = run([folder, folder / "empty"], Store(), on_event=events.append)
    assert len(report.added) == 6
    assert [(f.path.name, f.cause.split(";")[0]) for f in report.failed] == [
        ("closed", "cannot be read (Permission denied)"),
        ("empty", "holds no audio files"),
    ]
    assert events[-1].files_done == events[-1].files_total == 8


def test_an_empty_path_is_refused_before_anything_is_added(folder):
    store = Store()
    with pytest.raises(AudioError, match=r"^an empty path"):
        run([folder, ""], store)
    assert store.batches == []


def test_commits_come_soon_and_then_at_growing_intervals(folder):
    for i in range(6, 16):
        write_wav(folder / f"{i:03d}.wav", tune(i, 1.0))
    clock = [0.0]

    def second(event):
        clock[0] += event.kind == "done"

    store = Store()
    settings = Settings(longest_commit_s=5.0, clock=lambda: clock[0])
    run([folder], store, on_event=second, settings=settings)
    assert [len(batch) for batch in store.batches] == [2, 4, 5, 5]


def test_a_long_file_does_not_delay_the_commit_of_the_others(folder):
    committed = threading.Event()
    in_time = []

    class Waiting(FakeEncoder):
        def encode(self, blocks, *, query=False):
            found = super().encode(blocks, query=query)
            if found.duration_s > 4:
                in_time.append(committed.wait(10))
            return found

    class Signalling(Store):
        def __call__(self, batch):
            committed.set()
            return super().__call__(batch)

    write_wav(folder / "1 long.wav", tune(9, 5.0))
    report = run([folder], Signalling(), encoder=Waiting(), settings=Settings(first_commit_s=0.05))
    assert in_time == [True]
    assert len(report.added) == 7
