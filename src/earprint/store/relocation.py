"""Giving live tracks new vectors in a new segment, and forgetting segments that nobody needs.

This is what compaction, repair and a finished rebuild have in common: the tracks stay, with their numbers,
titles and dates; only the place of their vectors changes, in one transaction.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from earprint.store.catalogue import Catalogue
from earprint.store.schema import enter_segment
from earprint.store.segments import Segment


@dataclass(frozen=True)
class Placement:
    """The vectors of a track that the catalogue has; they follow the previous placement's in the segment.

    ``checksum`` is that of the vectors, see `earprint.store.segments.checksum_of`.
    """

    track_id: int
    n_rows: int
    checksum: str


def relocate(catalogue: Catalogue, segment: Segment, placements: Sequence[Placement]) -> None:
    """Enter a written segment as the new place of its tracks, and forget segments without live tracks."""
    with catalogue.changing() as connection:
        enter_segment(connection, segment)
        first_row = 0
        for placement in placements:
            place(connection, placement, segment.id, first_row)
            first_row += placement.n_rows
        _forget_unneeded(connection)


def forget_unneeded(catalogue: Catalogue) -> None:
    """Forget segments without live tracks, and the removed tracks that were in them."""
    with catalogue.changing() as connection:
        _forget_unneeded(connection)


def place(connection: sqlite3.Connection, placement: Placement, segment_id: int, first_row: int) -> None:
    """Say within a transaction where a track's vectors are now."""
    connection.execute(
        "UPDATE tracks SET segment_id = ?, first_row = ?, n_rows = ? WHERE id = ?",
        (segment_id, first_row, placement.n_rows, placement.track_id),
    )
    connection.execute(
        "INSERT OR REPLACE INTO track_checks VALUES (?, ?, NULL)", (placement.track_id, placement.checksum)
    )


def _forget_unneeded(connection: sqlite3.Connection) -> None:
    live = "SELECT segment_id FROM tracks WHERE removed_at IS NULL"
    remember_last_segment(connection)
    connection.execute(f"DELETE FROM tracks WHERE segment_id NOT IN ({live})")
    connection.execute(f"DELETE FROM segments WHERE id NOT IN ({live})")
    connection.execute("DELETE FROM track_checks WHERE track_id NOT IN (SELECT id FROM tracks)")


def remember_last_segment(connection: sqlite3.Connection) -> None:
    """Note the largest segment number within a transaction, so that it is not used again."""
    query = (
        "SELECT max(coalesce((SELECT max(id) FROM segments), 0), "
        "coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'last_segment_id'), 0))"
    )
    last = connection.execute(query).fetchone()[0]
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('last_segment_id', ?)", (str(last),))


def mark_damage(catalogue: Catalogue, damage: dict[int, str], checked: Iterable[int]) -> None:
    """Note which tracks are damaged and how, and that the others of those checked are not."""
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
