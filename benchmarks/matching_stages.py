"""CPU time of a search and matching, by stage, for several lengths of query.

    python benchmarks/matching_stages.py [--tracks 200] [--queries 8] [--seed 0]

Needs no data: the library is random. Its fingerprints are unit vectors that change as real ones do, whose
windows overlap for 960 ms. A query is a stretch of a track with noise of the same kind. Prints a table with a
line for each length: median CPU ms by stage, and how many queries got the right track.

Stages: `search`, the nearest stored rows by exact search, which grows with the library; `propose`, alignments
made of them; `read`, the stored rows under these; `score`, `refine` and `speeds`, steps of
`earprint.matching.aligned`. Times are CPU time of this process in one thread.
"""

import argparse
import os
import time
from collections import Counter
from collections.abc import Callable
from typing import Any
from unittest import mock

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray

from common import machine, print_header, print_row
from earprint.index import ExactIndex, Rows
from earprint.matching import TrackTable, aligned
from earprint.matching.tempo import find_playback_speeds
from earprint.quantization.storage import HalfStorage

DIM = 128
"""Components of a fingerprint."""

HOP_S = 0.04
"""Query grid, in seconds."""

RATIO = 8
"""Reference hop in query hops."""

BEYOND = 12
"""Rows before and after the query whose windows reach beyond it."""

WINDOW = 24
"""Length of a window, in query hops."""

TRACK_S = 240
"""Length of a track, in seconds."""

LENGTHS_S = (1, 2, 3, 5, 10, 60)
"""Lengths of queries, in seconds."""

NOISE = 1.2
"""Amplitude of a query's noise; the track's is 1."""

STAGES = ("search", "propose", "read", "score", "refine", "speeds", "rest")


class Stages:
    """CPU time by stage; time of a stage that another one calls counts for the inner one only."""

    def __init__(self) -> None:
        self.spent_ns: Counter[str] = Counter()
        self._running: list[str] = []
        self._since_ns = 0

    def _charge(self) -> None:
        now_ns = time.process_time_ns()
        if self._running:
            self.spent_ns[self._running[-1]] += now_ns - self._since_ns
        self._since_ns = now_ns

    def timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, with its time counted for a stage."""

        def call(*arguments: Any, **options: Any) -> Any:
            self._charge()
            self._running.append(stage)
            try:
                return function(*arguments, **options)
            finally:
                self._charge()
                self._running.pop()

        return call


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale rows to length 1."""
    scaled: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return scaled


def random_rows(rng: np.random.Generator, n: int) -> NDArray[np.float32]:
    """Means over overlapping windows of noise, as unit vectors (n, DIM)."""
    summed = np.cumsum(rng.standard_normal((n + WINDOW, DIM), dtype=np.float32), axis=0)
    return unit(summed[WINDOW:] - summed[:-WINDOW])


def make_query(rng: np.random.Generator, track: NDArray[np.float32], length_s: float) -> NDArray[np.float32]:
    """Cut a query out of a track and add noise, more to rows that reach beyond the query."""
    n = round(length_s / HOP_S) - WINDOW + 1 + 2 * BEYOND
    row = np.arange(n)
    heard = 1 - np.maximum(0, BEYOND - np.minimum(row, n - 1 - row))[:, None] / WINDOW
    start = int(rng.integers(0, len(track) - n))
    return unit(
        (heard * track[start : start + n] + (1 - heard + NOISE) * random_rows(rng, n)).astype(np.float32)
    )


def main() -> None:
    """Time the stages and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tracks", type=int, default=200, help="in the library, of four minutes each")
    parser.add_argument("--queries", type=int, default=8, help="of each length")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    rng = np.random.default_rng(options.seed)
    stored, asked = [], []
    for number in range(options.tracks):
        track = random_rows(rng, round(TRACK_S / HOP_S))
        stored.append(track[::RATIO].astype(np.float16))
        if number < options.queries:
            asked.append(track)
    sizes = [len(track) for track in stored]
    index = ExactIndex(Rows([np.concatenate(stored)], HalfStorage(DIM)))
    table = TrackTable(np.cumsum([0, *sizes[:-1]]).tolist(), sizes)

    print(f"{options.tracks} tracks, {sum(sizes):,} stored rows; {options.queries} queries of each length;")
    print(machine())
    print("Median CPU ms per query:\n")
    print_header("query", "rows", *STAGES, "all but search", "found")
    for length_s in LENGTHS_S:
        times, found, n = [], 0, 0
        for number in range(-1, options.queries):  # the first to warm up
            right = number % len(asked)
            query = make_query(rng, asked[right], length_s)
            n, stages = len(query), Stages()
            with (
                mock.patch.object(index, "search", stages.timed("search", index.search)),
                mock.patch.object(index, "take", stages.timed("read", index.take)),
                mock.patch.object(
                    aligned.Votes, "candidates", stages.timed("propose", aligned.Votes.candidates)
                ),
                mock.patch.object(aligned, "_best_per_track", stages.timed("score", aligned._best_per_track)),
                mock.patch.object(aligned, "_refine", stages.timed("refine", aligned._refine)),
                mock.patch.object(
                    aligned, "find_playback_speeds", stages.timed("speeds", find_playback_speeds)
                ),
            ):
                ask = stages.timed("rest", aligned.search_aligned)
                answers = ask(query, index, table, query_hop_s=HOP_S, ratio=RATIO, margin_rows=BEYOND)
            if number >= 0:
                times.append([stages.spent_ns[stage] / 1e6 for stage in STAGES])
                found += bool(answers) and answers[0].track == right
        without_search = np.median(np.sum(times, axis=1) - np.array(times)[:, 0])
        cells = [f"{ms:.1f}" for ms in np.median(times, axis=0)]
        print_row(f"{length_s} s", n, *cells, f"{without_search:.1f}", f"{found}/{options.queries}")


if __name__ == "__main__":
    main()
