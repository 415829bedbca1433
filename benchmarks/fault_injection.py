"""Ends a process at a chosen place where the disk changes, and a small encoder; used by `crash.py`.

A kill at a random time hardly ever hits the short moments between a flush, a rename, a deletion and a
commit. Here every place in the program that does one of these can be chosen, however rarely the program
passes it.
"""

import os
import signal
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from earprint.constants import SAMPLE_RATE
from earprint.encoders.base import AudioBlocks, Fingerprints
from earprint.quantization.codebook import Codebook
from earprint.store.database import Database

Place = tuple[str, int]
"""A place in the program, and the number of the pass."""


class ToyEncoder:
    """A fast encoder: spectra of 80 ms (model "one") or 160 ms ("two") as unit vectors."""

    dim = 64
    query_hop_s = 0.08

    def __init__(self, name: str) -> None:
        self.name = name
        self.model_id = f"toy-{name}"
        self.reference_hop_s = 0.08 if name == "one" else 0.16
        # Model "two" has a codebook, so a rebuild also changes the kind of segments.
        self.codebook = None if name == "one" else toy_codebook(self.model_id, self.dim)

    def threshold(self, duration_s: float) -> float:
        """Return the score from which a query is a match."""
        return 0.9

    def encode(self, blocks: AudioBlocks, *, query: bool = False) -> Fingerprints:
        """Fingerprint one recording."""
        samples = np.concatenate(list(blocks))
        hop_s = self.query_hop_s if query else self.reference_hop_s
        hop = round(hop_s * SAMPLE_RATE)
        spectra = np.abs(np.fft.rfft(samples[: len(samples) // hop * hop].reshape(-1, hop)))[
            :, 1 : self.dim + 1
        ]
        vectors = spectra / np.linalg.norm(spectra, axis=1, keepdims=True)
        return Fingerprints(vectors.astype(np.float32), hop_s, len(samples) / SAMPLE_RATE)


def toy_codebook(model_id: str, dim: int) -> Codebook:
    """Return a codebook of random centroids, one subquantizer for each component."""
    rng = np.random.default_rng(1)
    return Codebook(
        model_id=model_id,
        rotation=np.eye(dim, dtype=np.float32),
        centroids=rng.random((dim, 256, 1), dtype=np.float32),
        coarse_centroids=rng.random((8, dim), dtype=np.float32),
        gain=1.0,
        thresholds={},
    )


def kill_at(end: Place, log: Path) -> None:
    """Make this process kill itself at a place, and log every place that it passes.

    Parameters
    ----------
    end : Place
        Where to kill it, such as the second pass of a place.
    log : Path
        A line is added at each place.
    """
    passed: Counter[str] = Counter()

    def point(when: str) -> None:
        frames = [frame for frame in traceback.extract_stack() if "earprint" in frame.filename]
        place = " ".join([when, *(f"{frame.name}:{frame.lineno}" for frame in frames[-5:])])
        passed[place] += 1
        with log.open("a") as file:
            file.write(f"{place}\n")
        if (place, passed[place]) == end:
            os.kill(os.getpid(), signal.SIGKILL)

    def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
        def around(*arguments: Any, **options: Any) -> Any:
            point("before")
            result = function(*arguments, **options)
            point("after")
            return result

        return around

    transaction = Database._transaction

    @contextmanager
    def counted(database: Database, kind: str = "IMMEDIATE") -> Iterator[None]:
        with transaction(database, kind):
            yield
            if kind == "IMMEDIATE":
                point("before")
        if kind == "IMMEDIATE":
            point("after")

    # This process is a forked child, so these patches reach no other process.
    Database._transaction = counted  # type: ignore[method-assign, assignment]
    os.fsync = wrapped(os.fsync)
    Path.replace = wrapped(Path.replace)  # type: ignore[method-assign]
    Path.unlink = wrapped(Path.unlink)  # type: ignore[method-assign]
