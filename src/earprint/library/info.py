"""Description of a library: size, model and state."""

from earprint.library.results import LibraryInfo
from earprint.library.view import View
from earprint.store import rebuild_tables
from earprint.store.store import Store


def describe(store: Store, view: View) -> LibraryInfo:
    """Describe a library; see `earprint.Library.info`."""
    meta, tracks = view.meta, [*view.tracks, *view.damaged]
    return LibraryInfo(
        path=str(store.path),
        tracks=len(tracks),
        duration_s=sum(track.duration_s for track in tracks),
        fingerprints=int(view.table.n_rows.sum()),
        removed=store.catalogue.removed_count(),
        segments=len(view.snapshot.segments),
        size_bytes=store.size_bytes(),
        model_id=meta.get("model_id"),
        dim=int(meta["dim"]) if "dim" in meta else None,
        reference_hop_s=float(meta["reference_hop_s"]) if "reference_hop_s" in meta else None,
        storage=meta.get("storage", "half").partition("-")[0] if "model_id" in meta else None,
        format_version=store.catalogue.format_version(),
        damaged=len(view.damaged),
        unfinished_rebuild=rebuild_tables.unfinished(store),
    )
