"""Learning a model's codebook from the music of a store; see `earprint.quantization.codebook`.

Rotation by FAISS (optimised product quantisation), the lists by spherical k-means, and the centroids of what
these leave, all of fingerprints of the store's training part. How much the codes keep is measured on its
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
"""Lists: a million rows make some 250 each."""

LEARNED_ROWS: Final = 160_000
"""Fingerprints that are learned from, at most; drawn at random from all."""

ROTATION_ROWS: Final = 65_536
"""Of these, those that the rotation is learned from: the 256 centroids of a piece want 256 each."""

ROTATION_ROUNDS: Final = 12
"""Rounds of the alternation of rotation and centroids."""

LIST_ROUNDS: Final = 10
"""Rounds of k-means."""


@dataclass(frozen=True)
class Kept:
    """What codes keep of fingerprints they were not learned from.

    Attributes
    ----------
    rows : int
        Fingerprints measured.
    cosine : float
        Mean cosine of a fingerprint and what it is decoded to.
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
        Gets the number of recordings that are done.

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

    References are fingerprinted on their own grid, and by another network than queries if the model has two.
    So the recording is begun anew at each step between two rows of theirs.

    Parameters
    ----------
    encoder : Encoder
    audio : ndarray of float32, shape (n,)
        At `SAMPLE_RATE`.

    Returns
    -------
    ndarray of float32, shape (rows, dim)
        As many as all of these beginnings have, without a gap.
    """
    steps = round(encoder.reference_hop_s / encoder.query_hop_s)
    step = round(encoder.query_hop_s * SAMPLE_RATE)
    begun = [encoder.encode([audio[number * step :]]).vectors for number in range(steps)]
    out = np.zeros((steps * max(map(len, begun)), encoder.dim), np.float32)
    for number, rows in enumerate(begun):
        out[number::steps][: len(rows)] = rows
    count = min(number + steps * len(rows) for number, rows in enumerate(begun))
    return out[:count]


def learn_codebook(
    rows: NDArray[np.float16], model_id: str, pieces: int, *, n_lists: int = N_LISTS, seed: int = 1
) -> Codebook:
    """Learn a codebook.

    Parameters
    ----------
    rows : ndarray of float16, shape (n, dim)
        Unit vectors.
    model_id : str
    pieces : int
        Bytes of a row besides its list.
    n_lists : int
    seed : int
        Of the rows drawn and of the first centroids.

    Raises
    ------
    TrainingError
        If there are too few rows, or a fingerprint cannot be cut into so many pieces.
    """
    import faiss

    dim = rows.shape[1]
    if not 1 <= pieces <= dim:
        raise TrainingError(f"{pieces} pieces: a fingerprint of {dim} components has 1 to {dim}")
    least = max(n_lists, 256)
    if len(rows) < least:
        raise TrainingError(
            f"{len(rows)} fingerprints: too few to learn {least} centroids from; pack more music"
        )
    rng = np.random.default_rng(seed)
    drawn = rows[np.sort(rng.permutation(len(rows))[:LEARNED_ROWS])].astype(np.float32)
    drawn = drawn[rng.permutation(len(drawn))]
    rotated = dim // pieces * pieces
    spread = faiss.OPQMatrix(dim, pieces, rotated)
    spread.niter = ROTATION_ROUNDS
    spread.train(drawn[:ROTATION_ROWS])
    turned = spread.apply(drawn)
    grouping = faiss.Kmeans(rotated, n_lists, niter=LIST_ROUNDS, spherical=True, seed=seed, verbose=False)
    grouping.train(turned)
    lists = np.asarray(grouping.centroids)
    lists /= np.linalg.norm(lists, axis=1, keepdims=True)
    _, nearest = grouping.index.search(turned, 1)
    # One length for all: what a row has, on average, of the direction of its list.
    lists *= np.einsum("nd,nd->n", turned, lists[nearest[:, 0]]).mean()
    quantiser = faiss.ProductQuantizer(rotated, pieces, 8)
    quantiser.cp.seed = seed
    quantiser.train(turned - lists[nearest[:, 0]])
    matrix: NDArray[np.float32] = faiss.vector_to_array(spread.A).reshape(rotated, dim)
    centroids: NDArray[np.float32] = faiss.vector_to_array(quantiser.centroids).reshape(pieces, 256, -1)
    book = Codebook(
        model_id=model_id,
        # In half precision, as they are stored, so that the gain is that of what will be read.
        rotation=_halved(matrix.T),
        centroids=_halved(centroids),
        coarse_centroids=_halved(lists),
        gain=1.0,
        thresholds={},
    )
    gain = float(np.vecdot(book.decode_rotated(book.encode(drawn)), book.rotate(drawn)).mean())
    return Codebook(model_id, book.rotation, book.centroids, book.coarse_centroids, gain, {})


def what_is_kept(book: Codebook, rows: NDArray[np.float16]) -> Kept:
    """Measure how near decoded fingerprints are to what they were.

    Parameters
    ----------
    book : Codebook
    rows : ndarray of float16, shape (n, dim)
        Unit vectors that had no part in learning.
    """
    if not len(rows):
        return Kept(0, float("nan"))
    exact = rows.astype(np.float32)
    decoded = book.decode(book.encode(exact))
    products = np.einsum("nd,nd->n", decoded, exact)
    lengths = np.linalg.norm(decoded, axis=1) * np.linalg.norm(exact, axis=1)
    return Kept(len(rows), float((products / lengths).mean()))


def _halved(values: NDArray[Any]) -> NDArray[np.float32]:
    return np.ascontiguousarray(values.astype(np.float16), dtype=np.float32)
