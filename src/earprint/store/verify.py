"""Reading a whole library and telling what is wrong with it.

Every vector is read and compared with the checksum it was written with, and the catalogue with itself. A
damaged segment condemns only those of its tracks whose own checksums are wrong; tracks of libraries made
before tracks had checksums are condemned with their segment.
"""

from collections.abc import Sequence
from pathlib import Path

from earprint.library.reports import Trouble, VerifyReport
from earprint.library.view import is_sound
from earprint.store.catalogue import Catalogue, Snapshot, StoredTrack
from earprint.store.segments import TYPES, salvage_segment, segment_damage, strays


def verify(catalogue: Catalogue, folder: Path) -> VerifyReport:
    """Check everything; needs no lock.

    Parameters
    ----------
    catalogue : Catalogue
    folder : Path
        Where the segments lie.

    Raises
    ------
    LibraryError
        If the catalogue itself is damaged.
    """
    catalogue.check()
    snapshot = catalogue.snapshot()
    problems = _contradictions(snapshot)
    damaged: list[Trouble] = []
    for segment in snapshot.segments.values():
        damage = segment_damage(folder, segment)
        if damage is None or segment.id not in catalogue.snapshot().segments:
            continue  # in the second case it was merged into another one while it was being read
        problems.append(damage)
        rows = salvage_segment(folder, segment)
        mine = [track for track in snapshot.tracks if track.segment_id == segment.id]
        damaged += [Trouble(track.track, damage) for track in mine if not is_sound(track, rows)]
    return VerifyReport(
        tracks=len(snapshot.tracks),
        segments=len(snapshot.segments),
        size_bytes=sum(s.size_bytes for s in snapshot.segments.values()),
        problems=problems,
        damaged=damaged,
        strays=strays(folder, catalogue.segment_files()),
    )


def _contradictions(snapshot: Snapshot) -> list[str]:
    """Tell where the catalogue contradicts itself."""
    found: list[str] = []
    meta, compact = snapshot.meta, snapshot.meta.get("storage", "half") != "half"
    shapes = {(segment.width, Path(segment.file).suffix) for segment in snapshot.segments.values()}
    # How wide codes are is the codebook's business, which need not be here.
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
    """Tell which tracks of one segment, in the order of their rows, overlap or leave the segment."""
    found: list[str] = []
    free_from = 0
    for track in tracks:
        end = track.first_row + track.n_rows
        if track.n_rows < 1 or track.first_row < free_from or end > rows:
            found.append(
                f"track {track.track.id} ({track.track.title}): claims rows {track.first_row} to {end} of "
                f"segment {track.segment_id}, which are not its own; remove it and add it again"
            )
        free_from = max(free_from, end)
    return found
