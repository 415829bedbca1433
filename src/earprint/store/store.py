"""The files of an open library: its catalogue, its segments and its writer lock."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from earprint.index.factory import EXACT_ROWS
from earprint.quantization.storage import Stored
from earprint.store.catalogue import Catalogue, NewTrack
from earprint.store.folder import check_folder, folder_size
from earprint.store.results import Track
from earprint.store.segments import Segment, delete_strays, write_segment
from earprint.store.writer_lock import LOCK_WAIT_S, writing

SEGMENTS_FOLDER = "segments"

Batch = Sequence[tuple[NewTrack, Stored]]
"""Tracks to enter, each with its stored rows, shape (n_rows, width)."""


@dataclass(frozen=True)
class Settings:
    """Limits and intervals of a library.

    The defaults suit libraries of any size. Tests inject others.

    Attributes
    ----------
    commit_rows : int
        `add` commits a batch at this number of fingerprints. The default is 16 MiB of 128-d float16.
    first_commit_s : float
        `add` commits the first batch after this time, in seconds. The interval doubles with each batch.
    longest_commit_s : float
        Longest interval between two commits, in seconds.
    clock : callable
        Gives the time in seconds for these intervals.
    lock_wait_s : float
        Seconds that a writer waits for a writer of another process.
    segment_bytes : int
        Largest size of a merged segment, in bytes, unless one track is larger. Segments of less than half of
        it are merged. The default holds a day of audio in half precision, ten days compact.
    many_small : int
        `add` merges small segments when there are this many.
    mostly_removed : float
        `add` rewrites a segment when this share of its fingerprints belongs to removed tracks.
    exact_rows : int
        See `earprint.index.make_index`.
    """

    commit_rows: int = 65_536
    first_commit_s: float = 2.0
    longest_commit_s: float = 20.0
    clock: Callable[[], float] = time.monotonic
    lock_wait_s: float = LOCK_WAIT_S
    segment_bytes: int = 64 * 2**20
    many_small: int = 16
    mostly_removed: float = 0.5
    exact_rows: int = EXACT_ROWS

    def rows_of_segment(self, row_bytes: int) -> int:
        """Return the largest number of rows of a merged segment, for rows of this size in bytes."""
        return max(1, self.segment_bytes // row_bytes)


class Store:
    """Catalogue, segments and writer lock of a library; safe to use from several threads.

    Parameters
    ----------
    path : Path
        The library's folder.
    create : bool
        Make the library if the folder is missing or empty.
    on_wait : callable, optional
        Called with one line of text when a writer must wait for another process.
    settings : Settings

    Attributes
    ----------
    path : Path
    catalogue : Catalogue
    segments_folder : Path
    settings : Settings
    on_release : callable
        Called when open segments must be closed: before files are deleted, as Windows deletes no mapped
        file, and when files were found damaged.

    Raises
    ------
    LibraryError
        If there is no library, or its catalogue is damaged or cannot be read.
    """

    def __init__(
        self,
        path: Path,
        *,
        create: bool,
        on_wait: Callable[[str], None] | None = None,
        settings: Settings | None = None,
    ) -> None:
        self.path = path.absolute()  # as the program may change its working folder
        self.segments_folder = self.path / SEGMENTS_FOLDER
        self.settings = settings or Settings()
        self.on_release: Callable[[], None] = lambda: None
        self._on_wait = on_wait
        check_folder(path, create=create)
        self.catalogue = Catalogue(self.path, create=create)

    def close(self) -> None:
        """Close the catalogue."""
        self.catalogue.close()

    def size_bytes(self) -> int:
        """Return the size of all files of the library, in bytes."""
        return folder_size(self.path)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the writer lock. Files that killed writers left are deleted first.

        Raises
        ------
        LibraryLockedError
            If another process is writing, or this thread is writing already.
        LibraryError
            If the folder cannot be written, or was deleted or replaced since the library was opened.
        """
        self.catalogue.check_in_place()  # before the lock, whose file would make the folder again
        with writing(self.path, self._on_wait, self.settings.lock_wait_s):
            delete_strays(self.segments_folder, self.catalogue.segment_files())
            self.catalogue.upgrade()
            yield

    # The caller of the following holds the writer lock.

    def write_segment(self, parts: Sequence[Stored], number: int | None = None) -> Segment:
        """Write rows as a new segment, which the catalogue does not know yet.

        Parameters
        ----------
        parts : sequence of ndarray of float16 or uint8, each of shape (rows, width)
        number : int, optional
            Number of the segment; by default the catalogue's next one.
        """
        self.catalogue.check_in_place()
        return write_segment(
            self.segments_folder, self.catalogue.next_segment_id() if number is None else number, parts
        )

    def add(self, batch: Batch, model_id: str) -> tuple[list[Track], list[Track]]:
        """Store new tracks as one segment.

        Returns
        -------
        added, replaced : list of Track
            See `Catalogue.enter`.
        """
        segment = self.write_segment([rows for _, rows in batch])
        return self.catalogue.enter(segment, [new for new, _ in batch], model_id)

    def delete_unused_files(self) -> None:
        """Delete the segment files that the catalogue does not name."""
        self.on_release()
        delete_strays(self.segments_folder, self.catalogue.segment_files())
