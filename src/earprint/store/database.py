"""The catalogue's SQLite file: opening, transactions, errors.

SQLite runs in write-ahead mode: readers see the last committed state, never wait for a writer and never
block one. Every commit is flushed to the disk before it is acknowledged (``synchronous = FULL``).
"""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from earprint.errors import LibraryError

FORMAT_VERSION = 2
"""Newest version of the library's layout on disk, in SQLite's ``user_version``; see docs/library.md.

1: fingerprints in half precision. 2: compact fingerprints, codes of a codebook.
"""

OLDEST_FORMAT = 1
"""Version of a new library. It rises only if the content needs it, so that older programs can read it."""

FILE_NAME = "catalogue.sqlite"

BUSY_S = 10.0
"""Seconds to wait for another connection's commit."""


class Database:
    """An open SQLite file of a library; safe to use from several threads.

    Parameters
    ----------
    folder : Path
        The library's folder, which must exist.
    create : bool
        Make the file if there is none.
    schema : sequence of str
        Statements that make a new file's tables.

    Raises
    ------
    LibraryError
        If there is no file, or it cannot be read, or a newer version made it.
    """

    def __init__(self, folder: Path, *, create: bool, schema: Sequence[str]) -> None:
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
                self._prepare(schema if create else ())
            except BaseException:
                self._connection.close()
                raise

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    # Opening

    def _connect(self, *, create: bool) -> sqlite3.Connection:
        """Open the file; as an immutable file if the folder cannot be written."""
        connection = self._open("rwc" if create else "rw")
        try:
            connection.execute("PRAGMA user_version").fetchone()
        except sqlite3.OperationalError as error:
            connection.close()
            refused = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
            # The low byte is the primary code; the rest is the extended code.
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

    def _prepare(self, schema: Sequence[str]) -> None:
        self._connection.execute("PRAGMA foreign_keys = ON")
        self._connection.execute("PRAGMA synchronous = FULL")
        if schema and self._version() == 0:
            self._connection.execute("PRAGMA journal_mode = WAL")
            with self._transaction():
                if self._version() == 0:  # no other process has made it meanwhile
                    for statement in schema:
                        self._connection.execute(statement)
                    self._connection.execute(f"PRAGMA user_version = {OLDEST_FORMAT}")
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
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Give the connection for several queries about the same moment."""
        with self._reporting(), self._transaction("DEFERRED"):
            yield self._connection

    @contextmanager
    def changing(self) -> Iterator[sqlite3.Connection]:
        """Give the connection for a change that is made completely or not at all.

        The caller holds the library's writer lock.
        """
        with self._reporting(), self._transaction():
            yield self._connection

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        """Hold the lock; turn errors of SQLite into `LibraryError`."""
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
            self._connection.execute("COMMIT")
        except BaseException:
            # On a full disk SQLite may have rolled back by itself.
            if self._connection.in_transaction:
                with suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
            raise

    # Facts

    def format_version(self) -> int:
        """Return the version of this library's layout."""
        with self._reporting():
            return self._version()

    def data_version(self) -> tuple[int, int]:
        """Return two numbers, one of which changes with every commit of this or another connection.

        SQLite's ``data_version`` changes with the commits of other connections; ``total_changes`` counts the
        rows that this one has changed.
        """
        with self._reporting():
            others = int(self._connection.execute("PRAGMA data_version").fetchone()[0])
            return others, self._connection.total_changes

    def check(self) -> None:
        """Let SQLite check the whole file.

        Raises
        ------
        LibraryError
            If it is damaged.
        """
        with self._reporting():
            finding = self._connection.execute("PRAGMA integrity_check").fetchone()[0]
            dangling = self._connection.execute("PRAGMA foreign_key_check").fetchall()
        if finding == "ok" and dangling:
            finding = f"{len(dangling)} rows of {dangling[0][0]} refer to nothing"
        if finding != "ok":
            first = str(finding).splitlines()[0]
            raise LibraryError(f"{self._file}: is damaged ({first}); restore it from a copy")
