"""Fingerprints out of a library and into another: export, import and merge.

Only what the library's own model made may come in; fingerprints of half precision are made compact on the way
into a compact library. Everything is read and checked before anything is written,
and enters the catalogue in one transaction, so that a failed import leaves no trace. Recordings that the
library holds, by content, are passed over.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np

from earprint.encoders.base import Encoder
from earprint.errors import LibraryError, ModelError
from earprint.library.reports import ExportReport, ImportReport
from earprint.quantization.storage import CompactStorage, StorageName, Stored
from earprint.store.catalogue import Catalogue, NewTrack, Snapshot
from earprint.store.compaction import rows_of_segment
from earprint.store.portable import Contents, fault_of, write_portable
from earprint.store.segments import Segment, checksum_of, open_segment, write_segment


class Source(Protocol):
    """Where fingerprints come from."""

    path: Path
    contents: Contents

    def rows(self) -> Iterator[tuple[NewTrack, Stored]]:
        """Yield each track with its stored rows, checked, shape (n_rows, width)."""
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
        width = snapshot.segments[snapshot.tracks[0].segment_id].width
        hop_s, storage = float(meta["reference_hop_s"]), meta.get("storage", "half")
        self.contents = Contents(meta["model_id"], int(meta["dim"]), hop_s, tracks, storage, width)

    def rows(self) -> Iterator[tuple[NewTrack, Stored]]:
        """Yield each track with its stored rows, checked, shape (n_rows, width)."""
        for number, track in enumerate(self.contents.tracks):
            vectors = self._vectors(number)
            fault = self._snapshot.tracks[number].damage or fault_of(track, vectors)
            if fault is not None:
                raise LibraryError(
                    f"{self.path}: holds a damaged recording, {track.title} ({fault}); run `earprint repair` "
                    "on it first"
                )
            yield track, vectors

    def _vectors(self, number: int) -> Stored:
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
    catalogue: Catalogue,
    path: Path,
    source: Source,
    *,
    wanted_storage: StorageName | None,
    load_encoder: Callable[[], Encoder],
    on_change: Callable[[], None],
) -> ImportReport:
    """Add the tracks of a source that the library lacks; the caller holds the writer lock.

    Parameters
    ----------
    catalogue : Catalogue
    path : Path
        The library's folder.
    source : Source
    wanted_storage : {"half", "compact"} or None
        How an empty library is to store them; None for as the source does.
    load_encoder : callable
        Gives the library's encoder, if fingerprints are to be made compact.
    on_change : callable
        Called after the commit.

    Raises
    ------
    ModelError
        If another model or codebook made them.
    LibraryError
        If something of the source is damaged, or the library cannot be written.
    """
    contents = source.contents
    _check_model(catalogue, path, source)
    convert = _conversion(catalogue, path, source, wanted_storage, load_encoder)
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
        if convert is not None:
            parts = [convert.pack(part.astype(np.float32)) for part in parts]
            tracks = [
                replace(track, checksum=checksum_of(part)) for track, part in zip(tracks, parts, strict=True)
            ]
        segment = write_segment(path / "segments", number, parts)
        batches.append((segment, [replace(t, path=None) if t.path in taken else t for t in tracks]))
        taken |= {track.path for track in tracks}
        number += 1
    facts = {
        "model_id": contents.model_id,
        "dim": str(contents.dim),
        "reference_hop_s": repr(contents.reference_hop_s),
        "storage": contents.storage if convert is None else convert.key,
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


def _conversion(
    catalogue: Catalogue,
    path: Path,
    source: Source,
    wanted: StorageName | None,
    load_encoder: Callable[[], Encoder],
) -> CompactStorage | None:
    """Return what makes the source's fingerprints those of the library; None if they are as they should be.

    Raises
    ------
    ModelError
        If they cannot be made so.
    """
    meta, key = catalogue.meta(), source.contents.storage
    if "model_id" in meta:
        target = meta.get("storage", "half")
        same = target == key
    else:
        target = wanted or key
        same = wanted in (None, key.partition("-")[0])
    if same:
        return None
    if key == "half":
        encoder = load_encoder()
        if encoder.model_id == source.contents.model_id and encoder.codebook is not None:
            storage = CompactStorage(encoder.codebook)
            if target in ("compact", storage.key):
                return storage
        raise ModelError(
            f"{source.path}: holds fingerprints in half precision, and the codebook to make them compact is "
            f"not at hand; open the library with the model {source.contents.model_id} and its codebook"
        )
    raise ModelError(
        f"{source.path}: holds compact fingerprints ({key}), which cannot become those of {path} ({target}); "
        "use another library folder"
    )


def _batches(source: Source, wanted: set[str]) -> Iterator[tuple[list[NewTrack], list[Stored]]]:
    """Yield the wanted tracks and their vectors, a segment's worth at a time, each content once."""
    left = set(wanted)
    contents = source.contents
    enough = max(1, rows_of_segment(contents.width * contents.dtype.itemsize) // 2)
    tracks: list[NewTrack] = []
    parts: list[Stored] = []
    for track, vectors in source.rows():
        if track.content_hash not in left:
            continue
        left.remove(track.content_hash)
        tracks.append(track)
        parts.append(vectors)
        if sum(map(len, parts)) >= enough:
            yield tracks, parts
            tracks, parts = [], []
    if tracks:
        yield tracks, parts
