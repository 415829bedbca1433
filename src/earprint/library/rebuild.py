"""Rebuild: all fingerprints of a library are made again from the files, by another model or the same.

The new fingerprints gather beside the old ones (`earprint.store.rebuild_tables`), which the library still
uses. When every track has new ones, one transaction switches all of them. An interrupted rebuild is
continued by the next one with the same model. Tracks that were added or removed in between are taken into
account.
"""

from collections.abc import Sequence

from earprint.encoders.base import Encoder
from earprint.errors import LibraryError
from earprint.library.compatibility import LibraryModel, library_facts, new_storage
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
    model: LibraryModel,
    *,
    encoder: Encoder | None,
    drop_missing: bool,
    on_event: OnEvent | None = None,
    pool: FileEncoder | None = None,
) -> RebuildReport:
    """Make all fingerprints again; see `earprint.Library.rebuild`.

    Parameters
    ----------
    store : Store
    model : LibraryModel
        Its encoder makes the new fingerprints.
    encoder : Encoder or None
        Used in place of the model's. It becomes the model's if the library switches to its fingerprints.
    drop_missing : bool
    on_event, pool : optional
        See `earprint.library.ingest.ingest`.

    Raises
    ------
    LibraryError
        If the library cannot be written, or no track at all could be fingerprinted again.
    """
    encoder = encoder or model.any_encoder()
    with store.writing():
        report = _rebuild(
            store, encoder, new_storage(encoder, model.wanted_storage), drop_missing, on_event, pool
        )
        if report.switched:
            model.replace(encoder)
        return report


def _rebuild(
    store: Store,
    encoder: Encoder,
    storage: Storage,
    drop_missing: bool,
    on_event: OnEvent | None,
    pool: FileEncoder | None,
) -> RebuildReport:
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
