"""The catalogue: which tracks a library holds and where their fingerprints lie, in one SQLite file.

It is in write-ahead mode, so readers see the last committed state and neither wait for a writer
nor hold it up. One transaction enters a segment together with its tracks. A removed track keeps
its row, with the time of removal; its content may be added again, as a new track.
"""

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from earprint.errors import LibraryError
from earprint.library.records import Track
from earprint.library.segments import Segment

FORMAT_VERSION = 1
"""Version of the library's layout on disk, kept in SQLite's ``user_version``."""

FILE_NAME = "catalogue.sqlite"

BUSY_S = 10.0
"""Seconds to wait for another connection's commit."""

_SCHEMA = (
    """CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)""",
    """CREATE TABLE segments (
        id INTEGER PRIMARY KEY, file TEXT NOT NULL UNIQUE, rows INTEGER NOT NULL,
        dim INTEGER NOT NULL, checksum TEXT NOT NULL, created_at TEXT NOT NULL)""",
    """CREATE TABLE tracks (
        id INTEGER PRIMARY KEY AUTOINCREMENT, path TEXT, title TEXT NOT NULL, artist TEXT,
        album TEXT, duration_s REAL NOT NULL, content_hash TEXT NOT NULL, added_at TEXT NOT NULL,
        model_id TEXT NOT NULL, segment_id INTEGER NOT NULL REFERENCES segments (id),
        first_row INTEGER NOT NULL, n_rows INTEGER NOT NULL, removed_at TEXT)""",
    """CREATE UNIQUE INDEX live_content ON tracks (content_hash) WHERE removed_at IS NULL""",
    """CREATE INDEX live_path ON tracks (path) WHERE removed_at IS NULL""",
)

_TRACK = "id, path, title, artist, album, duration_s, content_hash, added_at"


@dataclass(frozen=True)
class NewTrack:
    """A track to be entered; ``n_rows`` counts its vectors, which follow the previous track's."""

    path: str | None
    title: str
    artist: str | None
    album: str | None
    duration_s: float
    content_hash: str
    n_rows: int


@dataclass(frozen=True)
class StoredTrack:
    """A live track and the place of its vectors."""

    track: Track
    segment_id: int
    first_row: int
    n_rows: int


class Catalogue:
    """An open catalogue; safe to use from several threads.

    Parameters
    ----------
    folder : Path
        The library's folder, which must exist.
    create : bool
        Make the catalogue if there is none.

    Raises
    ------
    LibraryError
        If there is no catalogue, or it cannot be read, or a newer version made it.
    """

    def __init__(self, folder: Path, *, create: bool) -> None:
        self._file = folder / FILE_NAME
        self._lock = threading.RLock()
        if not create and not self._file.exists():
            raise LibraryError(
                f"{folder}: is no earprint library; add recordings to it first, or check --library and "
                "EARPRINT_LIBRARY"
            )
        with self._reporting():
            self._connection = self._connect(create=create)
            try:
                self._prepare(create=create)
            except BaseException:
                self._connection.close()
                raise

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    # Opening

    def _connect(self, *, create: bool) -> sqlite3.Connection:
        """Open the file; in a folder that cannot be written, as a file that nobody changes."""
        connection = self._open("rwc" if create else "rw")
        try:
            connection.execute("PRAGMA user_version").fetchone()
        except sqlite3.OperationalError as error:
            connection.close()
            refused = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
            # The low byte is the primary code, the rest says more about it.
            if (error.sqlite_errorcode & 0xFF) not in refused or not self._file.exists():
                raise
            journal = self._file.with_name(f"{FILE_NAME}-wal")
            if journal.exists() and journal.stat().st_size:
                raise LibraryError(
                    f"{self._file}: has unfinished changes beside it and cannot be written; open "
                    "the library once where it can be written"
                ) from error
            connection = self._open("ro&immutable=1")
        return connection

    def _open(self, mode: str) -> sqlite3.Connection:
        return sqlite3.connect(
            f"{self._file.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=BUSY_S,
            isolation_level=None,
            check_same_thread=False,
        )

    def _prepare(self, *, create: bool) -> None:
        self._connection.execute("PRAGMA foreign_keys = ON")
        if create and self._version() == 0:
            self._connection.execute("PRAGMA journal_mode = WAL")
            with self._transaction():
                if self._version() == 0:  # nobody else has made it meanwhile
                    for statement in _SCHEMA:
                        self._connection.execute(statement)
                    self._connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
        version = self._version()
        if version == 0:
            raise LibraryError(f"{self._file}: is empty; add recordings to the library first")
        if version > FORMAT_VERSION:
            raise LibraryError(
                f"{self._file}: has format {version}, made by a newer earprint than this one, "
                f"which knows {FORMAT_VERSION}; upgrade earprint"
            )

    def _version(self) -> int:
        return int(self._connection.execute("PRAGMA user_version").fetchone()[0])

    # Errors and transactions

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        """Hold the lock; turn SQLite's errors into ours."""
        with self._lock:
            try:
                yield
            except sqlite3.ProgrammingError as error:
                raise LibraryError(f"{self._file}: is closed; open the library again") from error
            except sqlite3.OperationalError as error:
                raise LibraryError(
                    f"{self._file}: {error}; check that the folder can be written and has room"
                ) from error
            except sqlite3.Error as error:
                raise LibraryError(
                    f"{self._file}: is no catalogue or is damaged ({error}); restore it from a copy"
                ) from error

    @contextmanager
    def _transaction(self, kind: str = "IMMEDIATE") -> Iterator[None]:
        self._connection.execute(f"BEGIN {kind}")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    # Reading

    def data_version(self) -> int:
        """Return a number that changes whenever another connection has changed the catalogue."""
        with self._reporting():
            return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def meta(self) -> dict[str, str]:
        """Return the facts about the whole library, by name."""
        with self._reporting():
            return dict(self._connection.execute("SELECT key, value FROM meta").fetchall())

    def live(self) -> tuple[list[StoredTrack], dict[int, Segment]]:
        """Return the live tracks in the order of their vectors, and all segments, of one moment."""
        with self._reporting(), self._transaction("DEFERRED"):
            rows = self._connection.execute(
                f"SELECT {_TRACK}, segment_id, first_row, n_rows FROM tracks "
                "WHERE removed_at IS NULL ORDER BY segment_id, first_row"
            ).fetchall()
            found = self._connection.execute(
                "SELECT id, file, rows, dim, checksum FROM segments ORDER BY id"
            ).fetchall()
        tracks = [StoredTrack(Track(*row[:-3]), *row[-3:]) for row in rows]
        return tracks, {row[0]: Segment(*row) for row in found}

    def live_hashes(self) -> set[str]:
        """Return the content hashes of the live tracks."""
        with self._reporting():
            rows = self._connection.execute("SELECT content_hash FROM tracks WHERE removed_at IS NULL")
            return {row[0] for row in rows}

    def segment_files(self) -> set[str]:
        """Return the names of all segments' files."""
        with self._reporting():
            return {row[0] for row in self._connection.execute("SELECT file FROM segments")}

    def removed_count(self) -> int:
        """Return how many tracks have been removed."""
        with self._reporting():
            query = "SELECT count(*) FROM tracks WHERE removed_at IS NOT NULL"
            return int(self._connection.execute(query).fetchone()[0])

    def find(self, column: str, value: str | int) -> list[Track]:
        """Return the live tracks with this ``id``, ``path``, ``title`` or ``content_hash``."""
        if column not in {"id", "path", "title", "content_hash"}:
            raise ValueError(f"tracks are not found by {column}")
        with self._reporting():
            rows = self._connection.execute(
                f"SELECT {_TRACK} FROM tracks WHERE {column} = ? AND removed_at IS NULL ORDER BY id",
                (value,),
            )
            return [Track(*row) for row in rows]

    def check(self) -> None:
        """Let SQLite check the whole file.

        Raises
        ------
        LibraryError
            If it is damaged.
        """
        with self._reporting():
            finding = self._connection.execute("PRAGMA integrity_check").fetchone()[0]
        if finding != "ok":
            first = str(finding).splitlines()[0]
            raise LibraryError(f"{self._file}: is damaged ({first}); restore it from a copy")

    # Writing; the caller holds the library's writer lock

    def set_meta(self, facts: dict[str, str]) -> None:
        """Enter facts about the whole library that are not there yet."""
        with self._reporting(), self._transaction():
            self._connection.executemany(
                "INSERT OR IGNORE INTO meta (key, value) VALUES (?, ?)", facts.items()
            )

    def next_segment_id(self) -> int:
        """Return the number for the next segment."""
        with self._reporting():
            query = "SELECT coalesce(max(id), 0) + 1 FROM segments"
            return int(self._connection.execute(query).fetchone()[0])

    def enter(
        self, segment: Segment, tracks: Sequence[NewTrack], model_id: str
    ) -> tuple[list[Track], list[Track]]:
        """Enter a segment and its tracks; a new track replaces a live one of the same path.

        Returns
        -------
        added, replaced : list of Track
        """
        now = timestamp()
        added: list[Track] = []
        replaced: list[Track] = []
        with self._reporting(), self._transaction():
            self._connection.execute(
                "INSERT INTO segments (id, file, rows, dim, checksum, created_at) VALUES (?, ?, ?, ?, ?, ?)",
                (segment.id, segment.file, segment.rows, segment.dim, segment.checksum, now),
            )
            first_row = 0
            for new in tracks:
                if new.path is not None:
                    old = self.find("path", new.path)
                    self._mark_removed(old, now)
                    replaced += old
                values = (new.path, new.title, new.artist, new.album, new.duration_s)
                cursor = self._connection.execute(
                    "INSERT INTO tracks (path, title, artist, album, duration_s, content_hash, "
                    "added_at, model_id, segment_id, first_row, n_rows) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (*values, new.content_hash, now, model_id, segment.id, first_row, new.n_rows),
                )
                assert cursor.lastrowid is not None
                added.append(Track(cursor.lastrowid, *values, new.content_hash, now))
                first_row += new.n_rows
        return added, replaced

    def remove(self, tracks: Sequence[Track]) -> None:
        """Mark tracks as removed."""
        with self._reporting(), self._transaction():
            self._mark_removed(tracks, timestamp())

    def _mark_removed(self, tracks: Sequence[Track], now: str) -> None:
        self._connection.executemany(
            "UPDATE tracks SET removed_at = ? WHERE id = ?", [(now, track.id) for track in tracks]
        )


def timestamp() -> str:
    """Return the present moment, ISO 8601, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def path_text(path: str | os.PathLike[str]) -> str:
    """Return the absolute path as `storable` text."""
    return storable(os.path.abspath(os.fspath(path)))  # noqa: PTH100 - resolves no links, unlike Path.resolve


def storable(text: str) -> str:
    r"""Return text that SQLite and JSON can hold: bytes that are no Unicode become ``\udc..`` escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
