"""Repair: damaged tracks are made again from their files, and damaged segments leave the library.

Whatever is sound in a damaged segment moves to a new one; what is damaged comes from the file, if that still
has the content it was added with. Each batch is committed by itself, so that a killed repair is resumed by
the next.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from earprint.encoders.base import Encoder
from earprint.library.encoding_pool import EncodesFiles
from earprint.library.progress import OnEvent
from earprint.library.reencode import Recomputed, recompute
from earprint.library.reports import RepairReport, Trouble
from earprint.quantization.storage import Storage, Stored
from earprint.store.catalogue import Catalogue
from earprint.store.relocation import Placement, forget_unneeded, mark_damage, relocate
from earprint.store.segments import (
    checksum_of,
    delete_strays,
    salvage_segment,
    segment_damage,
    write_segment,
)
from earprint.store.verify import verify


def repair(
    catalogue: Catalogue,
    folder: Path,
    *,
    load_encoder: Callable[[], tuple[Encoder, Storage]],
    drop_lost: bool,
    on_change: Callable[[], None],
    on_event: OnEvent | None = None,
    elsewhere: EncodesFiles | None = None,
) -> RepairReport:
    """Mend what can be mended; the caller holds the writer lock.

    Parameters
    ----------
    catalogue : Catalogue
    folder : Path
        Where the segments lie.
    load_encoder : callable
        Gives the library's encoder and storage, if they are needed.
    drop_lost : bool
        Remove tracks that are damaged and cannot be made again.
    on_change : callable
        Called after each commit, before files are deleted.
    on_event : callable, optional
        Told of every step, in this thread.
    elsewhere : EncodesFiles, optional
        Decodes and encodes the files in place of this process.

    Raises
    ------
    LibraryError
        If the catalogue is damaged, or the library cannot be written.
    """
    found = verify(catalogue, folder)
    damaged = [trouble.track for trouble in found.damaged]
    all_tracks = [stored.track.id for stored in catalogue.snapshot().tracks]
    mark_damage(catalogue, {trouble.track.id: trouble.cause for trouble in found.damaged}, all_tracks)
    moved = _move_sound_tracks(catalogue, folder, {track.id for track in damaged})

    def store(batch: Sequence[Recomputed]) -> None:
        _write(catalogue, folder, [(track.id, vectors) for track, _, vectors in batch])
        on_change()

    lost: list[Trouble] = []
    if damaged:
        encoder, storage = load_encoder()
        lost, _ = recompute(
            damaged,
            encoder=encoder,
            storage=storage,
            store=store,
            on_event=on_event,
            elsewhere=elsewhere,
        )
    lost_ids = {trouble.track.id for trouble in lost}
    if drop_lost and lost:
        catalogue.remove([trouble.track for trouble in lost])
    forget_unneeded(catalogue)
    on_change()
    delete_strays(folder, catalogue.segment_files())
    snapshot = catalogue.snapshot()
    segment_problems = {segment_damage(folder, segment) for segment in snapshot.segments.values()}
    return RepairReport(
        recomputed=[track for track in damaged if track.id not in lost_ids],
        moved=moved,
        lost=lost,
        dropped=drop_lost and bool(lost),
        problems=[p for p in verify(catalogue, folder).problems if p not in segment_problems],
    )


def _move_sound_tracks(catalogue: Catalogue, folder: Path, damaged: set[int]) -> int:
    """Copy sound tracks out of damaged segments; returns how many."""
    snapshot = catalogue.snapshot()
    moved = 0
    for segment in snapshot.segments.values():
        sound = [t for t in snapshot.tracks if t.segment_id == segment.id and t.track.id not in damaged]
        if not sound or segment_damage(folder, segment) is None:
            continue
        rows = salvage_segment(folder, segment)
        _write(catalogue, folder, [(t.track.id, rows[t.first_row : t.first_row + t.n_rows]) for t in sound])
        moved += len(sound)
    return moved


def _write(catalogue: Catalogue, folder: Path, parts: Sequence[tuple[int, Stored]]) -> None:
    """Write rows of tracks as a new segment and place the tracks there."""
    segment = write_segment(folder, catalogue.next_segment_id(), [rows for _, rows in parts])
    relocate(catalogue, segment, [Placement(number, len(rows), checksum_of(rows)) for number, rows in parts])
