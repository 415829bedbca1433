"""Rebuild: all fingerprints of a library are made again from the files, by another model or the same.

The new fingerprints gather beside the old ones (`earprint.store.rebuild_tables`), which the library still
uses. When every track has new ones, one transaction switches all of them. An interrupted rebuild is
continued by the next one with the same model. Tracks that were added or removed in between are taken into
account.
"""

from collections.abc import Sequence

from earprint.encoders.base import Encoder
from earprint.errors import LibraryError
from earprint.library.compatibility import library_facts
from earprint.library.encoding_pool import FileEncoder
from earprint.library.progress import OnEvent
from earprint.library.reencode import reencode
from earprint.library.reports import RebuildReport
from earprint.quantization.storage import Storage
from earprint.store import rebuild_tables
from earprint.store.rebuild_tables import RebuiltTrack
from earprint.store.store import Store


def rebuild(
    store: Store,
    *,
    encoder: Encoder,
    storage: Storage,
    drop_missing: bool,
    on_event: OnEvent | None = None,
    pool: FileEncoder | None = None,
) -> RebuildReport:
    """Make all fingerprints again; the caller holds the writer lock; see `earprint.Library.rebuild`.

    Parameters
    ----------
    store : Store
    encoder : Encoder
        Makes the new fingerprints.
    storage : Storage
        How to store them.
    drop_missing : bool
    on_event, pool : optional
        See `earprint.library.ingest.ingest`.

    Raises
    ------
    LibraryError
        If the library cannot be written, or no track at all could be fingerprinted again.
    """
    facts = library_facts(encoder, storage)
    made = rebuild_tables.begin(store, facts)
    tracks = [stored.track for stored in store.catalogue.snapshot().tracks]

    def keep(batch: Sequence[RebuiltTrack]) -> None:
        rebuild_tables.keep(store, batch)

    missing, warnings = reencode(
        [track for track in tracks if track.id not in made],
        encoder=encoder,
        storage=storage,
        keep=keep,
        settings=store.settings,
        on_event=on_event,
        pool=pool,
    )
    resumed = sum(track.id in made for track in tracks)
    rebuilt = len(tracks) - len(missing)
    switched = drop_missing or not missing
    if missing and drop_missing and not rebuilt:
        raise LibraryError(
            f"{store.path}: none of its files could be read, so nothing was dropped; see that the disk "
            "with the recordings is there"
        )
    if switched:
        rebuild_tables.switch(store, facts)
    return RebuildReport(encoder.model_id, rebuilt, resumed, missing, switched, warnings)
