"""Rebuild: a library's fingerprints are made again from the files, by another model or the same.

The new vectors gather beside the old ones, in segments that only the tables ``rebuild_...`` of the catalogue
name; the library goes on answering with the old ones. When every track has new vectors, one transaction
switches all of them over. An interrupted rebuild resumes: what it had made is kept until a rebuild with
another model begins or this one is given up. Tracks that were added or removed meanwhile are seen.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from earprint.encoders.base import Encoder
from earprint.errors import LibraryError
from earprint.library.encoding_pool import EncodesFiles
from earprint.library.progress import OnEvent
from earprint.library.reencode import Recomputed, recompute
from earprint.library.reports import RebuildReport
from earprint.quantization.storage import Storage
from earprint.store.catalogue import Catalogue
from earprint.store.relocation import Placement, place, remember_last_segment
from earprint.store.schema import enter_segment, has_table, mark_format
from earprint.store.segments import (
    Segment,
    checksum_of,
    delete_strays,
    segment_damage,
    write_segment,
)

_TABLES = (
    """CREATE TABLE IF NOT EXISTS rebuild_segments (
        id INTEGER PRIMARY KEY, file TEXT NOT NULL UNIQUE, rows INTEGER NOT NULL,
        dim INTEGER NOT NULL, checksum TEXT NOT NULL, created_at TEXT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS rebuild_tracks (
        track_id INTEGER PRIMARY KEY, segment_id INTEGER NOT NULL, first_row INTEGER NOT NULL,
        n_rows INTEGER NOT NULL, duration_s REAL NOT NULL, checksum TEXT NOT NULL)""",
)


def rebuild(
    catalogue: Catalogue,
    folder: Path,
    *,
    encoder: Encoder,
    storage: Storage,
    drop_missing: bool,
    on_change: Callable[[], None],
    on_event: OnEvent | None = None,
    elsewhere: EncodesFiles | None = None,
) -> RebuildReport:
    """Make all fingerprints again; the caller holds the writer lock.

    Parameters
    ----------
    catalogue : Catalogue
    folder : Path
        Where the segments lie.
    encoder : Encoder
        Makes the new fingerprints.
    storage : Storage
        How they are to be stored.
    drop_missing : bool
        Remove tracks without a readable file of the same content; otherwise, if there are any, the library
        stays as it is, and what was made is kept for the next rebuild.
    on_change : callable
        Called after the switch, before the old files are deleted.
    on_event : callable, optional
        Told of every step, in this thread.
    elsewhere : EncodesFiles, optional
        Decodes and encodes the files in place of this process.

    Raises
    ------
    LibraryError
        If the library cannot be written, or no track at all could be made again.
    """
    _begin(catalogue, facts_of(encoder, storage))
    _drop_damaged(catalogue, folder)
    made = _made(catalogue)
    tracks = [stored.track for stored in catalogue.snapshot().tracks]

    def store(batch: Sequence[Recomputed]) -> None:
        segment = write_segment(folder, catalogue.next_segment_id(), [vectors for _, _, vectors in batch])
        _keep(catalogue, segment, batch)

    missing, warnings = recompute(
        [track for track in tracks if track.id not in made],
        encoder=encoder,
        storage=storage,
        store=store,
        on_event=on_event,
        elsewhere=elsewhere,
    )
    resumed = sum(track.id in made for track in tracks)
    rebuilt = len(tracks) - len(missing)
    switched = drop_missing or not missing
    if missing and drop_missing and not rebuilt:
        raise LibraryError(
            f"{folder.parent}: none of its files could be read, so nothing was dropped; see that the disk "
            "with the recordings is there"
        )
    if switched:
        _switch(catalogue, encoder, storage)
        on_change()
        delete_strays(folder, catalogue.segment_files())
    return RebuildReport(encoder.model_id, rebuilt, resumed, missing, switched, warnings)


def give_up(catalogue: Catalogue, folder: Path) -> bool:
    """Forget an unfinished rebuild and delete its files; tells whether there was one."""
    begun = unfinished(catalogue) is not None
    with catalogue.changing() as connection:
        for table in ("rebuild_segments", "rebuild_tracks"):
            connection.execute(f"DROP TABLE IF EXISTS {table}")
        connection.execute("DELETE FROM meta WHERE key LIKE 'rebuild\\_%' ESCAPE '\\'")
    delete_strays(folder, catalogue.segment_files())
    return begun


def unfinished(catalogue: Catalogue) -> str | None:
    """Return the model of an unfinished rebuild, if there is one."""
    return catalogue.meta().get("rebuild_model_id")


def facts_of(encoder: Encoder, storage: Storage) -> dict[str, str]:
    """Return what a library remembers of its model and storage."""
    return {
        "model_id": encoder.model_id,
        "dim": str(encoder.dim),
        "reference_hop_s": repr(encoder.reference_hop_s),
        "storage": storage.key,
    }


def _begin(catalogue: Catalogue, facts: dict[str, str]) -> None:
    """Make the tables, or go on with those of an earlier run with the same model."""
    wanted = {f"rebuild_{key}": value for key, value in facts.items()}
    with catalogue.changing() as connection:
        meta = dict(connection.execute("SELECT key, value FROM meta").fetchall())
        for statement in _TABLES:
            connection.execute(statement)
        if not wanted.items() <= meta.items():
            connection.execute("DELETE FROM rebuild_segments")
            connection.execute("DELETE FROM rebuild_tracks")
            connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", wanted.items())


def _drop_damaged(catalogue: Catalogue, folder: Path) -> None:
    """Forget segments of an earlier run that are not what was written."""
    with catalogue.reading() as connection:
        found = connection.execute("SELECT id, file, rows, dim, checksum FROM rebuild_segments").fetchall()
    bad = [(row[0],) for row in found if segment_damage(folder, Segment(*row)) is not None]
    if bad:
        with catalogue.changing() as connection:
            connection.executemany("DELETE FROM rebuild_tracks WHERE segment_id = ?", bad)
            connection.executemany("DELETE FROM rebuild_segments WHERE id = ?", bad)


def _made(catalogue: Catalogue) -> set[int]:
    """Numbers of the tracks that have new vectors already."""
    with catalogue.reading() as connection:
        return {row[0] for row in connection.execute("SELECT track_id FROM rebuild_tracks")}


def _keep(catalogue: Catalogue, segment: Segment, batch: Sequence[Recomputed]) -> None:
    """Note a batch of new vectors."""
    with catalogue.changing() as connection:
        enter_segment(connection, segment, "rebuild_segments")
        first_row = 0
        for track, new, vectors in batch:
            connection.execute(
                "INSERT INTO rebuild_tracks VALUES (?, ?, ?, ?, ?, ?)",
                (track.id, segment.id, first_row, len(vectors), new.duration_s, checksum_of(vectors)),
            )
            first_row += len(vectors)


def _switch(catalogue: Catalogue, encoder: Encoder, storage: Storage) -> None:
    """Have the library consist of the new vectors, in one transaction."""
    with catalogue.changing() as connection:
        assert has_table(connection, "rebuild_segments")
        connection.execute("INSERT INTO segments SELECT * FROM rebuild_segments")
        made = connection.execute(
            "SELECT track_id, segment_id, first_row, n_rows, checksum, duration_s FROM rebuild_tracks"
        ).fetchall()
        for number, segment_id, first_row, n_rows, checksum, duration_s in made:
            place(connection, Placement(number, n_rows, checksum), segment_id, first_row)
            connection.execute(
                "UPDATE tracks SET model_id = ?, duration_s = ? WHERE id = ?",
                (encoder.model_id, duration_s, number),
            )
        connection.execute("DELETE FROM tracks WHERE segment_id NOT IN (SELECT id FROM rebuild_segments)")
        connection.execute("DELETE FROM segments WHERE id NOT IN (SELECT id FROM rebuild_segments)")
        connection.execute("DELETE FROM track_checks WHERE track_id NOT IN (SELECT id FROM tracks)")
        remember_last_segment(connection)
        connection.executemany(
            "INSERT OR REPLACE INTO meta VALUES (?, ?)", facts_of(encoder, storage).items()
        )
        connection.execute("DELETE FROM meta WHERE key LIKE 'rebuild\\_%' ESCAPE '\\'")
        connection.execute("DROP TABLE rebuild_segments")
        connection.execute("DROP TABLE rebuild_tracks")
        mark_format(connection)
