"""Compaction: segments are merged, and the vectors of removed tracks leave the disk.

A group of segments is copied into one new segment, which is on the disk before one transaction gives the
tracks their new place and forgets the old segments; only then are the old files deleted. A kill at any moment
leaves either the old state or the new one, and at worst files that the next writer deletes. Readers that have
the old files mapped keep them. A damaged segment is left alone, so that damage never gets a fresh checksum.
"""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from earprint.library.reports import CompactReport
from earprint.store.catalogue import Catalogue, Snapshot
from earprint.store.relocation import Placement, forget_unneeded, relocate
from earprint.store.segments import (
    Segment,
    checksum_of,
    delete_strays,
    open_segment,
    segment_damage,
    write_segment,
)

SEGMENT_BYTES = 64 * 2**20
"""Size of a merged segment, at most, unless one track has more: a day of half precision, ten days compact.

Segments of less than half of it are merged; any two of them fit into one.
"""

MANY_SMALL = 16
"""Small segments that have adding merge them. A vector is copied few times whatever the library's size."""

MOSTLY_DEAD = 0.5
"""Share of vectors of removed tracks in a segment that has adding rewrite it."""


def compact(
    catalogue: Catalogue, folder: Path, *, on_change: Callable[[], None], thorough: bool = True
) -> CompactReport:
    """Merge small segments and drop vectors of removed tracks; the caller holds the writer lock.

    Parameters
    ----------
    catalogue : Catalogue
    folder : Path
        Where the segments lie.
    on_change : callable
        Called after each commit, before files are deleted.
    thorough : bool
        Do all there is to do; otherwise only what pays, see `MANY_SMALL` and `MOSTLY_DEAD`.

    Raises
    ------
    LibraryError
        If the disk is full or the folder cannot be written; what was done until then stays done.
    """
    before, live = catalogue.usage()
    after, left = before, dict[int, str]()
    while group := _next_group(after, live, left.keys(), thorough):
        snapshot = catalogue.snapshot()
        damage = {number: segment_damage(folder, snapshot.segments[number]) for number in group}
        found = {number: cause for number, cause in damage.items() if cause is not None}
        if found:
            left |= found
            continue
        _rewrite(catalogue, folder, snapshot, group)
        on_change()
        delete_strays(folder, catalogue.segment_files())
        after, live = catalogue.usage()
    if after.keys() - live.keys():
        forget_unneeded(catalogue)
        on_change()
        delete_strays(folder, catalogue.segment_files())
        after, _ = catalogue.usage()
    dropped, freed = (x - y for x, y in zip(_rows_and_bytes(before), _rows_and_bytes(after), strict=True))
    return CompactReport(len(before), len(after), dropped, freed, list(left.values()))


def rows_of_segment(row_bytes: int) -> int:
    """Rows of a merged segment, at most, by the size of a row in bytes."""
    return max(1, SEGMENT_BYTES // row_bytes)


def pays(catalogue: Catalogue) -> bool:
    """Tell whether there is something to do that pays, in the same time whatever the library's size."""
    segments, live = catalogue.usage_by_removal()
    return any(rows <= 0 for rows in live.values()) or bool(_next_group(segments, live, (), thorough=False))


def _next_group(
    segments: Mapping[int, Segment], live: Mapping[int, int], left: Collection[int], thorough: bool
) -> list[int]:
    """Choose segments, by their live rows, to copy into one; none if there is nothing worth doing."""
    usable = [s for s in segments.values() if s.id not in left and live.get(s.id)]
    most = max((rows_of_segment(s.width * s.dtype.itemsize) for s in usable), default=1)
    small = {s.id for s in usable if live[s.id] < most // 2}
    if not thorough and len(small) < MANY_SMALL:
        small = set()
    least = 0.0 if thorough else MOSTLY_DEAD
    dirty = {s.id for s in usable if (s.rows - live[s.id]) / s.rows > least}
    group: list[int] = []
    rows = 0
    for number in sorted(small | dirty):
        if group and rows + live[number] > most:
            if len(group) > 1 or group[0] in dirty:
                return group
            group, rows = [], 0
        group.append(number)
        rows += live[number]
    return group if len(group) > 1 or dirty.intersection(group) else []


def _rewrite(catalogue: Catalogue, folder: Path, snapshot: Snapshot, group: list[int]) -> None:
    """Copy the live vectors of some segments into one new segment."""
    tracks = [track for track in snapshot.tracks if track.segment_id in group]
    opened = {number: open_segment(folder, snapshot.segments[number]) for number in group}
    parts = [opened[t.segment_id][t.first_row : t.first_row + t.n_rows] for t in tracks]
    placements = [
        Placement(track.track.id, track.n_rows, checksum_of(part))
        for track, part in zip(tracks, parts, strict=True)
    ]
    relocate(catalogue, write_segment(folder, catalogue.next_segment_id(), parts), placements)


def _rows_and_bytes(segments: Mapping[int, Segment]) -> tuple[int, int]:
    return sum(s.rows for s in segments.values()), sum(s.size_bytes for s in segments.values())
