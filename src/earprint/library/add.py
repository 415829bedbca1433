"""Addition and removal of recordings."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from earprint.encoders.embed import samples_at_16_khz
from earprint.errors import AudioError, LibraryError
from earprint.library.commit_buffer import Encoded
from earprint.library.compatibility import LibraryModel
from earprint.library.encoding_pool import FileEncoder
from earprint.library.ingest import ingest, pack
from earprint.library.progress import OnEvent
from earprint.library.results import AddReport
from earprint.parallel.blas_threads import one_thread_for_products
from earprint.store import compaction
from earprint.store.catalogue import Catalogue, NewTrack
from earprint.store.paths import path_text, storable
from earprint.store.results import Track
from earprint.store.segments import checksum_of
from earprint.store.store import Store

MAX_DIGITS = 18
"""Digits of the largest track number; SQLite's integers hold no more."""

Selector = int | str | os.PathLike[str]
"""A track's number, path or title."""


def add_files(
    store: Store,
    model: LibraryModel,
    paths: Sequence[str | os.PathLike[str]],
    on_event: OnEvent | None,
    pool: FileEncoder | None,
) -> AddReport:
    """Add audio files; see `earprint.Library.add`."""
    encoder = model.encoder()

    def commit(batch: Sequence[Encoded]) -> tuple[list[Track], list[Track]]:
        return store.add(batch, encoder.model_id)

    with store.writing():
        report = ingest(
            paths,
            encoder=encoder,
            storage=model.bind(encoder),
            known=store.catalogue.holds,
            commit=commit,
            settings=store.settings,
            on_event=on_event,
            pool=pool,
        )
        warnings = [*report.warnings, *_compact_if_worthwhile(store)] if report.added else report.warnings
        return replace(report, warnings=warnings)


def add_samples(
    store: Store,
    model: LibraryModel,
    samples: NDArray[np.generic],
    sample_rate: int | None,
    title: str,
    artist: str | None,
) -> Track:
    """Add a recording from memory; see `earprint.Library.add_audio`."""
    encoder = model.encoder()
    audio = samples_at_16_khz(samples, sample_rate)
    digest = hashlib.blake2b(np.ascontiguousarray(audio).tobytes(), digest_size=16).hexdigest()
    with store.writing():
        storage = model.bind(encoder)
        known = store.catalogue.find("content_hash", digest)
        if known:
            return known[0]
        with one_thread_for_products():
            fingerprints = encoder.encode([audio])
            try:
                rows = pack(fingerprints, storage)
            except AudioError as error:
                raise AudioError(f"{title}: {error}") from None
        new = NewTrack(
            path=None,
            title=title,
            artist=artist,
            album=None,
            duration_s=fingerprints.duration_s,
            content_hash=digest,
            n_rows=len(rows),
            checksum=checksum_of(rows),
        )
        added, _ = store.add([(new, rows)], encoder.model_id)
        _compact_if_worthwhile(store)
        return added[0]


def remove_tracks(store: Store, selectors: Sequence[Selector]) -> list[Track]:
    """Remove tracks; see `earprint.Library.remove`."""
    with store.writing():
        found: dict[int, Track] = {}
        for selector in selectors:
            tracks = find_tracks(store.catalogue, selector)
            if not tracks:
                raise LibraryError(
                    f"{store.path}: has no track with the number, path or title "
                    f"'{storable(str(selector))}'; list the tracks to see their names"
                )
            found |= {track.id: track for track in tracks}
        store.catalogue.remove(list(found.values()))
        return list(found.values())


def find_tracks(catalogue: Catalogue, selector: Selector) -> list[Track]:
    """Return the tracks that a selector names: by number, else by path, else by title; maybe none."""
    tracks: list[Track] = []
    text = storable(str(selector))
    is_number = isinstance(selector, int) or (isinstance(selector, str) and text.isdecimal())
    if is_number and len(text) <= MAX_DIGITS:
        tracks = catalogue.find("id", int(text))
    if not tracks and not isinstance(selector, int):
        tracks = catalogue.find("path", path_text(selector))
    if not tracks and isinstance(selector, str):
        # The text as it is: tracks added from memory or imported may have any path.
        tracks = catalogue.find("path", text) or catalogue.find("title", text)
    return tracks


def _compact_if_worthwhile(store: Store) -> list[str]:
    """Compact where that is cheap; return a warning if it fails, as the addition itself is done."""
    try:
        if compaction.is_worthwhile(store):
            compaction.compact(store, thorough=False)
    except LibraryError as error:
        return [f"compacting was put off: {error}"]
    return []
