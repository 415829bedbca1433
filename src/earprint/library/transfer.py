"""Fingerprints out of a library and into another: export, import and merge.

Only what the library's own model made may come in. Everything is read and checked before anything is written,
and enters the catalogue in one transaction, so that a failed import leaves no trace. Recordings that the
library holds, by content, are passed over.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from earprint.errors import LibraryError, ModelError
from earprint.library.catalogue import Catalogue, NewTrack, Snapshot
from earprint.library.compaction import SEGMENT_ROWS
from earprint.library.portable import Contents, fault_of, write_portable
from earprint.library.reports import ExportReport, ImportReport
from earprint.library.segments import Segment, checksum_of, open_segment, write_segment


class Source(Protocol):
    """Where fingerprints come from."""

    path: Path
    contents: Contents

    def rows(self) -> Iterator[tuple[NewTrack, NDArray[np.float16]]]:
        """Yield each track with its vectors, checked, shape (n_rows, dim)."""
        ...


class LibrarySource:
    """The live tracks of a library as a source of fingerprints.

    Parameters
    ----------
    path : Path
        The library's folder.
    snapshot : Snapshot
        What to take.

    Raises
    ------
    LibraryError
        If the library is empty.
    """

    def __init__(self, path: Path, snapshot: Snapshot) -> None:
        meta = snapshot.meta
        if not snapshot.tracks:
            raise LibraryError(f"{path}: holds no recordings; add some first")
        self.path = path
        self._snapshot = snapshot
        # Mapped now: another process may merge the segments and delete their files meanwhile.
        numbers = {stored.segment_id for stored in snapshot.tracks}
        self._opened = {n: open_segment(path / "segments", snapshot.segments[n]) for n in numbers}
        tracks = [self._new(i) for i in range(len(snapshot.tracks))]
        self.contents = Contents(meta["model_id"], int(meta["dim"]), float(meta["reference_hop_s"]), tracks)

    def rows(self) -> Iterator[tuple[NewTrack, NDArray[np.float16]]]:
        """Yield each track with its vectors, checked, shape (n_rows, dim)."""
        for number, track in enumerate(self.contents.tracks):
            vectors = self._vectors(number)
            fault = self._snapshot.tracks[number].damage or fault_of(track, vectors)
            if fault is not None:
                raise LibraryError(
                    f"{self.path}: holds a damaged recording, {track.title} ({fault}); run `earprint repair` "
                    "on it first"
                )
            yield track, vectors

    def _vectors(self, number: int) -> NDArray[np.float16]:
        stored = self._snapshot.tracks[number]
        return self._opened[stored.segment_id][stored.first_row : stored.first_row + stored.n_rows]

    def _new(self, number: int) -> NewTrack:
        stored = self._snapshot.tracks[number]
        track = stored.track
        checksum = stored.checksum or checksum_of(self._vectors(number))
        return NewTrack(
            track.path,
            track.title,
            track.artist,
            track.album,
            track.duration_s,
            track.content_hash,
            stored.n_rows,
            checksum,
        )


def export(path: Path, snapshot: Snapshot, file: Path, *, with_paths: bool) -> ExportReport:
    """Write all live tracks of a library into a portable file.

    Parameters
    ----------
    path : Path
        The library's folder.
    snapshot : Snapshot
    file : Path
        Must not exist.
    with_paths : bool
        Tell where the recordings' files lie.

    Raises
    ------
    LibraryError
        If the library is empty or damaged, or the file cannot be written.
    """
    source = LibrarySource(path, snapshot)
    write_portable(file, source.contents, (rows for _, rows in source.rows()), with_paths=with_paths)
    total = sum(track.n_rows for track in source.contents.tracks)
    return ExportReport(file, len(source.contents.tracks), total, file.stat().st_size)


def take_in(
    catalogue: Catalogue, path: Path, source: Source, *, on_change: Callable[[], None]
) -> ImportReport:
    """Add the tracks of a source that the library lacks; the caller holds the writer lock.

    Parameters
    ----------
    catalogue : Catalogue
    path : Path
        The library's folder.
    source : Source
    on_change : callable
        Called after the commit.

    Raises
    ------
    ModelError
        If another model made them.
    LibraryError
        If something of the source is damaged, or the library cannot be written.
    """
    contents = source.contents
    _check_model(catalogue, path, source)
    known = catalogue.live_hashes()
    wanted = {track.content_hash for track in contents.tracks} - known
    for _ in source.rows():  # everything is read and checked before anything is written
        pass
    if not wanted:
        return ImportReport([], len(contents.tracks))
    batches: list[tuple[Segment, list[NewTrack]]] = []
    number = catalogue.next_segment_id()
    # A path that a live track has is left out: two recordings of one path would replace each other.
    taken = {stored.track.path for stored in catalogue.snapshot().tracks}
    for tracks, parts in _batches(source, wanted):
        segment = write_segment(path / "segments", number, parts)
        batches.append((segment, [replace(t, path=None) if t.path in taken else t for t in tracks]))
        taken |= {track.path for track in tracks}
        number += 1
    facts = {
        "model_id": contents.model_id,
        "dim": str(contents.dim),
        "reference_hop_s": repr(contents.reference_hop_s),
    }
    added, _ = catalogue.enter_all(batches, contents.model_id, facts)
    on_change()
    return ImportReport(added, len(contents.tracks) - len(added))


def _check_model(catalogue: Catalogue, path: Path, source: Source) -> None:
    meta, contents = catalogue.meta(), source.contents
    if "model_id" not in meta:
        return
    if meta["model_id"] != contents.model_id:
        raise ModelError(
            f"{source.path}: was made by model {contents.model_id}, and {path} by {meta['model_id']}; their "
            "fingerprints cannot be compared, so use another library folder"
        )
    if (int(meta["dim"]), float(meta["reference_hop_s"])) != (contents.dim, contents.reference_hop_s):
        raise ModelError(
            f"{source.path}: stores its fingerprints on another grid than {path}; run `earprint rebuild` "
            "on one of them"
        )


def _batches(source: Source, wanted: set[str]) -> Iterator[tuple[list[NewTrack], list[NDArray[np.float16]]]]:
    """Yield the wanted tracks and their vectors, a segment's worth at a time, each content once."""
    left = set(wanted)
    tracks: list[NewTrack] = []
    parts: list[NDArray[np.float16]] = []
    for track, vectors in source.rows():
        if track.content_hash not in left:
            continue
        left.remove(track.content_hash)
        tracks.append(track)
        parts.append(vectors)
        if sum(map(len, parts)) >= SEGMENT_ROWS // 2:
            yield tracks, parts
            tracks, parts = [], []
    if tracks:
        yield tracks, parts
