"""Whether a model fits a library, and how the library stores its fingerprints."""

import math
import threading
from collections.abc import Mapping
from pathlib import Path

from earprint.encoders.base import Encoder
from earprint.errors import LibraryError, ModelError
from earprint.quantization.storage import CompactStorage, HalfStorage, Storage, StorageName
from earprint.store.store import Store


class LibraryModel:
    """The model of an open library: loaded when first needed, and compared with the library at each use.

    Parameters
    ----------
    store : Store
    name : str
        Name or path of the model.
    encoder : Encoder or None
        Used in place of ``name``.
    storage : {"half", "compact"} or None
        Storage that the library must have.

    Raises
    ------
    ModelError
        If another model than ``encoder`` made the library.
    """

    def __init__(self, store: Store, name: str, encoder: Encoder | None, storage: StorageName | None) -> None:
        self.wanted_storage = storage
        self._store = store
        self._name = name
        self._lock = threading.Lock()
        self._encoder = encoder
        if encoder is not None:
            self.storage(encoder, store.catalogue.meta())

    def any_encoder(self) -> Encoder:
        """Return the encoder, even if another model made the library."""
        with self._lock:
            if self._encoder is None:
                # Here, as list and remove need no model and its runtime is large.
                from earprint.encoders import load_encoder

                self._encoder = load_encoder(self._name)
            return self._encoder

    def encoder(self) -> Encoder:
        """Return the encoder.

        Raises
        ------
        ModelError
            If another model made the library.
        """
        encoder = self.any_encoder()
        # At each use, as another process may have filled or rebuilt the library with another model.
        self.storage(encoder, self._store.catalogue.meta())
        return encoder

    def replace(self, encoder: Encoder) -> None:
        """Use another encoder from now on."""
        with self._lock:
            self._encoder = encoder

    def storage(self, encoder: Encoder, meta: Mapping[str, str]) -> Storage:
        """Return how the library stores its fingerprints, see `storage_of`."""
        return storage_of(encoder, meta, self._store.path, self.wanted_storage)

    def current_storage(self, encoder: Encoder) -> Storage:
        """Return how the library stores its fingerprints now."""
        return self.storage(encoder, self._store.catalogue.meta())

    def bind(self, encoder: Encoder) -> Storage:
        """Record the model and the storage in an empty library; the caller holds the writer lock."""
        self._store.catalogue.set_meta(library_facts(encoder, self.current_storage(encoder)))
        return self.current_storage(encoder)


def library_facts(encoder: Encoder, storage: Storage) -> dict[str, str]:
    """Return what a library records of its model and storage."""
    return {
        "model_id": encoder.model_id,
        "dim": str(encoder.dim),
        "reference_hop_s": repr(encoder.reference_hop_s),
        "storage": storage.key,
    }


def new_storage(encoder: Encoder, wanted: StorageName | None) -> Storage:
    """Return how a new library of a model stores its fingerprints.

    Parameters
    ----------
    encoder : Encoder
    wanted : {"half", "compact"} or None
        None for compact if the model has a codebook, else half.

    Raises
    ------
    ModelError
        If ``wanted`` is compact and the model has no codebook.
    """
    if encoder.codebook is not None and wanted != "half":
        return CompactStorage(encoder.codebook)
    if wanted == "compact":
        raise ModelError(
            f"{encoder.model_id}: has no codebook, which a compact library needs; make one with `earprint "
            "train codebook`, or choose the storage 'half'"
        )
    return HalfStorage(encoder.dim)


def storage_of(
    encoder: Encoder, meta: Mapping[str, str], path: Path, wanted: StorageName | None = None
) -> Storage:
    """Return how a library stores its fingerprints, or how it would if it is empty.

    Parameters
    ----------
    encoder : Encoder
    meta : mapping of str to str
        Facts of the library, see `library_facts`.
    path : Path
        The library's folder, for messages.
    wanted : {"half", "compact"} or None
        Storage that the library must have.

    Raises
    ------
    ModelError
        If another model or codebook made the library.
    LibraryError
        If it has another storage than ``wanted``.
    """
    made_by = meta.get("model_id")
    if made_by is None:
        return new_storage(encoder, wanted)
    if made_by != encoder.model_id:
        raise ModelError(
            f"{path}: was made by model {made_by}, not {encoder.model_id}; open it with that model, "
            "or run `earprint rebuild` to make its fingerprints again from the files"
        )
    hop_s = float(meta["reference_hop_s"])
    if int(meta["dim"]) != encoder.dim or not math.isclose(hop_s, encoder.reference_hop_s):
        raise ModelError(
            f"{path}: stores {meta['dim']} numbers each {hop_s:g} s, and model {made_by} now makes "
            f"{encoder.dim} each {encoder.reference_hop_s:g} s; run `earprint rebuild` to make its "
            "fingerprints again from the files"
        )
    key = meta.get("storage", "half")
    name = key.partition("-")[0]
    if wanted not in (None, name):
        raise LibraryError(
            f"{path}: stores its fingerprints as '{name}', not '{wanted}'; leave the choice out, or run "
            "`earprint rebuild --storage` to change it"
        )
    if key == "half":
        return HalfStorage(encoder.dim)
    if encoder.codebook is None or (storage := CompactStorage(encoder.codebook)).key != key:
        raise ModelError(
            f"{path}: was made with another codebook than model {made_by} has now; restore that one, or run "
            "`earprint rebuild` to make the fingerprints again from the files"
        )
    return storage
