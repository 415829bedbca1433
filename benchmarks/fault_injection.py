"""What `crash.py` lets die: a process that ends itself at a place where the disk changes, and its encoder.

Timed kills hardly ever hit the short moments between a flush, a renaming, a deletion and a commit. Here every
place in the program that does such a thing can be chosen, however rarely it is passed.
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
"""A place in the program, and how often it is passed."""


class ToyEncoder:
    """Spectra of 80 ms each (model "one") or 160 ms ("two"), as unit vectors; fast."""

    dim = 64
    query_hop_s = 0.08

    def __init__(self, name: str) -> None:
        self.name = name
        self.model_id = f"toy-{name}"
        self.reference_hop_s = 0.08 if name == "one" else 0.16
        # The second stores compactly, so that a rebuild changes the kind of segments too.
        self.codebook = None if name == "one" else toy_codebook(self.model_id, self.dim)

    def threshold(self, duration_s: float) -> float:
        """Score of a match."""
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
    """A codebook of centroids drawn at random, one for each component."""
    rng = np.random.default_rng(1)
    return Codebook(
        model_id=model_id,
        rotation=np.eye(dim, dtype=np.float32),
        centroids=rng.random((dim, 256, 1), dtype=np.float32),
        lists=rng.random((8, dim), dtype=np.float32),
        gain=1.0,
        thresholds={},
    )


def die_at(end: Place, log: Path) -> None:
    """Have this process end itself when a place is passed so often, and note every place that is passed.

    Parameters
    ----------
    end : Place
    log : Path
        Gets one line for each place that is passed.
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

    # This process is the killed one, so nothing of this reaches another.
    Database._transaction = counted  # type: ignore[method-assign, assignment]
    os.fsync = wrapped(os.fsync)
    Path.replace = wrapped(Path.replace)  # type: ignore[method-assign]
    Path.unlink = wrapped(Path.unlink)  # type: ignore[method-assign]
