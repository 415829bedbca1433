"""Relocation: live tracks get rows in a new segment, and the catalogue drops segments without live tracks.

Compaction, repair and a finished rebuild share this. The tracks keep their numbers, titles and dates. Only
the place of their rows changes, in one transaction.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from earprint.store.catalogue import Catalogue
from earprint.store.schema import enter_segment
from earprint.store.segments import Segment


@dataclass(frozen=True)
class Placement:
    """New rows of a known track; in the segment they follow those of the previous placement.

    ``checksum`` is the checksum of the rows, see `earprint.store.segments.checksum_of`.
    """

    track_id: int
    n_rows: int
    checksum: str


def relocate(catalogue: Catalogue, segment: Segment, placements: Sequence[Placement]) -> None:
    """Enter a segment as the new place of its tracks, and drop segments without live tracks."""
    with catalogue.changing() as connection:
        enter_segment(connection, segment)
        first_row = 0
        for placement in placements:
            place(connection, placement, segment.id, first_row)
            first_row += placement.n_rows
        _drop_unused_segments(connection)


def drop_unused_segments(catalogue: Catalogue) -> None:
    """Forget segments without live tracks, and the removed tracks that were in them."""
    with catalogue.changing() as connection:
        _drop_unused_segments(connection)


def place(connection: sqlite3.Connection, placement: Placement, segment_id: int, first_row: int) -> None:
    """Set the place of a track's rows, within a transaction."""
    connection.execute(
        "UPDATE tracks SET segment_id = ?, first_row = ?, n_rows = ? WHERE id = ?",
        (segment_id, first_row, placement.n_rows, placement.track_id),
    )
    connection.execute(
        "INSERT OR REPLACE INTO track_checks VALUES (?, ?, NULL)", (placement.track_id, placement.checksum)
    )


def _drop_unused_segments(connection: sqlite3.Connection) -> None:
    live = "SELECT segment_id FROM tracks WHERE removed_at IS NULL"
    remember_last_segment(connection)
    connection.execute(f"DELETE FROM tracks WHERE segment_id NOT IN ({live})")
    connection.execute(f"DELETE FROM segments WHERE id NOT IN ({live})")
    connection.execute("DELETE FROM track_checks WHERE track_id NOT IN (SELECT id FROM tracks)")


def remember_last_segment(connection: sqlite3.Connection) -> None:
    """Store the largest segment number, within a transaction, so that it is not used again."""
    query = (
        "SELECT max(coalesce((SELECT max(id) FROM segments), 0), "
        "coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'last_segment_id'), 0))"
    )
    last = connection.execute(query).fetchone()[0]
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('last_segment_id', ?)", (str(last),))


def mark_damage(catalogue: Catalogue, damage: dict[int, str], checked: Iterable[int]) -> None:
    """Store the damage of tracks, and that the other checked tracks are intact."""
    with catalogue.changing() as connection:
        connection.executemany(
            "UPDATE track_checks SET damage = NULL WHERE track_id = ? AND damage IS NOT NULL",
            [(number,) for number in checked if number not in damage],
        )
        connection.executemany(
            "INSERT INTO track_checks VALUES (?, NULL, ?) "
            "ON CONFLICT (track_id) DO UPDATE SET damage = excluded.damage",
            list(damage.items()),
        )
