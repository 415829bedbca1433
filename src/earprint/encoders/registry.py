"""Models by name: those in the package, or one of your own by the path of its ONNX file."""

import functools
from collections.abc import Callable
from importlib import resources
from pathlib import Path

from earprint.encoders.base import Encoder
from earprint.encoders.dense import DenseEncoder
from earprint.encoders.model_file import FINDS, QUERY_SUFFIX, ModelFile, NetworkSession, open_model
from earprint.encoders.windowed import WindowedEncoder
from earprint.errors import ModelError

DEFAULT_MODEL = "dense"
"""The model that is used where none is named."""

DENSE_NETWORKS = ("dense", "dense-attention")
"""Networks that run once over a recording, without and with attention."""

WINDOWED_NETWORKS = ("attention", "plain", "nafp")
"""Networks that see one segment at a time: the paper's, the same without attention, its baseline's."""

SessionMaker = Callable[[ModelFile], NetworkSession | None]
"""Makes what runs a model's network; None leaves it to onnxruntime."""

_make_session: SessionMaker = lambda _model: None  # noqa: E731


def weights_folder() -> Path:
    """Where the package keeps its weights."""
    return Path(str(resources.files("earprint") / "weights"))


def model_names() -> list[str]:
    """Names of the models that come with the package."""
    files = weights_folder().glob("*.onnx")
    return sorted(path.stem for path in files if not path.name.endswith(QUERY_SUFFIX))


def find_model(name: str) -> ModelFile:
    """Open a model by its name or by the path of an ONNX file.

    Raises
    ------
    ModelError
        If there is none.
    """
    if name.endswith(".onnx"):
        model = open_model(Path(name))
        if FINDS in model.card:
            raise ModelError(
                f"{name}: is for queries only; name the model beside it, "
                f"{name.removesuffix(QUERY_SUFFIX)}.onnx"
            )
        return model
    if name not in model_names():
        known = ", ".join(model_names()) or "none"
        raise ModelError(
            f"{name}: no model of this name comes with earprint (there are: {known}); "
            "name one of them or give the path of an .onnx file made by `earprint train export`"
        )
    return open_model(weights_folder() / f"{name}.onnx")


def load_encoder(name: str = DEFAULT_MODEL, threads: int = 0) -> Encoder:
    """Load an encoder, once per process.

    Parameters
    ----------
    name : str
        A model that comes with the package, or the path of an ONNX file with its JSON file beside it.
    threads : int
        Threads for one call of the network; 0 for one per core.

    Returns
    -------
    Encoder

    Raises
    ------
    ModelError
        If there is no such model or it cannot be loaded.
    """
    return _load(name, threads)


def use_sessions(make: SessionMaker | None) -> None:
    """Have the networks of encoders that see windows run by something else, in this process from now on.

    Encoders that were loaded before are kept by whoever has them, and are loaded anew when asked for again.

    Parameters
    ----------
    make : callable or None
        None goes back to onnxruntime.
    """
    global _make_session
    _make_session = (lambda _model: None) if make is None else make
    _load.cache_clear()


@functools.lru_cache(maxsize=4)
def _load(name: str, threads: int) -> Encoder:
    model = find_model(name)
    if model.network in DENSE_NETWORKS:
        return DenseEncoder(model, threads)
    if model.network in WINDOWED_NETWORKS:
        return WindowedEncoder(model, threads, _make_session(model))
    raise ModelError(
        f"{model.path}: unknown network {model.network!r}; this earprint knows "
        f"{', '.join((*DENSE_NETWORKS, *WINDOWED_NETWORKS))}, a newer one may know it"
    )


def describe_model(name: str = DEFAULT_MODEL) -> dict[str, object]:
    """What is known of a model: its card, identity, file and size in bytes.

    Raises
    ------
    ModelError
        If there is no such model.
    """
    model = find_model(name)
    known: dict[str, object] = {
        **model.card,
        "model_id": model.model_id,
        "file": str(model.path),
        "bytes": model.path.stat().st_size,
    }
    query = model.query_model()
    if query is not model:
        known["query"] = {
            **query.card,
            "model_id": query.model_id,
            "file": str(query.path),
            "bytes": query.path.stat().st_size,
        }
    book = model.codebook()
    if book is not None:
        known["codebook"] = {
            "file": str(model.codebook_path),
            "bytes": model.codebook_path.stat().st_size,
            "digest": book.digest,
            "bytes_per_fingerprint": book.width,
            "threshold": {f"{length:g}": score for length, score in sorted(book.thresholds.items())},
        }
    return known
