"""The state of a rebuild: new fingerprints gather in segments that only the tables ``rebuild_...`` name.

The library's own tables keep the old fingerprints until `switch` replaces them in one transaction. An
interrupted rebuild leaves its state for the next one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from earprint.quantization.storage import Stored
from earprint.store.relocation import Placement, place, remember_last_segment
from earprint.store.schema import enter_segment, has_table, mark_format
from earprint.store.segments import Segment, checksum_of, segment_damage
from earprint.store.store import Store

_TABLES = (
    """CREATE TABLE IF NOT EXISTS rebuild_segments (
        id INTEGER PRIMARY KEY, file TEXT NOT NULL UNIQUE, rows INTEGER NOT NULL,
        dim INTEGER NOT NULL, checksum TEXT NOT NULL, created_at TEXT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS rebuild_tracks (
        track_id INTEGER PRIMARY KEY, segment_id INTEGER NOT NULL, first_row INTEGER NOT NULL,
        n_rows INTEGER NOT NULL, duration_s REAL NOT NULL, checksum TEXT NOT NULL)""",
)


@dataclass(frozen=True)
class RebuiltTrack:
    """New rows, shape (n_rows, width), of a known track, and the length of its audio in seconds."""

    track_id: int
    duration_s: float
    rows: Stored


def begin(store: Store, facts: dict[str, str]) -> set[int]:
    """Begin a rebuild, or resume an earlier one with the same facts.

    Parameters
    ----------
    store : Store
    facts : dict of str to str
        Model and storage of the new fingerprints, as the library's ``meta`` holds them.

    Returns
    -------
    set of int
        Tracks that have intact new fingerprints already.
    """
    wanted = {f"rebuild_{key}": value for key, value in facts.items()}
    with store.catalogue.changing() as connection:
        meta = dict(connection.execute("SELECT key, value FROM meta").fetchall())
        for statement in _TABLES:
            connection.execute(statement)
        if not wanted.items() <= meta.items():
            connection.execute("DELETE FROM rebuild_segments")
            connection.execute("DELETE FROM rebuild_tracks")
            connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", wanted.items())
    _drop_damaged(store)
    with store.catalogue.reading() as connection:
        return {row[0] for row in connection.execute("SELECT track_id FROM rebuild_tracks")}


def keep(store: Store, batch: Sequence[RebuiltTrack]) -> None:
    """Store a batch of new fingerprints as a segment of the rebuild."""
    segment = store.write_segment([track.rows for track in batch])
    with store.catalogue.changing() as connection:
        enter_segment(connection, segment, "rebuild_segments")
        first_row = 0
        for track in batch:
            connection.execute(
                "INSERT INTO rebuild_tracks VALUES (?, ?, ?, ?, ?, ?)",
                (
                    track.track_id,
                    segment.id,
                    first_row,
                    len(track.rows),
                    track.duration_s,
                    checksum_of(track.rows),
                ),
            )
            first_row += len(track.rows)


def switch(store: Store, facts: dict[str, str]) -> None:
    """Replace the library's fingerprints by those of the rebuild, in one transaction, and end the rebuild.

    Tracks without new fingerprints are deleted.
    """
    with store.catalogue.changing() as connection:
        assert has_table(connection, "rebuild_segments")
        connection.execute("INSERT INTO segments SELECT * FROM rebuild_segments")
        made = connection.execute(
            "SELECT track_id, segment_id, first_row, n_rows, checksum, duration_s FROM rebuild_tracks"
        ).fetchall()
        for number, segment_id, first_row, n_rows, checksum, duration_s in made:
            place(connection, Placement(number, n_rows, checksum), segment_id, first_row)
            connection.execute(
                "UPDATE tracks SET model_id = ?, duration_s = ? WHERE id = ?",
                (facts["model_id"], duration_s, number),
            )
        connection.execute("DELETE FROM tracks WHERE segment_id NOT IN (SELECT id FROM rebuild_segments)")
        connection.execute("DELETE FROM segments WHERE id NOT IN (SELECT id FROM rebuild_segments)")
        connection.execute("DELETE FROM track_checks WHERE track_id NOT IN (SELECT id FROM tracks)")
        remember_last_segment(connection)
        connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", facts.items())
        connection.execute("DELETE FROM meta WHERE key LIKE 'rebuild\\_%' ESCAPE '\\'")
        connection.execute("DROP TABLE rebuild_segments")
        connection.execute("DROP TABLE rebuild_tracks")
        mark_format(connection)
    store.delete_unused_files()


def discard(store: Store) -> bool:
    """Delete the state and the files of an unfinished rebuild; return whether there was one."""
    begun = unfinished(store) is not None
    with store.catalogue.changing() as connection:
        for table in ("rebuild_segments", "rebuild_tracks"):
            connection.execute(f"DROP TABLE IF EXISTS {table}")
        connection.execute("DELETE FROM meta WHERE key LIKE 'rebuild\\_%' ESCAPE '\\'")
    store.delete_unused_files()
    return begun


def unfinished(store: Store) -> str | None:
    """Return the model of an unfinished rebuild; None if there is none."""
    return store.catalogue.meta().get("rebuild_model_id")


def _drop_damaged(store: Store) -> None:
    """Forget segments of an earlier run that are damaged."""
    with store.catalogue.reading() as connection:
        found = connection.execute("SELECT id, file, rows, dim, checksum FROM rebuild_segments").fetchall()
    bad = [(row[0],) for row in found if segment_damage(store.segments_folder, Segment(*row)) is not None]
    if bad:
        with store.catalogue.changing() as connection:
            connection.executemany("DELETE FROM rebuild_tracks WHERE segment_id = ?", bad)
            connection.executemany("DELETE FROM rebuild_segments WHERE id = ?", bad)
