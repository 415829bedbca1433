"""The catalogue: which tracks a library holds and where their fingerprints lie, in one SQLite file.

One transaction enters a segment together with its tracks. A removed track keeps its entry, with the time of
removal, until its fingerprints are deleted from the disk. Its content may be added again, as a new track.
Numbers of tracks and segments are never used twice.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from earprint.quantization.storage import Stored
from earprint.store.database import Database
from earprint.store.results import Track
from earprint.store.schema import (
    CHECKS,
    REMOVED,
    SCHEMA,
    enter_segment,
    has,
    has_table,
    note,
    segments_of,
    timestamp,
)
from earprint.store.segments import Segment, checksum_of

_TRACK = "id, path, title, artist, album, duration_s, content_hash, added_at"


@dataclass(frozen=True)
class NewTrack:
    """A track to be entered.

    Its ``n_rows`` rows follow those of the previous track of its segment. ``checksum`` is the checksum of
    these rows, see `earprint.store.segments.checksum_of`; for the other attributes see `Track`.
    """

    path: str | None
    title: str
    artist: str | None
    album: str | None
    duration_s: float
    content_hash: str
    n_rows: int
    checksum: str | None = None


@dataclass(frozen=True, slots=True)
class StoredTrack:
    """A live track and the place of its rows.

    Attributes
    ----------
    track : Track
    segment_id : int
    first_row, n_rows : int
        Its rows within the segment.
    checksum : str or None
        Of these rows; None in early libraries.
    damage : str or None
        One line, if the rows are known to be damaged.
    """

    track: Track
    segment_id: int
    first_row: int
    n_rows: int
    checksum: str | None = None
    damage: str | None = None

    @property
    def stop_row(self) -> int:
        """The row after the last one, within the segment."""
        return self.first_row + self.n_rows

    def rows_in(self, segment: Stored) -> Stored:
        """Return the track's rows, shape (n_rows, width), of all rows of its segment, shape (rows, width)."""
        return segment[self.first_row : self.stop_row]

    def is_intact(self, segment: Stored) -> bool:
        """Whether the track's rows match their checksum; False if there is no checksum.

        Parameters
        ----------
        segment : ndarray of float16 or uint8, shape (rows, width)
            All rows of its segment.
        """
        return self.checksum is not None and checksum_of(self.rows_in(segment)) == self.checksum


@dataclass(frozen=True)
class Snapshot:
    """The catalogue at one moment.

    Attributes
    ----------
    tracks : list of StoredTrack
        Live tracks, ordered by segment and first row.
    segments : dict of int to Segment
        All segments by number.
    meta : dict of str to str
        Facts about the library: model, dimension, hop, storage.
    """

    tracks: list[StoredTrack]
    segments: dict[int, Segment]
    meta: dict[str, str]


class Catalogue(Database):
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
        super().__init__(folder, create=create, schema=SCHEMA)

    # Reading

    def meta(self) -> dict[str, str]:
        """Return the facts about the library, by name."""
        with self._reporting():
            return dict(self._connection.execute("SELECT key, value FROM meta").fetchall())

    def snapshot(self) -> Snapshot:
        """Return live tracks, segments and facts of one moment."""
        with self.reading() as connection:
            checks = ("checksum, damage", "LEFT JOIN track_checks ON track_id = id")
            columns, join = checks if has_table(connection, "track_checks") else ("NULL, NULL", "")
            rows = connection.execute(
                f"SELECT {_TRACK}, segment_id, first_row, n_rows, {columns} FROM tracks {join} "
                "WHERE removed_at IS NULL ORDER BY segment_id, first_row"
            ).fetchall()
            segments = segments_of(connection)
            meta = connection.execute("SELECT key, value FROM meta").fetchall()
        tracks = [StoredTrack(Track(*row[:-5]), *row[-5:]) for row in rows]
        return Snapshot(tracks, segments, dict(meta))

    def usage(self) -> tuple[dict[int, Segment], dict[int, int]]:
        """Return all segments, and the number of live rows of each segment that has live tracks.

        Much faster than a `snapshot` of a library with many tracks.
        """
        with self.reading() as connection:
            segments = segments_of(connection)
            live = connection.execute(
                "SELECT segment_id, sum(n_rows) FROM tracks WHERE removed_at IS NULL GROUP BY segment_id"
            ).fetchall()
        return segments, dict(live)

    def usage_by_removal(self) -> tuple[dict[int, Segment], dict[int, int]]:
        """Return an estimate of `usage` from the removed tracks only; as fast with any number of tracks.

        Rows that belong to no track count as live; a repair may leave such rows.
        """
        with self.reading() as connection:
            segments = segments_of(connection)
            removed = connection.execute(
                "SELECT segment_id, sum(n_rows) FROM tracks WHERE removed_at IS NOT NULL GROUP BY segment_id"
            ).fetchall()
        gone = dict(removed)
        return segments, {s.id: s.rows - gone.get(s.id, 0) for s in segments.values()}

    def live_hashes(self) -> set[str]:
        """Return the content hashes of the live tracks."""
        with self._reporting():
            rows = self._connection.execute("SELECT content_hash FROM tracks WHERE removed_at IS NULL")
            return {row[0] for row in rows}

    def holds(self, content_hash: str) -> bool:
        """Whether a live track has this content."""
        with self._reporting():
            query = "SELECT 1 FROM tracks WHERE content_hash = ? AND removed_at IS NULL"
            return self._connection.execute(query, (content_hash,)).fetchone() is not None

    def segment_files(self) -> set[str]:
        """Return the file names of all segments, including those of an unfinished rebuild."""
        with self.reading() as connection:
            names = connection.execute("SELECT file FROM segments").fetchall()
            if has_table(connection, "rebuild_segments"):
                names += connection.execute("SELECT file FROM rebuild_segments").fetchall()
        return {row[0] for row in names}

    def removed_count(self) -> int:
        """Return the number of removed tracks whose fingerprints are still on the disk."""
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

    def next_segment_id(self) -> int:
        """Return the number of the next segment; no segment has had it before."""
        with self.reading() as connection:
            query = (
                "SELECT max(coalesce((SELECT max(id) FROM segments), 0), "
                "coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'last_segment_id'), 0))"
            )
            last = int(connection.execute(query).fetchone()[0])
            if has_table(connection, "rebuild_segments"):
                query = "SELECT coalesce(max(id), 0) FROM rebuild_segments"
                last = max(last, int(connection.execute(query).fetchone()[0]))
        return last + 1

    # Writing; the caller holds the library's writer lock

    def upgrade(self) -> None:
        """Make the tables and indexes that earlier libraries of this format lack."""
        with self._reporting():
            for kind, name, statement in (("table", "track_checks", CHECKS), ("index", "removed", REMOVED)):
                if not has(self._connection, kind, name):
                    with self._transaction():
                        self._connection.execute(statement)

    def set_meta(self, facts: dict[str, str]) -> None:
        """Enter facts about the library that are not there yet."""
        with self.changing() as connection:
            note(connection, facts)

    def enter(
        self, segment: Segment, tracks: Sequence[NewTrack], model_id: str
    ) -> tuple[list[Track], list[Track]]:
        """Enter a segment and its tracks; a new track replaces a live one of the same path.

        Returns
        -------
        added, replaced : list of Track
        """
        return self.enter_all([(segment, tracks)], model_id)

    def enter_all(
        self,
        batches: Sequence[tuple[Segment, Sequence[NewTrack]]],
        model_id: str,
        facts: dict[str, str] | None = None,
    ) -> tuple[list[Track], list[Track]]:
        """Enter several segments, all or none, and facts that are not there yet; see `enter`."""
        now = timestamp()
        added: list[Track] = []
        replaced: list[Track] = []
        with self.changing() as connection:
            note(connection, facts or {})
            for segment, tracks in batches:
                enter_segment(connection, segment)
                first_row = 0
                for new in tracks:
                    if new.path is not None:
                        old = self.find("path", new.path)
                        self._mark_removed(old, now)
                        replaced += old
                    added.append(self._enter_track(connection, new, segment.id, first_row, model_id, now))
                    first_row += new.n_rows
        return added, replaced

    def _enter_track(
        self,
        connection: sqlite3.Connection,
        new: NewTrack,
        segment_id: int,
        first_row: int,
        model_id: str,
        now: str,
    ) -> Track:
        values = (new.path, new.title, new.artist, new.album, new.duration_s, new.content_hash, now)
        cursor = connection.execute(
            "INSERT INTO tracks (path, title, artist, album, duration_s, content_hash, added_at, "
            "model_id, segment_id, first_row, n_rows) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*values, model_id, segment_id, first_row, new.n_rows),
        )
        assert cursor.lastrowid is not None
        if new.checksum is not None:
            connection.execute(
                "INSERT OR REPLACE INTO track_checks VALUES (?, ?, NULL)", (cursor.lastrowid, new.checksum)
            )
        return Track(cursor.lastrowid, *values)

    def remove(self, tracks: Sequence[Track]) -> None:
        """Mark tracks as removed."""
        with self.changing():
            self._mark_removed(tracks, timestamp())

    def _mark_removed(self, tracks: Sequence[Track], now: str) -> None:
        self._connection.executemany(
            "UPDATE tracks SET removed_at = ? WHERE id = ?", [(now, track.id) for track in tracks]
        )
