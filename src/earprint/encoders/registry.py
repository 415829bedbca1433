"""Models by name: those of this package and of other installed packages, or your own by path."""

import functools
import os
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any, Final

from earprint import plugins
from earprint.encoders.base import Encoder
from earprint.encoders.dense import DenseEncoder
from earprint.encoders.model_file import FINDS, QUERY_SUFFIX, ModelFile, NetworkSession, open_model
from earprint.encoders.windowed import WindowedEncoder
from earprint.errors import EarprintError, ModelError

DEFAULT_MODEL: Final = "dense"
"""The model used where none is named."""

PACKAGE_OF: Final = {"plain": "earprint-paper"}
"""Models of the repository that a package of their own provides."""

SessionFactory = Callable[[ModelFile], NetworkSession]
"""Makes what runs a model's network, instead of onnxruntime."""

_session_factory: SessionFactory | None = None


def weights_folder() -> Path:
    """Return the folder of the weights that come with this package."""
    return Path(str(resources.files("earprint") / "weights"))


def _packaged_names() -> set[str]:
    files = weights_folder().glob("*.onnx")
    return {path.stem for path in files if not path.name.endswith(QUERY_SUFFIX)}


def model_names() -> list[str]:
    """Return the names of all installed models, sorted.

    These are the models of this package and those of other packages' entry points in the group
    ``earprint.models``.

    Examples
    --------
    >>> from earprint.encoders import model_names
    >>> "dense" in model_names()
    True
    """
    return sorted({*_packaged_names(), *plugins.plugin_names(plugins.MODELS)})


def find_model(name: str) -> ModelFile:
    """Open a model by its name or by the path of an ONNX file.

    Raises
    ------
    ModelError
        If there is none, or it has no ONNX file.
    """
    found = _find(name)
    if not isinstance(found, ModelFile):
        raise ModelError(
            f"{name}: is implemented by another package and has no model file that earprint can read; "
            "name another model"
        )
    return found


def _find(name: str) -> ModelFile | Encoder:
    """Open a model, or return the encoder of another package."""
    if name.endswith(".onnx"):
        model = open_model(Path(name))
        if FINDS in model.card:
            raise ModelError(
                f"{name}: is for queries only; name the model beside it, "
                f"{name.removesuffix(QUERY_SUFFIX)}.onnx"
            )
        return model
    if name in _packaged_names():
        return open_model(weights_folder() / f"{name}.onnx")
    found = plugins.load_plugin(plugins.MODELS, name, ModelError)
    if found is not None:
        return _from_plugin(name, found)
    if name in PACKAGE_OF:
        raise ModelError(
            f"{name}: comes with the package {PACKAGE_OF[name]}, which is not installed; run "
            f"`pip install ./packages/{PACKAGE_OF[name]}` in a checkout of earprint's repository"
        )
    raise ModelError(
        f"{name}: no model of this name is installed (there are: {', '.join(model_names())}); "
        "name one of them or give the path of an .onnx file made by `earprint train export`"
    )


def _from_plugin(name: str, found: Any) -> ModelFile | Encoder:
    """Open what another package's entry point provides."""
    try:
        if callable(found):
            found = found()
        if isinstance(found, (str, os.PathLike)):
            return open_model(Path(found))
    except EarprintError:
        raise
    except Exception as error:
        raise ModelError(f"{name}: {plugins.broken_plugin(plugins.MODELS, name, error)}") from error
    if isinstance(found, Encoder):
        return found
    fault = f"it gives a {type(found).__name__}, not a path or an Encoder"
    raise ModelError(f"{name}: {plugins.broken_plugin(plugins.MODELS, name, fault)}")


def load_encoder(name: str = DEFAULT_MODEL, threads: int = 0) -> Encoder:
    """Load an encoder; the same arguments give the same object.

    Parameters
    ----------
    name : str
        An installed model (see `earprint.encoders.model_names`), or the path of an ONNX file with its model
        card, a JSON file of the same name, beside it.
    threads : int
        Threads for one call of the network; 0 for one per core.

    Returns
    -------
    Encoder

    Raises
    ------
    ModelError
        If there is no such model, or it cannot be loaded.

    Examples
    --------
    >>> import numpy as np
    >>> import earprint
    >>> encoder = earprint.load_encoder("dense")
    >>> block = np.random.default_rng(0).standard_normal(48_000).astype(np.float32)  # 3 s at 16 kHz
    >>> encoder.encode([block]).vectors.shape
    (7, 128)
    """
    return _load(name, threads)


def use_sessions(factory: SessionFactory | None) -> None:
    """Replace onnxruntime for windowed encoders that this process loads from now on.

    Encoders that were loaded before keep their sessions.

    Parameters
    ----------
    factory : callable or None
        None restores onnxruntime.
    """
    global _session_factory
    _session_factory = factory
    _load.cache_clear()


@functools.lru_cache(maxsize=4)
def _load(name: str, threads: int) -> Encoder:
    model = _find(name)
    if not isinstance(model, ModelFile):
        return model
    match model.encoder:
        case "dense":
            return DenseEncoder(model, threads)
        case "windowed":
            session = None if _session_factory is None else _session_factory(model)
            return WindowedEncoder(model, threads, session)
        case None:
            fault = f"unknown network {model.network!r}"
        case other:
            fault = f"unknown encoder {other!r}"
    raise ModelError(f"{model.path}: {fault}; a newer earprint may know it")


def describe_model(name: str = DEFAULT_MODEL) -> dict[str, object]:
    """Return what is known of a model: its card, identity, file, and size in bytes.

    Raises
    ------
    ModelError
        If there is no such model.

    Examples
    --------
    >>> from earprint.encoders import describe_model
    >>> card = describe_model("dense")
    >>> card["dim"], card["codebook"]["bytes_per_fingerprint"]
    (128, 25)
    """
    model = _find(name)
    if not isinstance(model, ModelFile):
        return {
            "name": model.name,
            "model_id": model.model_id,
            "dim": model.dim,
            "reference_hop_s": model.reference_hop_s,
            "query_hop_s": model.query_hop_s,
        }
    known = _describe_file(model)
    query = model.query_model()
    if query is not model:
        known["query"] = _describe_file(query)
    codebook = model.codebook()
    if codebook is not None:
        known["codebook"] = {
            "file": str(model.codebook_path),
            "bytes": model.codebook_path.stat().st_size,
            "digest": codebook.digest,
            "bytes_per_fingerprint": codebook.width,
            "threshold": {f"{length:g}": score for length, score in sorted(codebook.thresholds.items())},
        }
    return known


def _describe_file(model: ModelFile) -> dict[str, object]:
    return {
        **model.card,
        "model_id": model.model_id,
        "file": str(model.path),
        "bytes": model.path.stat().st_size,
    }
