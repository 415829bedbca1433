"""Checks of an encoder and of the fingerprints that it returns.

Both may come from other programs, so each fault is named where it enters. The checks take far less time than
encoding.
"""

import math
import os
from numbers import Integral, Real
from typing import Any, Final

import numpy as np

from earprint.encoders.base import AudioBlocks, Encoder, Fingerprints
from earprint.errors import ModelError
from earprint.quantization.codebook import Codebook

MEMBERS: Final = (
    "name",
    "model_id",
    "dim",
    "reference_hop_s",
    "query_hop_s",
    "codebook",
    "threshold",
    "encode",
)
"""Attributes and methods of an `Encoder`."""

HOP_TOLERANCE: Final = 1e-6
"""Largest relative difference of two hops that count as equal; float32 rounds them by less."""

NORM_TOLERANCE: Final = 1e-2
"""Largest difference of a row's length from 1."""


def check_encoder(encoder: Any, *, for_library: bool = True) -> Encoder:
    """Return an encoder if it has what the protocol `earprint.encoders.Encoder` asks for.

    Parameters
    ----------
    encoder : object
    for_library : bool
        Check the codebook too. Otherwise it is not read, as it may be a large file.

    Raises
    ------
    TypeError
        If an attribute or method is missing, or ``encoder`` is a class.
    ModelError
        If an attribute has a value that no encoder can have.
    """
    kind = type(encoder).__name__
    if isinstance(encoder, type):
        raise TypeError(f"encoder is the class {encoder.__name__}; give an object of it")
    # The codebook is looked up in the class where possible, which does not read it.
    missing = [name for name in MEMBERS if not hasattr(type(encoder), name) and not hasattr(encoder, name)]
    if missing:
        raise TypeError(f"encoder is of type {kind}, which has no {', '.join(missing)}; give an Encoder")
    for name in ("threshold", "encode"):
        if not callable(getattr(encoder, name)):
            raise TypeError(f"encoder is of type {kind}, whose {name} is no method; give an Encoder")
    for name in ("name", "model_id"):
        value = getattr(encoder, name)
        if not isinstance(value, str) or not value.isprintable() or not value.strip():
            raise _wrong(encoder, name, value, "text of one line")
    if not _is_whole(encoder.dim) or encoder.dim < 1:
        raise _wrong(encoder, "dim", encoder.dim, "a whole number of at least 1")
    for name in ("reference_hop_s", "query_hop_s"):
        value = getattr(encoder, name)
        if not _is_finite(value) or value <= 0:
            raise _wrong(encoder, name, value, "a number of seconds above 0")
    ratio = float(encoder.reference_hop_s) / float(encoder.query_hop_s)
    if round(ratio) < 1 or not math.isclose(ratio, round(ratio), rel_tol=HOP_TOLERANCE):
        wanted = f"a whole multiple of its query_hop_s, {encoder.query_hop_s}"
        raise _wrong(encoder, "reference_hop_s", encoder.reference_hop_s, wanted)
    if for_library:
        codebook = encoder.codebook
        if codebook is not None and not isinstance(codebook, Codebook):
            raise _wrong(encoder, "codebook", codebook, "a Codebook or None")
    checked: Encoder = encoder
    return checked


def encode_checked(encoder: Encoder, blocks: AudioBlocks, *, query: bool = False) -> Fingerprints:
    """Fingerprint one recording and check the result, see `check_fingerprints`."""
    return check_fingerprints(encoder.encode(blocks, query=query), encoder, query=query)


def check_fingerprints(made: Any, encoder: Encoder, *, query: bool = False) -> Fingerprints:
    """Return what an encoder made, as float32 and plain numbers, if it keeps the encoder's promises.

    Parameters
    ----------
    made : object
        What `Encoder.encode` returned.
    encoder : Encoder
    query : bool
        Whether the query grid was asked for.

    Raises
    ------
    ModelError
        If the type, the shape, the hop, the length or the vectors are wrong.
    """
    fault = fault_of(made, encoder, query=query)
    if fault is not None:
        raise ModelError(f"{encoder.model_id}: its encoder returned unusable fingerprints: {fault}; mend it")
    fingerprints: Fingerprints = made
    hop_s = float(encoder.query_hop_s if query else encoder.reference_hop_s)
    duration_s, margin_rows = float(made.duration_s), int(made.margin_rows)
    if (
        fingerprints.vectors.dtype == np.float32
        and type(made.hop_s) is type(made.duration_s) is float
        and made.hop_s == hop_s
    ):
        return fingerprints
    return Fingerprints(fingerprints.vectors.astype(np.float32), hop_s, duration_s, margin_rows)


def fault_of(made: Any, encoder: Encoder, *, query: bool) -> str | None:
    """Return what is wrong with fingerprints that this encoder should have made, or None.

    Parameters
    ----------
    made : object
    encoder : Encoder
    query : bool
        Whether they must be on the query grid.
    """
    if not isinstance(made, Fingerprints):
        return f"they are of type {type(made).__name__}, not Fingerprints"
    vectors: Any = made.vectors
    if not isinstance(vectors, np.ndarray) or vectors.dtype.kind != "f":
        kind = f"array of {vectors.dtype}" if isinstance(vectors, np.ndarray) else type(vectors).__name__
        return f"their vectors are of type {kind}, not an array of floating point numbers"
    if vectors.ndim != 2 or vectors.shape[1] != encoder.dim:
        return f"they have shape {vectors.shape}; those of {encoder.model_id} have shape (n, {encoder.dim})"
    hop_s = float(encoder.query_hop_s if query else encoder.reference_hop_s)
    if not _is_finite(made.hop_s) or not math.isclose(made.hop_s, hop_s, rel_tol=HOP_TOLERANCE):
        kind = "queries" if query else "references"
        hint = ", so embed the audio as a query" if query else ""
        found = f"{made.hop_s:g}" if _is_finite(made.hop_s) else repr(made.hop_s)
        return f"they have a hop of {found} s; {kind} of {encoder.model_id} have one of {hop_s:g} s{hint}"
    if not _is_finite(made.duration_s) or made.duration_s < 0:
        return f"their duration_s is {made.duration_s!r}, not a number of seconds"
    margin = made.margin_rows
    if not _is_whole(margin) or not 0 <= 2 * margin <= (len(vectors) if query else 0):
        return f"their margin_rows is {margin!r}; there are {len(vectors)} rows" + (
            "" if query else ", and references have no margin"
        )
    return _fault_of_rows(vectors)


def _fault_of_rows(vectors: Any) -> str | None:
    rows = vectors.astype(np.float32) if vectors.dtype.itemsize < 4 else vectors
    squares = np.einsum("ij,ij->i", rows, rows)
    # Not finite where a component is not, nor where it is too large for a unit vector.
    wrong = ~((np.abs(squares - 1) <= 2 * NORM_TOLERANCE) | (squares == 0))
    if not wrong.any():
        return None
    row = int(np.argmax(wrong))
    if not np.isfinite(vectors[row]).all():
        return f"row {row} holds NaN or infinite numbers"
    length = float(np.linalg.norm(vectors[row].astype(np.float64)))
    return f"row {row} has length {length:.3g}; rows are unit vectors, or zeros where it is silent"


def check_threshold(threshold: Any, encoder: Encoder) -> float:
    """Return an encoder's threshold as a float.

    Raises
    ------
    ModelError
        If it is not a finite number.
    """
    if not _is_finite(threshold):
        raise ModelError(
            f"{encoder.model_id}: its threshold is {threshold!r}, not a number; mend its encoder"
        )
    return float(threshold)


def check_number(name: str, value: Any) -> float:
    """Return an argument as a float.

    Parameters
    ----------
    name : str
        Name of the argument.
    value : object

    Raises
    ------
    TypeError
        If it is no number.
    ValueError
        If it is not finite, or too large for a float.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} is of type {type(value).__name__}; give a number")
    if not _is_finite(value):
        shown = "too large" if isinstance(value, Integral) else str(value)
        raise ValueError(f"{name} is {shown}; it must be a finite number")
    return float(value)


def model_name(model: Any) -> str:
    """Return the name or path of a model as text.

    Raises
    ------
    TypeError
        If it is neither text nor a path of text.
    """
    if isinstance(model, (str, os.PathLike)):
        name = os.fspath(model)
        if isinstance(name, str):
            return name
    raise TypeError(
        f"model is of type {type(model).__name__}; give the name of a model or the path of an .onnx file"
    )


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_finite(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond float64
        return False


def _wrong(encoder: Any, name: str, value: object, wanted: str) -> ModelError:
    shown = " ".join(repr(value).split())
    return ModelError(f"encoder of type {type(encoder).__name__}: its {name} is {shown:.100}, not {wanted}")
