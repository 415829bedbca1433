"""How a library stores its fingerprints, and whether a model may make more of them."""

import math
from collections.abc import Mapping
from pathlib import Path

from earprint.encoders.base import Encoder
from earprint.errors import LibraryError, ModelError
from earprint.quantization.storage import CompactStorage, HalfStorage, Storage, StorageName


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
        If it is to be compact and the model has no codebook.
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
    """Return how a library, or else a new one, stores its fingerprints, if the model can make them.

    Parameters
    ----------
    encoder : Encoder
    meta : mapping of str to str
        What the library remembers.
    path : Path
        The library's folder, for messages.
    wanted : {"half", "compact"} or None
        What it must be, if anything.

    Raises
    ------
    ModelError
        If another model or codebook made the library.
    LibraryError
        If it is stored otherwise than wanted.
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
