"""One question to a library: audio in, the recordings it may come from out."""

import math
import os
import time
from collections.abc import Callable
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from earprint.audio import resample, stream_audio
from earprint.audio.sources import name_of
from earprint.encoders.base import AudioBlocks, Encoder, Fingerprints, sounds_of
from earprint.encoders.model_file import threshold_at
from earprint.index import Index, IndexName
from earprint.library.results import Identification, Match
from earprint.library.view import View
from earprint.matching import AGREEMENT, Method, leads, search
from earprint.parallel.blas_threads import one_thread_for_products
from earprint.quantization.storage import CompactStorage, Storage

AudioSource = str | os.PathLike[str] | BinaryIO | NDArray[np.generic]

Source = AudioSource | Fingerprints
"""A path, an open binary file, samples of shape (n,) or (n, channels), or fingerprints on the query grid."""


def identify(
    source: Source,
    *,
    encoder: Encoder,
    current_view: Callable[[], tuple[View, Storage]],
    index: IndexName,
    sample_rate: int,
    top: int,
    threshold: float | None,
    method: Method,
    wrap_index: Callable[[Index], Index] | None = None,
) -> Identification:
    """Answer one question; see `earprint.Library.identify`.

    Parameters
    ----------
    source : path, binary file, ndarray of shape (n,) or (n, channels), or Fingerprints
    encoder : Encoder
    current_view : callable
        Gives what is to be searched, and how it is stored, once the query's fingerprints are made.
    index : {"auto", "exact", "lsh", "inverted"}
    sample_rate : int
        Of an array, in Hz.
    top : int
    threshold : float or None
    method : {"aligned", "paper"}
    wrap_index : callable, optional
        Takes the library's index and returns one over the same rows, which is searched instead.

    Returns
    -------
    Identification

    Raises
    ------
    AudioError
        If the source gives no audio.
    ValueError
        If one of the settings makes no sense.
    """
    if method not in ("aligned", "paper"):
        raise ValueError(f"method is {method!r}; it must be 'aligned' or 'paper'")
    if top < 1:
        raise ValueError(f"top is {top}; ask for at least one answer")
    if threshold is not None and not math.isfinite(threshold):
        raise ValueError(f"threshold is {threshold}; it must be a finite number")
    began = time.perf_counter()
    warnings: list[str] = []
    if isinstance(source, Fingerprints):
        query = _checked(source, encoder)
    else:
        with one_thread_for_products():
            query = encoder.encode(_blocks(source, sample_rate, warnings), query=True)
    if query.silent.all():
        name = "the query" if isinstance(source, np.ndarray | Fingerprints) else name_of(source)
        warnings.append(f"{name}: is silent throughout; there is nothing to recognise it by")
    ratio = round(encoder.reference_hop_s / encoder.query_hop_s)
    view, storage = current_view()
    if view.damaged:
        count, noun = len(view.damaged), "recording is" if len(view.damaged) == 1 else "recordings are"
        warnings.append(f"the library: {count} {noun} damaged and not searched; run `earprint repair`")
    searched = view.index(storage, index)
    if searched is not None and wrap_index is not None:
        searched = wrap_index(searched)
    alignments = []
    if searched is not None:
        sounds = sounds_of(encoder)
        alignments = search(query, searched, view.table, ratio=ratio, method=method, sounds=sounds)
    if threshold is None:
        paper = method == "paper"
        threshold = AGREEMENT if paper else threshold_of(encoder, storage, query.duration_s)
    candidates = [
        Match(
            track=view.tracks[alignment.track],
            start_s=alignment.start_s,
            end_s=alignment.start_s + query.duration_s * alignment.speed,
            score=alignment.score,
            lead=lead,
            speed=alignment.speed,
        )
        for alignment, lead in list(zip(alignments, leads(alignments), strict=True))[:top]
    ]
    return Identification(
        query_duration_s=query.duration_s,
        threshold=threshold,
        matches=[match for match in candidates if match.score >= threshold],
        candidates=candidates,
        seconds=time.perf_counter() - began,
        warnings=warnings,
    )


def threshold_of(encoder: Encoder, storage: Storage, duration_s: float) -> float:
    """Score of a match for a query of some length: the codebook's for compact rows, or else the model's.

    Parameters
    ----------
    encoder : Encoder
    storage : Storage
    duration_s : float
        Length of the query, in seconds.
    """
    if isinstance(storage, CompactStorage) and storage.codebook.thresholds:
        return threshold_at(storage.codebook.thresholds, duration_s)
    return encoder.threshold(duration_s)


def _checked(query: Fingerprints, encoder: Encoder) -> Fingerprints:
    """Refuse fingerprints that the library's model cannot have made for a query."""
    if query.vectors.ndim != 2 or query.vectors.shape[1] != encoder.dim:
        raise ValueError(f"fingerprints of shape {query.vectors.shape}; the model's are (n, {encoder.dim})")
    if not math.isclose(query.hop_s, encoder.query_hop_s):
        raise ValueError(
            f"fingerprints every {query.hop_s:g} s; those of a query come every {encoder.query_hop_s:g} s: "
            "encode it with query=True"
        )
    return query


def _blocks(source: AudioSource, sample_rate: int, warnings: list[str]) -> AudioBlocks:
    if isinstance(source, np.ndarray):
        return [resample(source, sample_rate)]
    return stream_audio(source, on_warning=warnings.append)
