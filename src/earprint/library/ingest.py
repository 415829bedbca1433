"""What adding does: find files, leave out what is known, fingerprint the rest, commit in batches.

Files are decoded and encoded by a few threads (PyAV, NumPy and onnxruntime release Python's lock) or, in
long runs, elsewhere (`earprint.library.encoding_pool`); few are begun ahead of the results being taken, in the
order of the files. What is finished is committed after `COMMIT_ROWS` rows or some seconds, at the end, and on
the way out of any interruption, so that a killed run loses little and the next one goes on from there. The
seconds double from `FIRST_COMMIT_S` to `COMMIT_SECONDS`: a short run loses little too, and a long one leaves
few segments. A file that fails is reported and never stops the others.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from earprint.audio import content_hash, read_tags, stream_audio, survey
from earprint.encoders.base import Encoder, Fingerprints
from earprint.errors import AudioError, EarprintError
from earprint.library.encoding_pool import EncodesFiles
from earprint.library.progress import OnEvent, Telling
from earprint.library.results import AddReport, Failure, Track
from earprint.parallel.blas_threads import one_thread_for_products
from earprint.parallel.cores import usable_cores
from earprint.quantization.storage import Storage, Stored
from earprint.store.catalogue import NewTrack
from earprint.store.paths import path_text
from earprint.store.segments import checksum_of

WORKERS = max(2, min(4, usable_cores()))
"""Files decoded and encoded at a time; more threads would wait for Python's lock."""

QUEUED_FILES = 2 * WORKERS
"""Files begun or finished ahead of the one whose result is taken next; bounds memory."""

COMMIT_ROWS = 65_536
"""Rows after which a batch is committed: 16 MiB of 128-d vectors."""

FIRST_COMMIT_S = 2.0
"""Time after which the first batch is committed, in seconds; it doubles with each batch."""

COMMIT_SECONDS = 20.0
"""Time after which any batch is committed, however small, in seconds."""

Finished = tuple[NewTrack, Stored]
"""A track and its stored rows, shape (n_rows, width)."""

Commit = Callable[[Sequence[Finished]], tuple[list[Track], list[Track]]]
"""Stores a batch; returns the tracks added and those they replace."""


class _Interrupted(Exception):  # noqa: N818 - no error, never seen outside
    """Work on a file was given up because the whole call ends."""


@dataclass(frozen=True)
class _Result:
    """What became of one file: fingerprinted, or not because its content is known."""

    finished: Finished | None
    warnings: list[str]


def pack(fingerprints: Fingerprints, storage: Storage) -> Stored:
    """Return a recording's fingerprints as they are stored, shape (n_rows, width).

    Raises
    ------
    AudioError
        If there is nothing to recognise it by.
    """
    if fingerprints.silent.all():
        raise AudioError("is silent throughout; there is nothing to recognise it by")
    return storage.pack(fingerprints.vectors)


def ingest(
    paths: Iterable[str | os.PathLike[str]],
    *,
    encoder: Encoder,
    storage: Storage,
    known: Callable[[str], bool],
    commit: Commit,
    on_event: OnEvent | None = None,
    expected: Mapping[Path, str] | None = None,
    elsewhere: EncodesFiles | None = None,
) -> AddReport:
    """Fingerprint the audio files under some paths.

    Parameters
    ----------
    paths : iterable of path
        Files, and folders to search.
    encoder : Encoder
    storage : Storage
        How the fingerprints are to be stored.
    known : callable
        Tells of a content hash whether the library holds it now, and its files are left out; from any thread.
    commit : callable
        Called in this thread with each batch of finished tracks.
    on_event : callable, optional
        Told of every step, in this thread.
    expected : mapping of Path to str, optional
        Content hashes that the files must have, for files that were added before.
    elsewhere : EncodesFiles, optional
        Decodes and encodes the files in place of this process, once the run is long enough for it.

    Returns
    -------
    AddReport
    """
    return _Ingestion(encoder, storage, known, commit, on_event, expected, elsewhere).run(paths)


class _Ingestion:
    """One call of `ingest`."""

    def __init__(
        self,
        encoder: Encoder,
        storage: Storage,
        known: Callable[[str], bool],
        commit: Commit,
        on_event: OnEvent | None,
        expected: Mapping[Path, str] | None,
        elsewhere: EncodesFiles | None,
    ) -> None:
        self._encoder = encoder
        self._storage = storage
        self._commit = commit
        self._telling = Telling(on_event)
        self._expected = expected
        self._elsewhere = elsewhere
        self._known = known
        self._made: set[str] = set()
        self._in_work: set[str] = set()
        self._passed_over: dict[Path, str] = {}
        self._hashes_changed = threading.Condition()  # also the lock of the three above
        self._stop = threading.Event()
        self._report = AddReport()
        self._batch: list[Finished] = []
        self._began_at = self._committed_at = time.monotonic()
        self._commit_after_s = FIRST_COMMIT_S

    def run(self, paths: Iterable[str | os.PathLike[str]]) -> AddReport:
        files = self._discover(paths)
        while files:
            self._run(files)
            files = self._forgotten_meanwhile()
        return self._report

    def _run(self, files: Sequence[Path]) -> None:
        queue: deque[tuple[Path, Future[_Result]]] = deque()
        elsewhere: EncodesFiles | None = None
        with one_thread_for_products(), ExitStack() as pools:
            pool, queued = pools.enter_context(_threads(WORKERS)), QUEUED_FILES
            try:
                for path in files:
                    if elsewhere is None and self._elsewhere is not None and self._is_long(self._elsewhere):
                        elsewhere = self._elsewhere
                        pool = pools.enter_context(_threads(elsewhere.files_at_once))
                        queued = 2 * elsewhere.files_at_once
                    while len(queue) >= queued:
                        self._take(*queue.popleft())
                    self._telling.tell("start", path)
                    queue.append((path, pool.submit(self._fingerprint, path, elsewhere)))
                while queue:
                    self._take(*queue.popleft())
            except BaseException:
                self._stop.set()
                for _, future in queue:
                    future.cancel()
                if elsewhere is not None:
                    elsewhere.give_up()
                raise
            finally:
                self._flush()

    def _forgotten_meanwhile(self) -> list[Path]:
        """Files that were passed over, but whose track was replaced by a file that took over its name."""
        if not self._report.replaced:
            return []
        again = {path for path, digest in self._passed_over.items() if not self._known(digest)}
        for path in again:
            del self._passed_over[path]
        self._report.skipped[:] = [path for path in self._report.skipped if path not in again]
        self._telling.expect(again)
        return sorted(again)

    def _discover(self, paths: Iterable[str | os.PathLike[str]]) -> list[Path]:
        """Files to add, without repetition; reports paths that give none."""
        found = list(survey(paths))
        files = [path for path, error in found if error is None]
        self._telling.expect(path for path, _ in found)
        for path, error in found:
            if error is not None:
                self._fail(path, error)
        return files

    def _is_long(self, elsewhere: EncodesFiles) -> bool:
        """Whether so much time has passed and is still to come that going on elsewhere pays."""
        passed_s = time.monotonic() - self._began_at
        return passed_s >= elsewhere.after_s and self._telling.most_is_left()

    def _fingerprint(self, path: Path, elsewhere: EncodesFiles | None) -> _Result:
        """Decode and encode one file; runs in a worker thread."""
        if self._stop.is_set():
            raise _Interrupted
        digest = content_hash(path)
        if self._expected is not None and self._expected.get(path) != digest:
            raise AudioError("has other content than when it was added")
        with self._hashes_changed:
            # A copy of this file may be in work: only if it succeeds is this one known.
            self._hashes_changed.wait_for(lambda: digest not in self._in_work)
            if digest in self._made:
                return _Result(None, [])
            if self._known(digest):
                self._passed_over[path] = digest
                return _Result(None, [])
            self._in_work.add(digest)
        try:
            result = self._fingerprint_new(path, digest, elsewhere)
            with self._hashes_changed:
                self._made.add(digest)
            return result
        finally:
            with self._hashes_changed:
                self._in_work.remove(digest)
                self._hashes_changed.notify_all()

    def _fingerprint_new(self, path: Path, digest: str, elsewhere: EncodesFiles | None) -> _Result:
        warnings: list[str] = []
        if elsewhere is None:
            fingerprints = self._encoder.encode(self._blocks(path, warnings))
        else:
            fingerprints, warnings = elsewhere.encode_file(path, self._encoder.model_id)
        vectors = pack(fingerprints, self._storage)
        tags = read_tags(path)
        new = NewTrack(
            path=path_text(path),
            title=tags.title or Path(path_text(path)).stem,
            artist=tags.artist,
            album=tags.album,
            duration_s=fingerprints.duration_s,
            content_hash=digest,
            n_rows=len(vectors),
            checksum=checksum_of(vectors),
        )
        return _Result((new, vectors), warnings)

    def _blocks(self, path: Path, warnings: list[str]) -> Iterator[NDArray[np.float32]]:
        for block in stream_audio(path, on_warning=warnings.append):
            if self._stop.is_set():
                raise _Interrupted
            yield block

    def _take(self, path: Path, future: Future[_Result]) -> None:
        """Wait for a file's result and book it; commit when a batch is due."""
        # A long file must not hold up what is finished.
        wait([future], timeout=max(0.0, self._due_in_s()))
        self._flush_if_due()
        try:
            result = future.result()
        except AudioError as error:
            self._fail(path, error)
        except EarprintError:
            raise  # not the file's fault
        except Exception as error:  # a bad file may break anything in a decoder
            self._fail(path, error)
        else:
            self._book(path, result)
        self._flush_if_due()

    def _book(self, path: Path, result: _Result) -> None:
        for warning in result.warnings:
            self._report.warnings.append(warning)
            self._telling.tell("warning", path, warning)
        if result.finished is None:
            self._report.skipped.append(path)
            self._telling.end("skipped", path, "is already in the library")
        else:
            self._batch.append(result.finished)
            self._telling.end("done", path, audio_s=result.finished[0].duration_s)

    def _fail(self, path: Path, error: Exception) -> None:
        message = str(error).removeprefix(f"{path}: ")
        if not isinstance(error, AudioError):
            message = f"{type(error).__name__}: {message}"
        cause = " ".join(message.split())
        self._report.failed.append(Failure(path, cause))
        self._telling.end("failed", path, cause)

    def _flush_if_due(self) -> None:
        rows = sum(len(vectors) for _, vectors in self._batch)
        if rows >= COMMIT_ROWS or self._due_in_s() <= 0:
            self._flush()

    def _due_in_s(self) -> float:
        """Seconds until a batch is due."""
        return min(self._commit_after_s, COMMIT_SECONDS) - (time.monotonic() - self._committed_at)

    def _flush(self) -> None:
        """Commit what is finished."""
        batch, self._batch = self._batch, []
        if batch:
            added, replaced = self._commit(batch)
            self._report.added.extend(added)
            self._report.replaced.extend(replaced)
            self._commit_after_s *= 2
            self._committed_at = time.monotonic()


def _threads(number: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(number, thread_name_prefix="earprint-add")
