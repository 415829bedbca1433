"""Identification of one query: embed it, search the library, apply the threshold."""

import os
import time
from collections.abc import Callable
from numbers import Integral
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from earprint.audio.sources import name_of
from earprint.constants import SAMPLE_RATE
from earprint.encoders.base import AudioBlocks, Encoder, Fingerprints, SegmentEncoder, cohort_of
from earprint.encoders.embed import audio_blocks, is_file
from earprint.encoders.model_file import threshold_at
from earprint.encoders.validation import (
    check_fingerprints,
    check_number,
    check_threshold,
    encode_checked,
    fault_of,
)
from earprint.index import Index, IndexChoice
from earprint.index.validation import check_index
from earprint.library.compatibility import LibraryModel
from earprint.library.ingest import no_sound
from earprint.library.results import Identification, Match, Segment
from earprint.library.segments import matches_of, segment_finder
from earprint.library.view import ViewCache
from earprint.matching import MIN_VOTE_SHARE, Method, leads, search
from earprint.matching.segments import MAX_PITCH_S, Repitch
from earprint.parallel.blas_threads import one_thread_for_products
from earprint.quantization.storage import CompactStorage, Storage

CERTAIN_SPEED: Final = 0.045
"""Largest change of speed, as a share, at which a match of the plain search is kept; it tries up to 0.05."""

FALSE_ACCEPTS: Final = 1e-3
"""Highest expected number of chance segments in an answer, by default."""

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
    false_accepts: float = FALSE_ACCEPTS,
    repitch: Repitch | None = None,
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
    false_accepts : float
    repitch : callable, optional
        Of `Fingerprints`: returns them at another pitch. Other sources need none.
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
    if isinstance(top, bool) or not isinstance(top, Integral):
        raise TypeError(f"top is of type {type(top).__name__}; give a whole number")
    if top < 1:
        raise ValueError(f"top is {top}; ask for at least one answer")
    if threshold is not None:
        threshold = check_number("threshold", threshold)
    if not 0.0 < false_accepts < 1.0:
        raise ValueError(f"false_accepts is {false_accepts}; it must be above 0 and below 1")
    encoder = model.encoder()
    began = time.perf_counter()
    warnings: list[str] = []
    query, own_repitch = embed_query(source, encoder, sample_rate, warnings)
    repitch = repitch or own_repitch
    if query.silent.all():
        name = name_of(source) if is_file(source) else "the query"
        warnings.append(f"{name}: {no_sound(query)}")
    view = views.current()
    storage = model.storage(encoder, view.meta)  # a rebuild may have switched to another model meanwhile
    if view.damaged:
        count, noun = len(view.damaged), "recording is" if len(view.damaged) == 1 else "recordings are"
        warnings.append(f"the library: {count} {noun} damaged and not searched; run `earprint repair`")
    searched = view.index(storage, index)
    if searched is not None and wrap_index is not None:
        searched = check_index(wrap_index(searched), wrap_index, len(searched))
    alignments = []
    if searched is not None:
        ratio = round(encoder.reference_hop_s / encoder.query_hop_s)
        cohort = cohort_of(encoder)
        alignments = search(query, searched, view.table, ratio=ratio, method=method, cohort=cohort)
    finder = segment_finder(query, encoder, view, searched) if method == "aligned" else None
    search_further = threshold is None and finder is not None
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
    matches = [match for match in candidates if match.score >= threshold]
    segments: list[Segment] = []
    if finder is not None:
        segments = [finder.of_alignment(alignments[0])] if matches else []
        if search_further and (finder.is_long() or not _is_certain(segments, false_accepts)):
            with one_thread_for_products():
                found = finder.find(false_accepts, repitch)
            if found:
                segments, matches = found, matches_of(found, candidates)
                tracks = {match.track.id for match in matches}
                candidates = [*matches, *(one for one in candidates if one.track.id not in tracks)][:top]
    return Identification(
        query_duration_s=query.duration_s,
        threshold=threshold,
        matches=matches,
        candidates=candidates,
        seconds=time.perf_counter() - began,
        warnings=warnings,
        segments=segments,
    )


def _is_certain(segments: list[Segment], false_accepts: float) -> bool:
    """Whether the plain search has found a segment that is hardly chance, at a speed within its range."""
    return any(
        one.expected_false <= false_accepts and abs(one.speed - 1.0) <= CERTAIN_SPEED for one in segments
    )


def embed_query(
    source: Source, encoder: Encoder, sample_rate: int | None, warnings: list[str]
) -> tuple[Fingerprints, Repitch | None]:
    """Return the fingerprints of a query, on the query grid, and what makes them at another pitch.

    Parameters
    ----------
    source : path, binary file, ndarray of shape (n,), (n, channels) or (channels, n), or Fingerprints
    encoder : Encoder
    sample_rate : int or None
        Of an array, in Hz.
    warnings : list of str
        Gets a line for each fault of a file that was decoded nevertheless.

    Returns
    -------
    fingerprints : Fingerprints
    repitch : callable or None
        None for encoders that cannot, and for queries that are longer than `MAX_PITCH_S`.
    """
    if isinstance(source, Fingerprints):
        return _checked(source, encoder), None
    kept: list[NDArray[np.float32]] = []
    with one_thread_for_products():
        blocks = audio_blocks(source, sample_rate, warnings.append)
        query = encode_checked(encoder, _keeping(blocks, kept), query=True)
    if not isinstance(encoder, SegmentEncoder) or query.duration_s > MAX_PITCH_S:
        return query, None

    def repitch(pitch: float) -> Fingerprints:
        return check_fingerprints(encoder.encode_at_pitch(kept, pitch), encoder, query=True)

    return query, repitch


def _keeping(blocks: AudioBlocks, kept: list[NDArray[np.float32]]) -> AudioBlocks:
    """Yield blocks, and keep them as long as they are together no longer than `MAX_PITCH_S`."""
    total = 0
    for block in blocks:
        total += len(block)
        if total <= MAX_PITCH_S * SAMPLE_RATE:
            kept.append(block)
        else:
            kept.clear()
        yield block


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
    return check_threshold(encoder.threshold(duration_s), encoder)


def _checked(query: Fingerprints, encoder: Encoder) -> Fingerprints:
    """Return an embedded query if this encoder could have made it."""
    fault = fault_of(query, encoder, query=True)
    if fault is not None:
        raise ValueError(f"the fingerprints do not fit: {fault}")
    return query
