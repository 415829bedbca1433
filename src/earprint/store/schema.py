"""The catalogue's tables, and SQL statements that several modules need."""

import sqlite3
from datetime import UTC, datetime

from earprint.store.database import FORMAT_VERSION, OLDEST_FORMAT
from earprint.store.segments import Segment

REMOVED = """CREATE INDEX IF NOT EXISTS removed ON tracks (segment_id, n_rows) WHERE removed_at IS NOT NULL"""
"""Index of removed tracks whose rows are still on the disk; it avoids a scan of all tracks.

Earlier libraries lack it.
"""

CHECKS = """CREATE TABLE IF NOT EXISTS track_checks (
    track_id INTEGER PRIMARY KEY, checksum TEXT, damage TEXT)"""
"""Checksum of each track's rows, and their damage if any is known.

Earlier libraries of format 1 lack this table, and earlier programs ignore it.
"""

SCHEMA = (
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
    REMOVED,
    CHECKS,
)


def segments_of(connection: sqlite3.Connection) -> dict[int, Segment]:
    """Return all segments, by number."""
    rows = connection.execute("SELECT id, file, rows, dim, checksum FROM segments ORDER BY id").fetchall()
    return {row[0]: Segment(*row) for row in rows}


def note(connection: sqlite3.Connection, facts: dict[str, str]) -> None:
    """Enter facts about the library that are not there yet, within a transaction."""
    connection.executemany("INSERT OR IGNORE INTO meta (key, value) VALUES (?, ?)", facts.items())
    mark_format(connection)


def mark_format(connection: sqlite3.Connection) -> None:
    """Set the format version that the library's storage needs, within a transaction."""
    found = connection.execute("SELECT value FROM meta WHERE key = 'storage'").fetchone()
    version = OLDEST_FORMAT if found is None or found[0] == "half" else FORMAT_VERSION
    connection.execute(f"PRAGMA user_version = {version}")


def enter_segment(connection: sqlite3.Connection, segment: Segment, table: str = "segments") -> None:
    """Enter a segment within a transaction."""
    connection.execute(
        f"INSERT INTO {table} (id, file, rows, dim, checksum, created_at) VALUES (?, ?, ?, ?, ?, ?)",
        (segment.id, segment.file, segment.rows, segment.width, segment.checksum, timestamp()),
    )


def has_table(connection: sqlite3.Connection, name: str) -> bool:
    """Whether the catalogue has a table of this name."""
    return has(connection, "table", name)


def has(connection: sqlite3.Connection, kind: str, name: str) -> bool:
    """Whether the catalogue has a table or an index (``kind``) of this name."""
    query = "SELECT 1 FROM sqlite_master WHERE type = ? AND name = ?"
    return connection.execute(query, (kind, name)).fetchone() is not None


def timestamp() -> str:
    """Return the current time, ISO 8601, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
