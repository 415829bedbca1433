"""Learn the codebook of a model from the music of a store, see `earprint.quantization.codebook`.

FAISS learns the rotation (optimised product quantisation), the coarse centroids (spherical k-means) and the
centroids of the residuals, from fingerprints of the store's training part. The reconstruction is measured on
the held-out part.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from earprint.constants import SAMPLE_RATE
from earprint.encoders.base import Encoder
from earprint.errors import TrainingError
from earprint.quantization.codebook import Codebook
from earprint.training.packed_audio import Pack

N_LISTS: Final = 4_096
"""Number of inverted lists: about 250 rows each in a library of a million rows."""

LEARNED_ROWS: Final = 160_000
"""Most fingerprints to learn from, drawn at random."""

ROTATION_ROWS: Final = 65_536
"""Fingerprints that the rotation is learned from: 256 for each of the 256 centroids of a subquantizer."""

ROTATION_ROUNDS: Final = 12
"""Default for the iterations of optimised product quantisation."""

LIST_ROUNDS: Final = 10
"""Iterations of k-means for the coarse centroids."""


@dataclass(frozen=True)
class Reconstruction:
    """How well a codebook represents fingerprints that it was not learned from.

    Attributes
    ----------
    rows : int
        Number of fingerprints measured.
    cosine : float
        Mean cosine of a fingerprint and its decoded code.
    """

    rows: int
    cosine: float


def fingerprint_pack(
    pack: Pack, encoder: Encoder, on_progress: Callable[[int], None] = lambda _done: None
) -> NDArray[np.float16]:
    """Fingerprint all recordings of a pack as references, on the query grid.

    Parameters
    ----------
    pack : Pack
    encoder : Encoder
    on_progress : callable, optional
        Called with the number of finished recordings.

    Returns
    -------
    ndarray of float16, shape (n, dim)
        Unit vectors; silent windows are left out.
    """
    parts = [np.zeros((0, encoder.dim), np.float16)]
    for done, item in enumerate(pack.items, 1):
        rows = references_on_query_grid(encoder, pack.audio(item))
        parts.append(rows[rows.any(axis=1)].astype(np.float16))
        on_progress(done)
    return np.concatenate(parts)


def references_on_query_grid(encoder: Encoder, audio: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fingerprint a recording as a reference, but on the query grid.

    The network for references may differ from that for queries, and computes rows on the coarser reference
    grid only. So the recording is encoded several times, each time shifted by one query hop.

    Parameters
    ----------
    encoder : Encoder
    audio : ndarray of float32, shape (n,)
        At `SAMPLE_RATE`.

    Returns
    -------
    ndarray of float32, shape (rows, dim)
        One row per query hop, as far as every shift has rows.
    """
    steps = round(encoder.reference_hop_s / encoder.query_hop_s)
    step = round(encoder.query_hop_s * SAMPLE_RATE)
    shifted = [encoder.encode([audio[number * step :]]).vectors for number in range(steps)]
    out = np.zeros((steps * max(map(len, shifted)), encoder.dim), np.float32)
    for number, rows in enumerate(shifted):
        out[number::steps][: len(rows)] = rows
    count = min(number + steps * len(rows) for number, rows in enumerate(shifted))
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
        See `earprint.encoders.Encoder.model_id`.
    n_subquantizers : int
        Bytes of a code, besides the list number.
    n_lists : int
        Number of inverted lists.
    rotation_rounds : int
        Iterations of optimised product quantisation.
    seed : int
        Seed of the sample of rows and of the initial centroids.

    Raises
    ------
    TrainingError
        If there are too few rows, or more subquantizers than components.
    """
    import faiss

    dim = rows.shape[1]
    if not 1 <= n_subquantizers <= dim:
        raise TrainingError(
            f"{n_subquantizers} subquantizers: a fingerprint of {dim} components has 1 to {dim} of them"
        )
    least = max(n_lists, 256)
    if len(rows) < least:
        raise TrainingError(
            f"{len(rows)} fingerprints: too few to learn {least} centroids from; pack more music"
        )
    rng = np.random.default_rng(seed)
    sample = rows[np.sort(rng.permutation(len(rows))[:LEARNED_ROWS])].astype(np.float32)
    sample = sample[rng.permutation(len(sample))]
    rotated_dim = dim // n_subquantizers * n_subquantizers
    opq = faiss.OPQMatrix(dim, n_subquantizers, rotated_dim)
    opq.niter = rotation_rounds
    opq.train(sample[:ROTATION_ROWS])
    rotated = opq.apply(sample)
    kmeans = faiss.Kmeans(rotated_dim, n_lists, niter=LIST_ROUNDS, spherical=True, seed=seed, verbose=False)
    kmeans.train(rotated)
    coarse = np.asarray(kmeans.centroids)
    coarse /= np.linalg.norm(coarse, axis=1, keepdims=True)
    _, nearest = kmeans.index.search(rotated, 1)
    # Equal norms: the mean component of a row in the direction of its coarse centroid.
    coarse *= np.einsum("nd,nd->n", rotated, coarse[nearest[:, 0]]).mean()
    pq = faiss.ProductQuantizer(rotated_dim, n_subquantizers, 8)
    pq.cp.seed = seed
    pq.train(rotated - coarse[nearest[:, 0]])
    matrix: NDArray[np.float32] = faiss.vector_to_array(opq.A).reshape(rotated_dim, dim)
    centroids: NDArray[np.float32] = faiss.vector_to_array(pq.centroids).reshape(n_subquantizers, 256, -1)
    codebook = Codebook(
        model_id=model_id,
        # Rounded to half precision, as in the file, so that the gain is that of the codebook as read back.
        rotation=_round_to_half(matrix.T),
        centroids=_round_to_half(centroids),
        coarse_centroids=_round_to_half(coarse),
        gain=1.0,
        thresholds={},
    )
    decoded = codebook.decode_rotated(codebook.encode(sample))
    return replace(codebook, gain=float(np.vecdot(decoded, codebook.rotate(sample)).mean()))


def measure_reconstruction(codebook: Codebook, rows: NDArray[np.float16]) -> Reconstruction:
    """Measure how well decoded codes represent fingerprints.

    Parameters
    ----------
    codebook : Codebook
    rows : ndarray of float16, shape (n, dim)
        Unit vectors that the codebook was not learned from.

    Returns
    -------
    Reconstruction
        Its cosine is NaN if there are no rows.
    """
    if not len(rows):
        return Reconstruction(0, float("nan"))
    exact = rows.astype(np.float32)
    decoded = codebook.decode(codebook.encode(exact))
    products = np.einsum("nd,nd->n", decoded, exact)
    lengths = np.linalg.norm(decoded, axis=1) * np.linalg.norm(exact, axis=1)
    return Reconstruction(len(rows), float((products / lengths).mean()))


def _round_to_half(values: NDArray[Any]) -> NDArray[np.float32]:
    return np.ascontiguousarray(values.astype(np.float16), dtype=np.float32)
