"""Repair: damaged tracks are fingerprinted again from their files.

Intact tracks of a damaged segment move to a new segment. Damaged tracks are fingerprinted again if their
file still has the content that it was added with. Each batch is committed by itself, so that the next repair
continues one that was killed.
"""

from collections.abc import Sequence

from earprint.library.compatibility import LibraryModel
from earprint.library.encoding_pool import FileEncoder
from earprint.library.progress import OnEvent
from earprint.library.reencode import reencode
from earprint.library.reports import RepairReport
from earprint.quantization.storage import Stored
from earprint.store.rebuild_tables import RebuiltTrack
from earprint.store.relocation import Placement, drop_unused_segments, relocate
from earprint.store.results import Track, TrackProblem
from earprint.store.segments import checksum_of, salvage_segment, segment_damage
from earprint.store.store import Store
from earprint.store.verify import mark_problems, verify


def repair(
    store: Store,
    model: LibraryModel,
    *,
    drop_lost: bool,
    on_event: OnEvent | None = None,
    pool: FileEncoder | None = None,
) -> RepairReport:
    """Repair what can be repaired; see `earprint.Library.repair`.

    Raises
    ------
    ModelError
        If tracks are to be fingerprinted again and another model made the library.
    LibraryError
        If the catalogue is damaged, or the library cannot be written.
    """
    with store.writing():
        found = verify(store)
        damaged = [problem.track for problem in found.damaged]
        mark_problems(store, found.damaged)
        moved = _move_intact_tracks(store, {track.id for track in damaged})

        lost = _reencode(store, model, damaged, on_event, pool) if damaged else []
        lost_ids = {problem.track.id for problem in lost}
        if drop_lost and lost:
            store.catalogue.remove([problem.track for problem in lost])
        drop_unused_segments(store.catalogue)
        store.delete_unused_files()
        segments = store.catalogue.snapshot().segments.values()
        damaged_segments = {segment_damage(store.segments_folder, segment) for segment in segments}
        return RepairReport(
            recomputed=[track for track in damaged if track.id not in lost_ids],
            moved=moved,
            lost=lost,
            dropped=drop_lost and bool(lost),
            problems=[problem for problem in verify(store).problems if problem not in damaged_segments],
        )


def _reencode(
    store: Store,
    model: LibraryModel,
    damaged: Sequence[Track],
    on_event: OnEvent | None,
    pool: FileEncoder | None,
) -> list[TrackProblem]:
    """Fingerprint damaged tracks again; return those that could not be."""

    def keep(batch: Sequence[RebuiltTrack]) -> None:
        _write(store, [(track.track_id, track.rows) for track in batch])

    encoder = model.encoder()
    lost, _ = reencode(
        damaged,
        encoder=encoder,
        storage=model.current_storage(encoder),
        keep=keep,
        settings=store.settings,
        on_event=on_event,
        pool=pool,
    )
    return lost


def _move_intact_tracks(store: Store, damaged: set[int]) -> int:
    """Copy the intact tracks of damaged segments into new segments; return their number."""
    snapshot = store.catalogue.snapshot()
    moved = 0
    for segment in snapshot.segments.values():
        intact = [t for t in snapshot.tracks if t.segment_id == segment.id and t.track.id not in damaged]
        if not intact or segment_damage(store.segments_folder, segment) is None:
            continue
        rows = salvage_segment(store.segments_folder, segment)
        _write(store, [(track.track.id, track.rows_in(rows)) for track in intact])
        moved += len(intact)
    return moved


def _write(store: Store, parts: Sequence[tuple[int, Stored]]) -> None:
    """Write rows of tracks as a new segment and move the tracks there."""
    segment = store.write_segment([rows for _, rows in parts])
    placements = [Placement(number, len(rows), checksum_of(rows)) for number, rows in parts]
    relocate(store.catalogue, segment, placements)
