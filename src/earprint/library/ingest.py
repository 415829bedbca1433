"""Ingest: find audio files, skip those that are known, fingerprint the rest, commit in batches.

A few threads decode and encode the files (PyAV, NumPy and onnxruntime release Python's lock). Long runs
continue in worker processes (`earprint.library.encoding_pool`). Only a few files are begun ahead, and results
are taken in the order of the files. Finished tracks are committed at intervals
(`earprint.library.commit_buffer`), at the end, and when the call is interrupted. A file that fails is
reported and does not stop the others.
"""

import os
import threading
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
from earprint.library.commit_buffer import Commit, CommitBuffer, Encoded
from earprint.library.encoding_pool import FileEncoder
from earprint.library.progress import OnEvent, Progress
from earprint.library.results import AddReport, Failure
from earprint.parallel.blas_threads import one_thread_for_products
from earprint.parallel.cores import usable_cores
from earprint.quantization.storage import Storage, Stored
from earprint.store.catalogue import NewTrack
from earprint.store.paths import path_text
from earprint.store.segments import checksum_of
from earprint.store.store import Settings

THREADS = max(2, min(4, usable_cores()))
"""Files decoded and encoded at the same time; more threads would wait for Python's lock."""

QUEUED_FILES = 2 * THREADS
"""Files begun or finished ahead of the one whose result is taken next; bounds memory."""


class _CancelledError(Exception):
    """Work on a file was stopped because the whole call ends."""


@dataclass(frozen=True)
class _FileResult:
    """Result of one file; ``encoded`` is None if its content is known."""

    encoded: Encoded | None
    warnings: list[str]


def ingest(
    paths: Iterable[str | os.PathLike[str]],
    *,
    encoder: Encoder,
    storage: Storage,
    known: Callable[[str], bool],
    commit: Commit,
    settings: Settings | None = None,
    on_event: OnEvent | None = None,
    expected: Mapping[Path, str] | None = None,
    pool: FileEncoder | None = None,
) -> AddReport:
    """Fingerprint the audio files under some paths.

    Parameters
    ----------
    paths : iterable of path
        Files, and folders to search.
    encoder : Encoder
    storage : Storage
        How to store the fingerprints.
    known : callable
        Whether the library holds a content hash now. Known files are skipped. Called from any thread.
    commit : callable
        Called in this thread with each batch of finished tracks.
    settings : Settings, optional
    on_event : callable, optional
        Called with an `AddEvent` for every step, in this thread.
    expected : mapping of Path to str, optional
        Content hashes that the files must have.
    pool : FileEncoder, optional
        Decodes and encodes the files once the run is long enough.

    Returns
    -------
    AddReport
    """
    buffer = CommitBuffer(commit, settings or Settings())
    run = _Ingestion(
        encoder, storage, known, buffer, (settings or Settings()).clock, on_event, expected, pool
    )
    return run.run(paths)


def pack(fingerprints: Fingerprints, storage: Storage) -> Stored:
    """Return a recording's fingerprints as they are stored, shape (n_rows, width).

    Raises
    ------
    AudioError
        If all of it is silent.
    """
    if fingerprints.silent.all():
        raise AudioError("is silent throughout; there is nothing to recognise it by")
    return storage.pack(fingerprints.vectors)


class _Ingestion:
    """One call of `ingest`."""

    def __init__(
        self,
        encoder: Encoder,
        storage: Storage,
        known: Callable[[str], bool],
        buffer: CommitBuffer,
        clock: Callable[[], float],
        on_event: OnEvent | None,
        expected: Mapping[Path, str] | None,
        pool: FileEncoder | None,
    ) -> None:
        self._encoder = encoder
        self._storage = storage
        self._buffer = buffer
        self._clock = clock
        self._progress = Progress(on_event)
        self._expected = expected
        self._pool = pool
        self._known = known
        self._encoded: set[str] = set()
        self._in_work: set[str] = set()
        self._skipped: dict[Path, str] = {}
        self._hashes_changed = threading.Condition()  # also the lock of the three above
        self._stop = threading.Event()
        self._report = AddReport(added=buffer.added, replaced=buffer.replaced)
        self._began_at = clock()

    def run(self, paths: Iterable[str | os.PathLike[str]]) -> AddReport:
        files = self._discover(paths)
        while files:
            self._run(files)
            files = self._replaced_meanwhile()
        return self._report

    def _run(self, files: Sequence[Path]) -> None:
        queue: deque[tuple[Path, Future[_FileResult]]] = deque()
        pool: FileEncoder | None = None
        with one_thread_for_products(), ExitStack() as stack:
            threads, queued = stack.enter_context(_threads(THREADS)), QUEUED_FILES
            try:
                for path in files:
                    if pool is None and self._pool is not None and self._is_long(self._pool):
                        pool = self._pool
                        threads = stack.enter_context(_threads(pool.jobs))
                        queued = 2 * pool.jobs
                    while len(queue) >= queued:
                        self._take(*queue.popleft())
                    self._progress.report("start", path)
                    queue.append((path, threads.submit(self._fingerprint, path, pool)))
                while queue:
                    self._take(*queue.popleft())
            except BaseException:
                self._stop.set()
                for _, future in queue:
                    future.cancel()
                if pool is not None:
                    pool.cancel()
                raise
            finally:
                self._buffer.flush()

    def _replaced_meanwhile(self) -> list[Path]:
        """Skipped files whose track was then replaced, because a file with other content took its path."""
        if not self._report.replaced:
            return []
        again = {path for path, digest in self._skipped.items() if not self._known(digest)}
        for path in again:
            del self._skipped[path]
        self._report.skipped[:] = [path for path in self._report.skipped if path not in again]
        self._progress.expect(again)
        return sorted(again)

    def _discover(self, paths: Iterable[str | os.PathLike[str]]) -> list[Path]:
        """List the files to add, each once; report paths without audio files."""
        found = list(survey(paths))
        files = [path for path, error in found if error is None]
        self._progress.expect(path for path, _ in found)
        for path, error in found:
            if error is not None:
                self._fail(path, error)
        return files

    def _is_long(self, pool: FileEncoder) -> bool:
        """Whether the run took, and will still take, long enough to continue in the pool."""
        return self._clock() - self._began_at >= pool.start_after_s and self._progress.most_is_left()

    def _fingerprint(self, path: Path, pool: FileEncoder | None) -> _FileResult:
        """Decode and encode one file; runs in a worker thread."""
        if self._stop.is_set():
            raise _CancelledError
        digest = content_hash(path)
        if self._expected is not None and self._expected.get(path) != digest:
            raise AudioError("has other content than when it was added")
        with self._hashes_changed:
            # A copy of this file may be in work. This file is known only if the copy succeeds.
            self._hashes_changed.wait_for(lambda: digest not in self._in_work)
            if digest in self._encoded:
                return _FileResult(None, [])
            if self._known(digest):
                self._skipped[path] = digest
                return _FileResult(None, [])
            self._in_work.add(digest)
        try:
            result = self._fingerprint_new(path, digest, pool)
            with self._hashes_changed:
                self._encoded.add(digest)
            return result
        finally:
            with self._hashes_changed:
                self._in_work.remove(digest)
                self._hashes_changed.notify_all()

    def _fingerprint_new(self, path: Path, digest: str, pool: FileEncoder | None) -> _FileResult:
        warnings: list[str] = []
        if pool is None:
            fingerprints = self._encoder.encode(self._blocks(path, warnings))
        else:
            fingerprints, warnings = pool.encode_file(path, self._encoder.model_id)
        rows = pack(fingerprints, self._storage)
        tags = read_tags(path)
        new = NewTrack(
            path=path_text(path),
            title=tags.title or Path(path_text(path)).stem,
            artist=tags.artist,
            album=tags.album,
            duration_s=fingerprints.duration_s,
            content_hash=digest,
            n_rows=len(rows),
            checksum=checksum_of(rows),
        )
        return _FileResult((new, rows), warnings)

    def _blocks(self, path: Path, warnings: list[str]) -> Iterator[NDArray[np.float32]]:
        for block in stream_audio(path, on_warning=warnings.append):
            if self._stop.is_set():
                raise _CancelledError
            yield block

    def _take(self, path: Path, future: Future[_FileResult]) -> None:
        """Wait for a file's result and record it; commit when a batch is due."""
        # A long file must not delay the commit of the finished ones.
        wait([future], timeout=max(0.0, self._buffer.due_in_s()))
        self._buffer.flush_if_due()
        try:
            result = future.result()
        except AudioError as error:
            self._fail(path, error)
        except EarprintError:
            raise  # not because of the file
        except Exception as error:  # a bad file may raise anything in a decoder
            self._fail(path, error)
        else:
            self._record(path, result)
        self._buffer.flush_if_due()

    def _record(self, path: Path, result: _FileResult) -> None:
        for warning in result.warnings:
            self._report.warnings.append(warning)
            self._progress.report("warning", path, warning)
        if result.encoded is None:
            self._report.skipped.append(path)
            self._progress.end("skipped", path, "is already in the library")
        else:
            self._buffer.add(result.encoded)
            self._progress.end("done", path, audio_s=result.encoded[0].duration_s)

    def _fail(self, path: Path, error: Exception) -> None:
        message = str(error).removeprefix(f"{path}: ")
        if not isinstance(error, AudioError):
            message = f"{type(error).__name__}: {message}"
        cause = " ".join(message.split())
        self._report.failed.append(Failure(path, cause))
        self._progress.end("failed", path, cause)


def _threads(number: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(number, thread_name_prefix="earprint-add")
