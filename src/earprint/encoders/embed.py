"""Fingerprints of files and arrays, without a library."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, BinaryIO, Literal, TypeGuard, overload

import numpy as np
from numpy.typing import NDArray

from earprint.audio.arrays import array_to_mono
from earprint.audio.decode import stream_audio
from earprint.audio.sources import AudioSource, name_of
from earprint.constants import SAMPLE_RATE
from earprint.encoders.base import AudioBlocks, Encoder, Fingerprints
from earprint.encoders.registry import DEFAULT_MODEL, load_encoder
from earprint.encoders.validation import check_encoder, encode_checked
from earprint.errors import AudioError
from earprint.parallel.blas_threads import one_thread_for_products
from earprint.parallel.cores import usable_cores

Source = str | os.PathLike[str] | BinaryIO | NDArray[np.generic]
"""A file's path, an open binary file, or an array of shape (n,), (n, channels) or (channels, n)."""

OnWarning = Callable[[str], None]


def embed(
    source: Source,
    *,
    sample_rate: int | None = None,
    model: str | os.PathLike[str] = DEFAULT_MODEL,
    encoder: Encoder | None = None,
    query: bool = False,
    on_warning: OnWarning | None = None,
) -> Fingerprints:
    """Compute the fingerprints of one recording.

    Parameters
    ----------
    source : path, binary file, or ndarray of shape (n,), (n, channels) or (channels, n)
        Audio or video of any format that FFmpeg reads, or samples. The channels are averaged.
    sample_rate : int, optional
        Sample rate of an array, in Hz. Required for arrays; files state their own.
    model : str
        Name of a model or path of an ONNX file, see `earprint.load_encoder`.
    encoder : Encoder, optional
        Used instead of ``model``.
    query : bool
        Use the query grid (40 ms for ``dense``) instead of the reference grid (320 ms).
    on_warning : callable, optional
        Called with one line of text for each fault of a damaged file that was repaired.

    Returns
    -------
    Fingerprints

    Raises
    ------
    AudioError
        If the source is missing or has no usable audio.
    ModelError
        If there is no such model.
    ValueError, TypeError
        If an array has no ``sample_rate``, an ambiguous shape, or samples that are not finite numbers.

    See Also
    --------
    embed_batch : many recordings, several at a time.

    Examples
    --------
    >>> import earprint
    >>> fingerprints = earprint.embed("music/song 0.wav")
    >>> fingerprints.vectors.shape, fingerprints.hop_s, fingerprints.duration_s
    ((35, 128), 0.32, 12.0)
    >>> import numpy as np
    >>> samples = np.random.default_rng(0).standard_normal((2, 44_100))
    >>> earprint.embed(samples, sample_rate=44_100, query=True).hop_s
    0.04
    >>> earprint.embed(samples)
    Traceback (most recent call last):
    ...
    ValueError: array of shape (2, 44100): its sample rate is unknown; pass sample_rate=..., in Hz
    """
    blocks = audio_blocks(source, sample_rate, on_warning)
    encoder = load_encoder(model) if encoder is None else check_encoder(encoder, for_library=False)
    with one_thread_for_products():
        return encode_checked(encoder, blocks, query=query)


@overload
def embed_batch(
    sources: Iterable[Source],
    *,
    sample_rate: int | None = ...,
    model: str | os.PathLike[str] = ...,
    encoder: Encoder | None = ...,
    query: bool = ...,
    return_exceptions: Literal[False] = ...,
    jobs: int = ...,
    on_warning: OnWarning | None = ...,
) -> Iterator[Fingerprints]: ...


@overload
def embed_batch(
    sources: Iterable[Source],
    *,
    sample_rate: int | None = ...,
    model: str | os.PathLike[str] = ...,
    encoder: Encoder | None = ...,
    query: bool = ...,
    return_exceptions: bool,
    jobs: int = ...,
    on_warning: OnWarning | None = ...,
) -> Iterator[Fingerprints | Exception]: ...


def embed_batch(
    sources: Iterable[Source],
    *,
    sample_rate: int | None = None,
    model: str | os.PathLike[str] = DEFAULT_MODEL,
    encoder: Encoder | None = None,
    query: bool = False,
    return_exceptions: bool = False,
    jobs: int = 0,
    on_warning: OnWarning | None = None,
) -> Iterator[Fingerprints | Exception]:
    """Compute the fingerprints of many recordings, on several threads.

    Parameters
    ----------
    sources : iterable of path, binary file or ndarray
        Read a few ahead, so it may be a generator of any length.
    sample_rate : int, optional
        Sample rate of all arrays, in Hz. Required for arrays.
    model, encoder, query
        See `embed`. ``encoder.encode`` is called from several threads.
    return_exceptions : bool
        If False, the first source that fails raises its error. If True, the error, of any type, takes the
        place of that source's fingerprints, and the others go on.
    jobs : int
        Number of threads; 0 for one per core.
    on_warning : callable, optional
        See `embed`. Called from several threads.

    Returns
    -------
    iterator of Fingerprints
        One result per source, in the order of the sources.

    Raises
    ------
    AudioError, ValueError, TypeError
        As for `embed`, during iteration. The message begins with the file's path, or with ``sources[i]`` for
        the array at index i. An error of the iterable ``sources`` itself follows the results of the sources
        before it.
    TypeError
        At once, if ``sources`` is a single path or file.
    ModelError
        At once, if there is no such model.

    Examples
    --------
    >>> import earprint
    >>> files = ["music/song 0.wav", "music/song 1.wav", "missing.wav"]
    >>> for file, result in zip(files, earprint.embed_batch(files, return_exceptions=True)):
    ...     print(file, result if isinstance(result, Exception) else result.vectors.shape)
    music/song 0.wav (35, 128)
    music/song 1.wav (35, 128)
    missing.wav missing.wav: ...
    """
    if is_file(sources):
        raise TypeError(f"{name_of(sources)}: is a single source; give a list of sources, or use embed")
    if isinstance(sources, (bytes, bytearray)) or not hasattr(sources, "__iter__"):
        raise TypeError(f"sources are of type {type(sources).__name__}; give a list of sources")
    if isinstance(jobs, bool) or not isinstance(jobs, int):
        raise TypeError(f"jobs is {jobs!r}; give a whole number, or 0 for one thread per core")
    if jobs < 0:
        raise ValueError(f"jobs is {jobs}; give 0 for one thread per core, or their number")
    jobs = jobs or usable_cores()
    if encoder is None:
        encoder = load_encoder(model, 1 if jobs > 1 else 0)
    check_encoder(encoder, for_library=False)
    embed_one = partial(
        _embed_one, sample_rate=sample_rate, encoder=encoder, query=query, on_warning=on_warning
    )
    return _in_order(embed_one, sources, jobs, return_exceptions)


def _embed_one(number: int, source: Source, **settings: Any) -> Fingerprints:
    """Embed one source of a batch; its errors name it."""
    try:
        return embed(source, **settings)
    except (AudioError, ValueError, TypeError) as error:
        if isinstance(error, AudioError) and is_file(source):
            raise
        name = name_of(source) if is_file(source) else f"sources[{number}]"
        kind = next(kind for kind in (AudioError, ValueError, TypeError) if isinstance(error, kind))
        raise kind(f"{name}: {error}") from error


def _in_order(
    embed_one: Callable[[int, Source], Fingerprints],
    sources: Iterable[Source],
    jobs: int,
    return_exceptions: bool,
) -> Iterator[Fingerprints | Exception]:
    """Embed sources on threads, at most ``2 * jobs`` ahead of the one whose result is next."""
    pending: deque[Future[Fingerprints]] = deque()
    numbered: Iterator[tuple[int, Source]] = iter(enumerate(sources))
    fault: Exception | None = None
    with ThreadPoolExecutor(jobs) as threads:
        try:
            while True:
                while fault is None and len(pending) < 2 * jobs:
                    try:
                        item = next(numbered, None)
                    except Exception as error:  # of the caller's generator: the results before it come first
                        fault = error
                        break
                    if item is None:
                        break
                    pending.append(threads.submit(embed_one, *item))
                if not pending:
                    if fault is not None:
                        raise fault
                    return
                try:
                    result: Fingerprints | Exception = pending.popleft().result()
                except Exception as error:
                    if not return_exceptions:
                        raise
                    result = error
                yield result
        finally:
            threads.shutdown(wait=True, cancel_futures=True)


def audio_blocks(
    source: Source, sample_rate: int | None = None, on_warning: OnWarning | None = None
) -> AudioBlocks:
    """Return the audio of a file or array as blocks of 16 kHz mono.

    Parameters
    ----------
    source : path, binary file, or ndarray of shape (n,), (n, channels) or (channels, n)
    sample_rate : int, optional
        Sample rate of an array, in Hz. Required for arrays.
    on_warning : callable, optional
        See `earprint.audio.stream_audio`.

    Returns
    -------
    iterable of ndarray of float32, each of shape (n,)
        Files are decoded while it is read.

    Raises
    ------
    ValueError
        If ``source`` is an array and ``sample_rate`` is None; or see `earprint.audio.arrays.array_to_mono`.
    TypeError
        See `earprint.audio.arrays.array_to_mono`.

    Examples
    --------
    >>> from earprint.encoders.embed import audio_blocks
    >>> [block.shape for block in audio_blocks("music/song 0.wav")]
    [(160000,), (32000,)]
    """
    if is_file(source):
        return stream_audio(source, on_warning=on_warning)
    return [samples_at_16_khz(source, sample_rate)]


def samples_at_16_khz(samples: object, sample_rate: int | None) -> NDArray[np.float32]:
    """Return an array of shape (n,), (n, channels) or (channels, n) as 16 kHz mono, shape (m,).

    Raises
    ------
    ValueError
        If ``sample_rate`` is None; or see `earprint.audio.arrays.array_to_mono`.
    TypeError, AudioError
        See `earprint.audio.arrays.array_to_mono`.
    """
    if sample_rate is None:
        if hasattr(samples, "__array__"):
            shape = getattr(samples, "shape", "unknown")
            raise ValueError(
                f"array of shape {shape}: its sample rate is unknown; pass sample_rate=..., in Hz"
            )
        sample_rate = SAMPLE_RATE  # no array either, which raises TypeError
    return array_to_mono(samples, sample_rate)


def is_file(source: object) -> TypeGuard[AudioSource]:
    """Whether a source is a path or a file object, not an array."""
    return isinstance(source, (str, os.PathLike)) or hasattr(source, "read")
