"""Compaction: small segments are merged, and the fingerprints of removed tracks are deleted from the disk.

A group of segments is copied into one new segment. When that is on the disk, one transaction moves the
tracks to it and drops the old segments from the catalogue. Then the old files are deleted. A kill at
any moment leaves the old state or the new one, and at most files that the next writer deletes. Readers keep
the old files that they have mapped. Damaged segments are not rewritten, so that damage never gets a new
checksum.
"""

from collections.abc import Collection, Mapping

from earprint.store.catalogue import Snapshot
from earprint.store.relocation import Placement, drop_unused_segments, relocate
from earprint.store.results import CompactReport
from earprint.store.segments import Segment, checksum_of, open_segment, segment_damage
from earprint.store.store import Settings, Store


def compact(store: Store, *, thorough: bool = True) -> CompactReport:
    """Merge small segments and drop the rows of removed tracks; the caller holds the writer lock.

    Parameters
    ----------
    store : Store
    thorough : bool
        Do all there is to do. Otherwise only what saves enough time or space, see ``many_small`` and
        ``mostly_removed`` of `Settings`.

    Raises
    ------
    LibraryError
        If the disk is full or the folder cannot be written. What was done until then stays done.
    """
    catalogue, settings = store.catalogue, store.settings
    before, live = catalogue.usage()
    after, left = before, dict[int, str]()
    while group := next_group(after, live, left.keys(), settings, thorough=thorough):
        snapshot = catalogue.snapshot()
        damage = {
            number: segment_damage(store.segments_folder, snapshot.segments[number]) for number in group
        }
        found = {number: cause for number, cause in damage.items() if cause is not None}
        if found:
            left |= found
            continue
        _rewrite(store, snapshot, group)
        store.delete_unused_files()
        after, live = catalogue.usage()
    if after.keys() - live.keys():
        drop_unused_segments(catalogue)
        store.delete_unused_files()
        after, _ = catalogue.usage()
    dropped, freed = (x - y for x, y in zip(_rows_and_bytes(before), _rows_and_bytes(after), strict=True))
    return CompactReport(len(before), len(after), dropped, freed, list(left.values()))


def is_worthwhile(store: Store) -> bool:
    """Whether a compaction that is not thorough has work to do; as fast in a library of any size."""
    segments, live = store.catalogue.usage_by_removal()
    return any(rows <= 0 for rows in live.values()) or bool(
        next_group(segments, live, (), store.settings, thorough=False)
    )


def next_group(
    segments: Mapping[int, Segment],
    live: Mapping[int, int],
    left: Collection[int],
    settings: Settings,
    *,
    thorough: bool,
) -> list[int]:
    """Choose the segments to copy into the next new one.

    Parameters
    ----------
    segments : mapping of int to Segment
    live : mapping of int to int
        Rows of live tracks, by segment.
    left : collection of int
        Segments not to copy.
    settings : Settings
    thorough : bool
        See `compact`.

    Returns
    -------
    list of int
        Numbers of segments; empty if there is nothing worth doing.
    """
    usable = [s for s in segments.values() if s.id not in left and live.get(s.id)]
    most = max((settings.rows_of_segment(s.width * s.dtype.itemsize) for s in usable), default=1)
    small = {s.id for s in usable if live[s.id] < most // 2}
    if not thorough and len(small) < settings.many_small:
        small = set()
    least = 0.0 if thorough else settings.mostly_removed
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


def _rewrite(store: Store, snapshot: Snapshot, group: list[int]) -> None:
    """Copy the live rows of some segments into one new segment."""
    tracks = [track for track in snapshot.tracks if track.segment_id in group]
    opened = {number: open_segment(store.segments_folder, snapshot.segments[number]) for number in group}
    parts = [track.rows_in(opened[track.segment_id]) for track in tracks]
    placements = [
        Placement(track.track.id, track.n_rows, checksum_of(part))
        for track, part in zip(tracks, parts, strict=True)
    ]
    relocate(store.catalogue, store.write_segment(parts), placements)


def _rows_and_bytes(segments: Mapping[int, Segment]) -> tuple[int, int]:
    return sum(s.rows for s in segments.values()), sum(s.size_bytes for s in segments.values())
