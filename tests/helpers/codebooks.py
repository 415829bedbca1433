"""Codebooks for tests: learned from nothing, but as a real one is made."""

import numpy as np

from earprint.quantization.codebook import Codebook


def random_codebook(
    dim=16, pieces=4, n_lists=12, seed=0, model_id="fake-0001", thresholds=None, residual=True
):
    """A codebook of random centroids and lists."""
    rng = np.random.default_rng(seed)
    rotated = dim // pieces * pieces
    rotation = np.linalg.qr(rng.standard_normal((dim, dim)))[0][:, :rotated]
    lists = rng.standard_normal((n_lists, rotated))
    return Codebook(
        model_id=model_id,
        rotation=rotation.astype(np.float16).astype(np.float32),
        centroids=(rng.standard_normal((pieces, 256, rotated // pieces)) / dim**0.5)
        .astype(np.float16)
        .astype(np.float32),
        coarse_centroids=(lists / np.linalg.norm(lists, axis=1, keepdims=True) * (0.5 if residual else 1.0))
        .astype(np.float16)
        .astype(np.float32),
        gain=0.9,
        thresholds=thresholds or {},
        residual=residual,
    )


def unit_rows(rng, n, dim=16, silent=0.1):
    """Random unit vectors, some of them silent."""
    rows = rng.standard_normal((n, dim)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    rows[rng.random(n) < silent] = 0
    return rows
