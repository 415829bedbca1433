"""Identification of one query: embed it, search the library, apply the threshold."""

import math
import os
import time
from collections.abc import Callable
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from earprint.audio.sources import name_of
from earprint.encoders.base import Encoder, Fingerprints, cohort_of
from earprint.encoders.embed import audio_blocks, is_file
from earprint.encoders.model_file import threshold_at
from earprint.index import Index, IndexChoice
from earprint.library.compatibility import LibraryModel
from earprint.library.results import Identification, Match
from earprint.library.view import ViewCache
from earprint.matching import MIN_VOTE_SHARE, Method, leads, search
from earprint.parallel.blas_threads import one_thread_for_products
from earprint.quantization.storage import CompactStorage, Storage

Source = str | os.PathLike[str] | BinaryIO | NDArray[np.generic] | Fingerprints
"""A path, an open file, samples of shape (n,), (n, channels) or (channels, n), or query fingerprints."""


def identify(
    source: Source,
    *,
    model: LibraryModel,
    views: ViewCache,
    index: IndexChoice,
    sample_rate: int | None,
    top: int,
    threshold: float | None,
    method: Method,
    wrap_index: Callable[[Index], Index] | None = None,
) -> Identification:
    """Answer one query; see `earprint.Library.identify`.

    Parameters
    ----------
    source : path, binary file, ndarray of shape (n,), (n, channels) or (channels, n), or Fingerprints
    model : LibraryModel
    views : ViewCache
    index : str or callable
        See `earprint.index.make_index`.
    sample_rate : int or None
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
        If a setting is invalid, an array has no ``sample_rate``, or fingerprints do not fit the encoder.
    """
    if method not in ("aligned", "paper"):
        raise ValueError(f"method is {method!r}; it must be 'aligned' or 'paper'")
    if top < 1:
        raise ValueError(f"top is {top}; ask for at least one answer")
    if threshold is not None and not math.isfinite(threshold):
        raise ValueError(f"threshold is {threshold}; it must be a finite number")
    encoder = model.encoder()
    began = time.perf_counter()
    warnings: list[str] = []
    query = embed_query(source, encoder, sample_rate, warnings)
    if query.silent.all():
        name = name_of(source) if is_file(source) else "the query"
        warnings.append(f"{name}: is silent throughout; there is nothing to recognise it by")
    view = views.current()
    storage = model.storage(encoder, view.meta)  # a rebuild may have switched to another model meanwhile
    if view.damaged:
        count, noun = len(view.damaged), "recording is" if len(view.damaged) == 1 else "recordings are"
        warnings.append(f"the library: {count} {noun} damaged and not searched; run `earprint repair`")
    searched = view.index(storage, index)
    if searched is not None and wrap_index is not None:
        searched = wrap_index(searched)
    alignments = []
    if searched is not None:
        ratio = round(encoder.reference_hop_s / encoder.query_hop_s)
        cohort = cohort_of(encoder)
        alignments = search(query, searched, view.table, ratio=ratio, method=method, cohort=cohort)
    if threshold is None:
        paper = method == "paper"
        threshold = MIN_VOTE_SHARE if paper else threshold_of(encoder, storage, query.duration_s)
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


def embed_query(
    source: Source, encoder: Encoder, sample_rate: int | None, warnings: list[str]
) -> Fingerprints:
    """Return the fingerprints of a query, on the query grid.

    Parameters
    ----------
    source : path, binary file, ndarray of shape (n,), (n, channels) or (channels, n), or Fingerprints
    encoder : Encoder
    sample_rate : int or None
        Of an array, in Hz.
    warnings : list of str
        Gets a line for each fault of a file that was decoded nevertheless.
    """
    if isinstance(source, Fingerprints):
        return _checked(source, encoder)
    with one_thread_for_products():
        return encoder.encode(audio_blocks(source, sample_rate, warnings.append), query=True)


def threshold_of(encoder: Encoder, storage: Storage, duration_s: float) -> float:
    """Return the lowest score of a match: from the codebook for compact storage, else from the model.

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
    """Return an embedded query if this encoder could have made it."""
    if query.vectors.ndim != 2 or query.vectors.shape[1] != encoder.dim:
        raise ValueError(
            f"the fingerprints have shape {query.vectors.shape}; those of {encoder.model_id} have shape "
            f"(n, {encoder.dim})"
        )
    if not math.isclose(query.hop_s, encoder.query_hop_s):
        raise ValueError(
            f"the fingerprints have a hop of {query.hop_s:g} s; queries of {encoder.model_id} have one of "
            f"{encoder.query_hop_s:g} s, so embed the audio as a query"
        )
    return query
