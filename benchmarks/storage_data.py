"""Recordings, queries and codebooks in the work folder of `storage.py`, and the storages of rows."""

import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common import write_whole
from earprint.audio import content_hash, load_audio
from earprint.constants import SAMPLE_RATE
from earprint.encoders import Encoder, Fingerprints
from earprint.errors import AudioError
from earprint.evaluation.exclusions import Exclusions
from earprint.evaluation.query import Query
from earprint.evaluation.rendering import render
from earprint.evaluation.search import search_exactly
from earprint.index import ExactIndex
from earprint.matching import TrackTable
from earprint.quantization.codebook import Codebook, read_codebook, write_codebook
from earprint.quantization.storage import CompactStorage, HalfStorage, Storage
from earprint.training.codebook import learn_codebook, references_on_query_grid
from earprint.training.packed_audio import open_pack

BASELINE = "float32"
"""The storage that the others are compared with."""

HELD_OUT_PERCENT = 8
"""Share of the store's sources that no codebook is learned from, as in training."""

INT8_MAX = 127
"""Largest value of a row in 8 bits."""

ITEMS = 64
"""Recordings of the store that one file of fingerprints holds."""

PROGRESS_S = 20.0
"""Seconds between two lines of progress."""


class MemoryIndex:
    """Exact search of unpacked rows in memory, shape (n, dim); an `earprint.index.base.Index`."""

    max_query_rows = ExactIndex.max_query_rows

    def __init__(self, rows: NDArray[np.float32]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        """Rows in the row space."""
        return len(self.rows)

    def search(self, queries: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Find the nearest rows of query rows."""
        return search_exactly(self, queries, k)

    def vectors(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return stored rows."""
        return self.rows[start:stop]

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return any stored rows."""
        return self.rows[rows]


class Work:
    """The work folder, and progress on stderr."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._printed = time.monotonic()

    def place(self, name: str) -> Path:
        """Return the path of a file in the folder; make its parent."""
        file = self._folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        return file

    def progress(self, what: str, done: float, total: float) -> None:
        """Print how much is done, at most each `PROGRESS_S` seconds."""
        if time.monotonic() - self._printed >= PROGRESS_S:
            self.say(f"{what}: {done:g} of {total:g}")

    def say(self, line: str) -> None:
        """Print a line on stderr."""
        self._printed = time.monotonic()
        print(line, file=sys.stderr, flush=True)


def digest_of(*facts: object) -> str:
    """Return a hexadecimal digest of JSON-serialisable facts, for file names."""
    return hashlib.blake2b(json.dumps(facts).encode(), digest_size=8).hexdigest()


@dataclass(frozen=True)
class Recording:
    """A recording, its content hash, and the file that keeps its rows at the query hop."""

    path: Path
    digest: str
    duration_s: float
    kept: Path


def fingerprint_files(
    encoder: Encoder, files: Sequence[Path], work: Work, left_out: Exclusions
) -> list[Recording]:
    """Fingerprint references at the query hop, each content once; skip what is kept already."""
    recordings: dict[str, Recording] = {}
    for done, path in enumerate(files):
        work.progress("fingerprinting", done, len(files))
        try:
            digest = content_hash(path)
            kept = work.place(f"references-{encoder.model_id}/{digest}.npz")
            if digest in recordings:
                continue
            if not kept.exists():
                audio = load_audio(path)
                rows = references_on_query_grid(encoder, audio)
                with write_whole(kept) as file:
                    np.savez(file, rows=rows, duration_s=len(audio) / SAMPLE_RATE)
        except AudioError as error:
            left_out.exclude_file(path, error)
            continue
        with np.load(kept) as arrays:
            recordings[digest] = Recording(path, digest, float(arrays["duration_s"]), kept)
    return list(recordings.values())


def subsample(recordings: Sequence[Recording], steps: int) -> tuple[NDArray[np.float32], TrackTable]:
    """Return every ``steps``-th row of recordings, shape (n, dim), and their tracks."""
    parts = []
    for recording in recordings:
        with np.load(recording.kept) as kept:
            parts.append(kept["rows"][::steps].copy())
    counts = [len(part) for part in parts]
    return np.concatenate(parts), TrackTable(np.cumsum([0, *counts])[:-1].tolist(), counts)


@dataclass(frozen=True)
class QuerySet:
    """Queries of one length, and the file that keeps their fingerprints."""

    length_s: float
    queries: list[Query]
    kept: Path

    def fingerprints(self) -> list[Fingerprints]:
        """Read the queries' fingerprints."""
        with np.load(self.kept) as kept:
            parts = np.split(kept["rows"], np.cumsum(kept["counts"])[:-1])
            hop_s, margin_rows, durations_s = (
                float(kept["hop_s"]),
                int(kept["margin_rows"]),
                kept["durations_s"],
            )
        return [
            Fingerprints(part, hop_s, duration_s, margin_rows)
            for part, duration_s in zip(parts, durations_s.tolist(), strict=True)
        ]


def make_queries(encoder: Encoder, queries: Sequence[Query], work: Work, left_out: Exclusions) -> QuerySet:
    """Distort and fingerprint queries of one length; skip what is kept already."""
    length_s = queries[0].length_s
    # The conditions of an excerpt share its noise and room, so they come one after another.
    ordered = sorted(queries, key=lambda query: (str(query.path), query.start_s))
    digest = digest_of([query.to_dict() for query in ordered])
    kept = work.place(f"queries-{encoder.model_id}-{length_s:g}s-{digest}.npz")
    if not kept.exists():
        places = {query: place for place, query in enumerate(ordered)}
        numbers, made = [], []
        for query, audio in render(ordered, left_out.exclude_query):
            work.progress(f"making queries of {length_s:g} s", places[query], len(ordered))
            numbers.append(places[query])
            made.append(encoder.encode([audio], query=True))
        if {ordered[number].present for number in numbers} != {True, False}:
            sys.exit(f"too few queries of {length_s:g} s; give more references and absent recordings")
        with write_whole(kept) as file:
            np.savez(
                file,
                numbers=numbers,
                rows=np.concatenate([one.vectors for one in made]),
                counts=[len(one.vectors) for one in made],
                durations_s=[one.duration_s for one in made],
                hop_s=made[0].hop_s,
                margin_rows=made[0].margin_rows,
            )
    with np.load(kept) as arrays:
        return QuerySet(length_s, [ordered[number] for number in arrays["numbers"].tolist()], kept)


class Codebooks:
    """Codebooks of a model, learned from a store at first use and kept."""

    def __init__(self, encoder: Encoder, store: Path, work: Work) -> None:
        self._encoder = encoder
        self._work = work
        self._pack = open_pack(store, "music").split(HELD_OUT_PERCENT)[0]
        self.digest = digest_of(encoder.model_id, [(item.name, item.length) for item in self._pack.items])

    def get(self, n_subquantizers: int) -> Codebook:
        """Return the codebook with this many subquantizers."""
        file = self._work.place(f"pq{n_subquantizers}-{self.digest}.codebook.npz")
        if not file.exists():
            rows = np.concatenate(list(self._recordings()))
            self._work.say(f"learning a codebook of {n_subquantizers} subquantizers")
            book = learn_codebook(rows[rows.any(axis=1)], self._encoder.model_id, n_subquantizers)
            part = file.with_name(f"{os.getpid()}-{file.name}")
            write_codebook(part, book)
            part.replace(file)
        return read_codebook(file)

    def _recordings(self) -> Iterator[NDArray[np.float16]]:
        """Yield the rows of the training recordings, shape (n, dim) each, at the query hop."""
        items = self._pack.items
        for begin in range(0, len(items), ITEMS):
            kept = self._work.place(f"store-{self.digest}/{begin:06d}.npz")
            if not kept.exists():
                self._work.progress("fingerprinting the store", begin, len(items))
                made = [
                    references_on_query_grid(self._encoder, self._pack.audio(item)).astype(np.float16)
                    for item in items[begin : begin + ITEMS]
                ]
                with write_whole(kept) as file:
                    np.savez(file, *made)
            with np.load(kept) as arrays:
                yield from (arrays[name] for name in arrays.files)


def round_trip(rows: NDArray[np.float32], name: str, books: Codebooks) -> tuple[NDArray[np.float32], int]:
    """Pack and unpack rows, shape (n, dim); return the unpacked rows and the bytes of a packed row."""
    if name == BASELINE:
        return rows, rows.itemsize * rows.shape[1]
    if name == "int8":
        scale = (np.abs(rows).max(axis=1, keepdims=True) / INT8_MAX).astype(np.float16)
        numbers = np.rint(rows / np.where(scale > 0, scale, 1).astype(np.float32))
        # The scale is rounded to float16, so a value may exceed the range.
        numbers = np.clip(numbers, -INT8_MAX, INT8_MAX).astype(np.int8)
        unpacked = np.multiply(numbers, scale, dtype=np.float32)
        return unpacked, numbers.itemsize * numbers.shape[1] + scale.itemsize
    storage: Storage = (
        HalfStorage(rows.shape[1]) if name == "half" else CompactStorage(books.get(int(name[2:])))
    )
    unpacked = np.ascontiguousarray(storage.unpack(storage.pack(rows)))
    return unpacked, storage.dtype.itemsize * storage.width
