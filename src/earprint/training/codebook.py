"""Learning of a model's codebook from the music of a store; see `earprint.quantization.codebook`.

FAISS learns the rotation (optimised product quantisation), the lists by spherical k-means, and the centroids
of the residuals, from fingerprints of the store's training part. The reconstruction is measured on its
held-out part.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from earprint.constants import SAMPLE_RATE
from earprint.encoders.base import Encoder
from earprint.errors import TrainingError
from earprint.quantization.codebook import Codebook
from earprint.training.store import Pack

N_LISTS: Final = 4_096
"""Lists; a library of a million rows has about 250 rows a list."""

LEARNED_ROWS: Final = 160_000
"""Most fingerprints to learn from, drawn at random from all."""

ROTATION_ROWS: Final = 65_536
"""Of these, the rows for the rotation: k-means wants 256 rows for each of 256 centroids."""

ROTATION_ROUNDS: Final = 12
"""Default for the alternations of rotation and centroids."""

LIST_ROUNDS: Final = 10
"""Rounds of k-means."""


@dataclass(frozen=True)
class Reconstruction:
    """How well codes reconstruct fingerprints that were not learned from.

    Attributes
    ----------
    rows : int
        Fingerprints measured.
    cosine : float
        Mean cosine of a fingerprint and its reconstruction.
    """

    rows: int
    cosine: float


def fingerprints_of(
    pack: Pack, encoder: Encoder, on_progress: Callable[[int], None] = lambda _done: None
) -> NDArray[np.float16]:
    """Fingerprint all recordings of a pack as references, at each step of the query grid.

    Parameters
    ----------
    pack : Pack
    encoder : Encoder
    on_progress : callable, optional
        Called with the number of recordings that are done.

    Returns
    -------
    ndarray of float16, shape (n, dim)
        Unit vectors; silent windows are left out.
    """
    parts = [np.zeros((0, encoder.dim), np.float16)]
    for done, item in enumerate(pack.items, 1):
        rows = references_at_each_step(encoder, pack.audio(item))
        parts.append(rows[rows.any(axis=1)].astype(np.float16))
        on_progress(done)
    return np.concatenate(parts)


def references_at_each_step(encoder: Encoder, audio: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fingerprint a recording as a reference, with a row at each step of the query grid.

    References have a coarser grid, and another network than queries if the model has two. So the recording is
    fingerprinted several times, each time starting one step later.

    Parameters
    ----------
    encoder : Encoder
    audio : ndarray of float32, shape (n,)
        At `SAMPLE_RATE`.

    Returns
    -------
    ndarray of float32, shape (rows, dim)
        Up to the first row that one of the passes lacks.
    """
    steps = round(encoder.reference_hop_s / encoder.query_hop_s)
    step = round(encoder.query_hop_s * SAMPLE_RATE)
    passes = [encoder.encode([audio[number * step :]]).vectors for number in range(steps)]
    out = np.zeros((steps * max(map(len, passes)), encoder.dim), np.float32)
    for number, rows in enumerate(passes):
        out[number::steps][: len(rows)] = rows
    count = min(number + steps * len(rows) for number, rows in enumerate(passes))
    return out[:count]


def learn_codebook(
    rows: NDArray[np.float16],
    model_id: str,
    n_subquantizers: int,
    *,
    n_lists: int = N_LISTS,
    rotation_rounds: int = ROTATION_ROUNDS,
    seed: int = 1,
) -> Codebook:
    """Learn a codebook.

    Parameters
    ----------
    rows : ndarray of float16, shape (n, dim)
        Unit vectors.
    model_id : str
    n_subquantizers : int
        Bytes of a code besides the list's two.
    n_lists : int
    rotation_rounds : int
    seed : int
        Seed of the rows drawn and of the first centroids.

    Raises
    ------
    TrainingError
        If there are too few rows, or more subquantizers than components.
    """
    import faiss

    dim = rows.shape[1]
    if not 1 <= n_subquantizers <= dim:
        raise TrainingError(
            f"{n_subquantizers} subquantizers: a fingerprint of {dim} components has 1 to {dim}"
        )
    least = max(n_lists, 256)
    if len(rows) < least:
        raise TrainingError(
            f"{len(rows)} fingerprints: too few to learn {least} centroids from; pack more music"
        )
    rng = np.random.default_rng(seed)
    drawn = rows[np.sort(rng.permutation(len(rows))[:LEARNED_ROWS])].astype(np.float32)
    drawn = drawn[rng.permutation(len(drawn))]
    rotated = dim // n_subquantizers * n_subquantizers
    rotation = faiss.OPQMatrix(dim, n_subquantizers, rotated)
    rotation.niter = rotation_rounds
    rotation.train(drawn[:ROTATION_ROWS])
    turned = rotation.apply(drawn)
    kmeans = faiss.Kmeans(rotated, n_lists, niter=LIST_ROUNDS, spherical=True, seed=seed, verbose=False)
    kmeans.train(turned)
    lists = np.asarray(kmeans.centroids)
    lists /= np.linalg.norm(lists, axis=1, keepdims=True)
    _, nearest = kmeans.index.search(turned, 1)
    # All lists have one length: the mean projection of a row on the direction of its list.
    lists *= np.einsum("nd,nd->n", turned, lists[nearest[:, 0]]).mean()
    quantiser = faiss.ProductQuantizer(rotated, n_subquantizers, 8)
    quantiser.cp.seed = seed
    quantiser.train(turned - lists[nearest[:, 0]])
    matrix: NDArray[np.float32] = faiss.vector_to_array(rotation.A).reshape(rotated, dim)
    flat: NDArray[np.float32] = faiss.vector_to_array(quantiser.centroids)
    centroids = flat.reshape(n_subquantizers, 256, -1)
    book = Codebook(
        model_id=model_id,
        # Rounded to half precision as in the file, so that the gain fits what will be read.
        rotation=_round_to_half(matrix.T),
        centroids=_round_to_half(centroids),
        lists=_round_to_half(lists),
        gain=1.0,
        thresholds={},
    )
    gain = float(np.vecdot(book.decode_rotated(book.encode(drawn)), book.rotate(drawn)).mean())
    return Codebook(model_id, book.rotation, book.centroids, book.lists, gain, {})


def measure_reconstruction(book: Codebook, rows: NDArray[np.float16]) -> Reconstruction:
    """Measure how close decoded fingerprints are to the originals.

    Parameters
    ----------
    book : Codebook
    rows : ndarray of float16, shape (n, dim)
        Unit vectors that were not learned from.
    """
    if not len(rows):
        return Reconstruction(0, float("nan"))
    exact = rows.astype(np.float32)
    decoded = book.decode(book.encode(exact))
    products = np.einsum("nd,nd->n", decoded, exact)
    lengths = np.linalg.norm(decoded, axis=1) * np.linalg.norm(exact, axis=1)
    return Reconstruction(len(rows), float((products / lengths).mean()))


def _round_to_half(values: NDArray[Any]) -> NDArray[np.float32]:
    return np.ascontiguousarray(values.astype(np.float16), dtype=np.float32)
