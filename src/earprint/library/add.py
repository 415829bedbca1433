"""Addition and removal of recordings."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace
from numbers import Integral

import numpy as np
from numpy.typing import NDArray

from earprint.encoders.embed import samples_at_16_khz
from earprint.encoders.validation import encode_checked
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
        model.bind(encoder)
        return store.add(batch, encoder.model_id)

    with store.writing():
        report = ingest(
            paths,
            encoder=encoder,
            storage=model.current_storage(encoder),
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
    title = _text("title", title)
    if not title.strip():
        raise ValueError("title is empty; give the recording a title")
    artist = None if artist is None else _text("artist", artist)
    encoder = model.encoder()
    audio = samples_at_16_khz(samples, sample_rate)
    digest = hashlib.blake2b(np.ascontiguousarray(audio).tobytes(), digest_size=16).hexdigest()
    with store.writing():
        storage = model.current_storage(encoder)
        known = store.catalogue.find("content_hash", digest)
        if known:
            return known[0]
        with one_thread_for_products():
            fingerprints = encode_checked(encoder, [audio])
            try:
                rows = pack(fingerprints, storage)
            except AudioError as error:
                raise AudioError(f"{' '.join(title.split())}: {error}") from None
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
        model.bind(encoder)
        added, _ = store.add([(new, rows)], encoder.model_id)
        _compact_if_worthwhile(store)
        return added[0]


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} is of type {type(value).__name__}; give text")
    return storable(value)


def remove_tracks(store: Store, selectors: Sequence[Selector]) -> list[Track]:
    """Remove tracks; see `earprint.Library.remove`."""
    for selector in selectors:
        _check_selector(selector)
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


def _check_selector(selector: object) -> None:
    if isinstance(selector, os.PathLike):
        selector = os.fspath(selector)
    if isinstance(selector, bool) or not isinstance(selector, (Integral, str)):
        raise TypeError(
            f"a selector is of type {type(selector).__name__}; give a track's number, path or title"
        )


def find_tracks(catalogue: Catalogue, selector: Selector) -> list[Track]:
    """Return the tracks that a selector names: by number, else by path, else by title; maybe none."""
    tracks: list[Track] = []
    text = storable(str(selector))
    is_number = isinstance(selector, Integral) or (isinstance(selector, str) and text.isdecimal())
    if is_number and len(text) <= MAX_DIGITS:
        tracks = catalogue.find("id", int(text))
    if not tracks and isinstance(selector, (str, os.PathLike)):
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
