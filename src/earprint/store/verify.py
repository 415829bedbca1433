"""Verification: every fingerprint is read and compared with its checksum, and the catalogue with itself.

In a damaged segment, only the tracks whose own checksums are wrong count as damaged. Tracks of early
libraries have no checksum of their own; all tracks of their segment count as damaged.
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from earprint.errors import LibraryError
from earprint.store.catalogue import Snapshot, StoredTrack
from earprint.store.relocation import mark_damage
from earprint.store.results import TrackProblem, VerifyReport
from earprint.store.segments import TYPES, salvage_segment, segment_damage, strays
from earprint.store.store import Store


def verify(store: Store) -> VerifyReport:
    """Check everything; needs no lock.

    Raises
    ------
    LibraryError
        If the catalogue itself is damaged.
    """
    catalogue, folder = store.catalogue, store.segments_folder
    catalogue.check()
    snapshot = catalogue.snapshot()
    problems = _contradictions(snapshot)
    damaged: list[TrackProblem] = []
    for segment in snapshot.segments.values():
        damage = segment_damage(folder, segment)
        if damage is None or segment.id not in catalogue.snapshot().segments:
            continue  # in the second case, another process merged it during the reading
        problems.append(damage)
        rows = salvage_segment(folder, segment)
        tracks = [track for track in snapshot.tracks if track.segment_id == segment.id]
        damaged += [TrackProblem(track.track, damage) for track in tracks if not track.is_intact(rows)]
    return VerifyReport(
        tracks=len(snapshot.tracks),
        segments=len(snapshot.segments),
        size_bytes=sum(s.size_bytes for s in snapshot.segments.values()),
        problems=problems,
        damaged=damaged,
        strays=strays(folder, catalogue.segment_files()),
    )


def verify_and_mark(store: Store) -> VerifyReport:
    """Check everything, and mark damaged tracks in the catalogue if it can be written.

    Raises
    ------
    LibraryError
        If the catalogue itself is damaged.
    """
    report = verify(store)
    known = {s.track.id: s.damage for s in store.catalogue.snapshot().tracks if s.damage is not None}
    if known != {problem.track.id: problem.cause for problem in report.damaged}:
        with suppress(LibraryError), store.writing():  # if it cannot be written now, the next call marks it
            # Again under the lock, as another writer may have repaired or moved the damaged tracks.
            report = verify(store)
            mark_problems(store, report.damaged)
    return report


def mark_problems(store: Store, damaged: Sequence[TrackProblem]) -> None:
    """Mark tracks as damaged, and all others as intact; the caller holds the writer lock."""
    tracks = [stored.track.id for stored in store.catalogue.snapshot().tracks]
    mark_damage(store.catalogue, {problem.track.id: problem.cause for problem in damaged}, tracks)
    store.on_release()


def _contradictions(snapshot: Snapshot) -> list[str]:
    """List where the catalogue contradicts itself."""
    found: list[str] = []
    meta, compact = snapshot.meta, snapshot.meta.get("storage", "half") != "half"
    shapes = {(segment.width, Path(segment.file).suffix) for segment in snapshot.segments.values()}
    # The width of codes depends on the codebook, which need not be present.
    fits = len(shapes) == 1 if compact else {width for width, _ in shapes} == {int(meta.get("dim", 0))}
    suffix = next(suffix for suffix, dtype in TYPES.items() if (dtype.kind == "u") == compact)
    if shapes and ("model_id" not in meta or not fits or {ending for _, ending in shapes} != {suffix}):
        known = ", ".join(f"{width} columns in *{ending}" for width, ending in sorted(shapes))
        found.append(f"the catalogue's model does not fit its segments ({known}); restore it from a copy")
    by_segment: dict[int, list[StoredTrack]] = {}
    for track in snapshot.tracks:
        by_segment.setdefault(track.segment_id, []).append(track)
    for number, tracks in by_segment.items():
        rows = snapshot.segments[number].rows if number in snapshot.segments else 0
        found += _misplaced(tracks, rows)
    return found


def _misplaced(tracks: Sequence[StoredTrack], rows: int) -> list[str]:
    """List the tracks of one segment, in the order of their rows, that overlap or leave the segment."""
    found: list[str] = []
    free_from = 0
    for track in tracks:
        if track.n_rows < 1 or track.first_row < free_from or track.stop_row > rows:
            found.append(
                f"track {track.track.id} ({track.track.title}): claims rows {track.first_row} to "
                f"{track.stop_row} of segment {track.segment_id}, which are not its own; remove it and add "
                "it again"
            )
        free_from = max(free_from, track.stop_row)
    return found
