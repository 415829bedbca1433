"""Accuracy and time of the inverted index by nprobe (lists read for each row) and number of proposing rows.

    python benchmarks/nprobe.py BIG/MODEL --references REFERENCES --noise NOISE --rir ROOMS --work FOLDER

Needs a compact library that holds the references (`benchmarks/scale.py` makes one of any size), noises and
room responses. Prints a table with a line for each setting: share of queries whose right recording comes
first, by condition and length, share that is also within 50 ms, and the median CPU time of matching.

A setting is nprobe x rows, or nprobe x rows x score. With a score, a few of the rows search first, and a
match with that score ends the search (see `earprint.matching.candidates`). Times are CPU time of this process
in one thread. Do not choose a setting on recordings that you report on.
"""

import argparse
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray

from common import add_audio_options, machine, make_queries, print_header, print_row, read_queries
from earprint.encoders import cohort_of, load_encoder
from earprint.index import inverted
from earprint.library import Library
from earprint.matching import aligned, search

SETTINGS = ("64x24", "128x24", "256x24", "512x24", "256x40", "128x24x0.5", "256x24x0.5", "512x24x0.5")
"""nprobe, proposing rows, and the score that ends the search early."""

TOLERANCE_S = 0.05
"""Largest error of a start that counts as right, in seconds."""


@contextmanager
def early_stop(score: float | None) -> Iterator[None]:
    """Let a few rows end the search at a score, or, for None, all rows search at once."""
    in_rounds = aligned.search_rounds

    def at_once(counts: NDArray[np.float64], most: int) -> list[NDArray[np.int64]]:
        return [np.sort(np.concatenate(in_rounds(counts, most)))]

    with (
        mock.patch.object(aligned, "search_rounds", at_once if score is None else in_rounds),
        mock.patch.object(aligned, "CONFIDENT_SCORE", np.inf if score is None else score),
    ):
        yield


def main() -> None:
    """Ask with each setting and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("library", type=Path, help="a compact library")
    add_audio_options(parser)
    parser.add_argument("--work", type=Path, required=True, help="folder for the queries")
    parser.add_argument("--lengths", type=float, nargs="+", default=[1.0, 2.0, 3.0], help="in seconds")
    parser.add_argument("--queries", type=int, default=100, help="of each length and condition")
    parser.add_argument(
        "--settings", nargs="+", default=SETTINGS, help="nprobe x rows, or nprobe x rows x score"
    )
    options = parser.parse_args()

    encoder = load_encoder(options.model, threads=1)
    ratio = round(encoder.reference_hop_s / encoder.query_hop_s)
    cohort = cohort_of(encoder)
    with Library(options.library, model=options.model, create=False) as library:
        make_queries(
            options.work,
            library,
            options.references,
            options.noise,
            options.rir,
            options.lengths,
            options.queries,
        )
        asked = [(query, encoder.encode([query.audio], query=True)) for query in read_queries(options.work)]
        view = library._views.current()
        index = view.index(library._model.storage(encoder, view.meta), "inverted")
        assert isinstance(index, inverted.InvertedIndex)
        print(f"{len(index):,} fingerprints, {len(asked)} queries; {machine()}\n")
        cells = list(dict.fromkeys((query.condition, query.length_s) for query, _ in asked))
        lengths = sorted({length_s for _, length_s in cells})
        print_header("setting", *(f"{condition}, {length_s:g} s" for condition, length_s in cells),
                     "all, top-1 %", "all, top-1 & 50 ms %",
                     *(f"{length_s:g} s: median CPU ms" for length_s in lengths))  # fmt: skip
        for setting in options.settings:
            nprobe, rows, *score = setting.split("x")
            index._nprobe, index.max_query_rows = (
                min(int(nprobe), len(index._codebook.coarse_centroids)),
                int(rows),
            )
            right, took_s, placed = defaultdict(list), defaultdict(list), []
            with early_stop(float(score[0]) if score else None):
                for query, fingerprints in asked:
                    start = time.process_time()
                    found = search(fingerprints, index, view.table, ratio=ratio, cohort=cohort)
                    took_s[query.length_s].append(time.process_time() - start)
                    hit = bool(found) and view.tracks[found[0].track].content_hash == query.content_hash
                    right[query.condition, query.length_s].append(hit)
                    placed.append(hit and abs(found[0].start_s - query.start_s) <= TOLERANCE_S)
            name = f"nprobe {nprobe} x {rows} rows" + f", ends at {''.join(score)}" * len(score)
            print_row(name, *(f"{100 * np.mean(right[cell]):.1f}" for cell in cells),
                      f"{100 * np.mean([hit for hits in right.values() for hit in hits]):.2f}",
                      f"{100 * np.mean(placed):.2f}",
                      *(f"{1000 * np.median(took_s[length_s]):.0f}" for length_s in lengths))  # fmt: skip


if __name__ == "__main__":
    main()
