"""Transfer: export of fingerprints, import and merge.

Only fingerprints of the library's own model may enter. Half-precision fingerprints become compact when they
enter a compact library. Everything is read and checked before anything is written, and enters the catalogue
in one transaction, so that a failed import changes nothing. Recordings whose content the library holds are
skipped.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np

from earprint.errors import LibraryError, ModelError
from earprint.library.compatibility import LibraryModel
from earprint.library.reports import ExportReport, ImportReport
from earprint.quantization.storage import CompactStorage, Stored
from earprint.store.catalogue import NewTrack, Snapshot
from earprint.store.portable import Contents, fault_of, write_portable
from earprint.store.segments import Segment, checksum_of, open_segment
from earprint.store.store import SEGMENTS_FOLDER, Store


class Source(Protocol):
    """Fingerprints to import: a portable file or another library."""

    path: Path
    contents: Contents

    def rows(self) -> Iterator[tuple[NewTrack, Stored]]:
        """Yield each track with its stored rows, checked, shape (n_rows, width)."""
        ...


class LibrarySource:
    """The live tracks of a library as a `Source`.

    Parameters
    ----------
    path : Path
        The library's folder.
    snapshot : Snapshot

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
        # Mapped now: another process may merge the segments and delete their files in the meantime.
        numbers = {stored.segment_id for stored in snapshot.tracks}
        self._opened = {n: open_segment(path / SEGMENTS_FOLDER, snapshot.segments[n]) for n in numbers}
        tracks = [self._new(i) for i in range(len(snapshot.tracks))]
        width = snapshot.segments[snapshot.tracks[0].segment_id].width
        hop_s, storage = float(meta["reference_hop_s"]), meta.get("storage", "half")
        self.contents = Contents(meta["model_id"], int(meta["dim"]), hop_s, tracks, storage, width)

    def rows(self) -> Iterator[tuple[NewTrack, Stored]]:
        """Yield each track with its stored rows, checked, shape (n_rows, width)."""
        for number, track in enumerate(self.contents.tracks):
            rows = self._rows(number)
            fault = self._snapshot.tracks[number].damage or fault_of(track, rows)
            if fault is not None:
                raise LibraryError(
                    f"{self.path}: holds a damaged recording, {track.title} ({fault}); run `earprint repair` "
                    "on it first"
                )
            yield track, rows

    def _rows(self, number: int) -> Stored:
        stored = self._snapshot.tracks[number]
        return stored.rows_in(self._opened[stored.segment_id])

    def _new(self, number: int) -> NewTrack:
        stored = self._snapshot.tracks[number]
        track = stored.track
        checksum = stored.checksum or checksum_of(self._rows(number))
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


def export(store: Store, file: Path, *, with_paths: bool) -> ExportReport:
    """Write all live tracks of a library into a portable file; see `earprint.Library.export`."""
    source = LibrarySource(store.path, store.catalogue.snapshot())
    write_portable(file, source.contents, (rows for _, rows in source.rows()), with_paths=with_paths)
    total = sum(track.n_rows for track in source.contents.tracks)
    return ExportReport(file, len(source.contents.tracks), total, file.stat().st_size)


def merge(store: Store, model: LibraryModel, other: Path) -> ImportReport:
    """Add the recordings of another library; see `earprint.Library.merge`."""
    if other.exists() and other.samefile(store.path):
        raise LibraryError(f"{other}: is this very library; name another one")
    opened = Store(other, create=False)
    try:
        return import_source(store, model, LibrarySource(other, opened.catalogue.snapshot()))
    finally:
        opened.close()


def import_source(store: Store, model: LibraryModel, source: Source) -> ImportReport:
    """Add the tracks of a source that the library lacks.

    Parameters
    ----------
    store : Store
    model : LibraryModel
        Its encoder is loaded only if fingerprints must become compact.
    source : Source

    Raises
    ------
    ModelError
        If another model or codebook made the fingerprints.
    LibraryError
        If the source is damaged, or the library cannot be written.
    """
    with store.writing():
        return _import(store, model, source)


def _import(store: Store, model: LibraryModel, source: Source) -> ImportReport:
    contents, catalogue = source.contents, store.catalogue
    _check_model(store, source)
    convert = _conversion(store, model, source)
    wanted = {track.content_hash for track in contents.tracks} - catalogue.live_hashes()
    for _ in source.rows():  # everything is read and checked before anything is written
        pass
    if not wanted:
        return ImportReport([], len(contents.tracks))
    batches: list[tuple[Segment, list[NewTrack]]] = []
    number = catalogue.next_segment_id()
    # A path of a live track is left out, as a second track of the same path would replace the first.
    taken = {stored.track.path for stored in catalogue.snapshot().tracks}
    for tracks, parts in _batches(store, source, wanted):
        if convert is not None:
            parts = [convert.pack(part.astype(np.float32)) for part in parts]
            tracks = [
                replace(track, checksum=checksum_of(part)) for track, part in zip(tracks, parts, strict=True)
            ]
        segment = store.write_segment(parts, number)
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
    return ImportReport(added, len(contents.tracks) - len(added))


def _check_model(store: Store, source: Source) -> None:
    meta, contents = store.catalogue.meta(), source.contents
    if "model_id" not in meta:
        return
    if meta["model_id"] != contents.model_id:
        raise ModelError(
            f"{source.path}: was made by model {contents.model_id}, and {store.path} by {meta['model_id']}; "
            "their fingerprints cannot be compared, so use another library folder"
        )
    if (int(meta["dim"]), float(meta["reference_hop_s"])) != (contents.dim, contents.reference_hop_s):
        raise ModelError(
            f"{source.path}: stores its fingerprints on another grid than {store.path}; run `earprint "
            "rebuild` on one of them"
        )


def _conversion(store: Store, model: LibraryModel, source: Source) -> CompactStorage | None:
    """Return the storage that the source's fingerprints must be converted to; None if they fit.

    Raises
    ------
    ModelError
        If they cannot be converted.
    """
    meta, key, wanted = store.catalogue.meta(), source.contents.storage, model.wanted_storage
    if "model_id" in meta:
        target = meta.get("storage", "half")
        same = target == key
    else:
        target = wanted or key
        same = wanted in (None, key.partition("-")[0])
    if same:
        return None
    if key == "half":
        encoder = model.any_encoder()
        if encoder.model_id == source.contents.model_id and encoder.codebook is not None:
            storage = CompactStorage(encoder.codebook)
            if target in ("compact", storage.key):
                return storage
        raise ModelError(
            f"{source.path}: holds fingerprints in half precision, and the codebook to make them compact is "
            f"not at hand; open the library with the model {source.contents.model_id} and its codebook"
        )
    raise ModelError(
        f"{source.path}: holds compact fingerprints ({key}), which cannot become those of {store.path} "
        f"({target}); use another library folder"
    )


def _batches(store: Store, source: Source, wanted: set[str]) -> Iterator[tuple[list[NewTrack], list[Stored]]]:
    """Yield the wanted tracks and their rows, one segment at a time, each content once."""
    left = set(wanted)
    contents = source.contents
    enough = max(1, store.settings.rows_of_segment(contents.width * contents.dtype.itemsize) // 2)
    tracks: list[NewTrack] = []
    parts: list[Stored] = []
    for track, rows in source.rows():
        if track.content_hash not in left:
            continue
        left.remove(track.content_hash)
        tracks.append(track)
        parts.append(rows)
        if sum(map(len, parts)) >= enough:
            yield tracks, parts
            tracks, parts = [], []
    if tracks:
        yield tracks, parts
