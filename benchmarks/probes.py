"""How many lists to read for how many rows of a question: what inverted lists find, and how soon.

Distorted excerpts of recordings that a large compact library holds are embedded once and put to it with
several settings. Only the final answer counts: the recording that comes first. Times are CPU time of this
process, one thread, for matching alone, so that other load on the machine disturbs them little.

    python benchmarks/probes.py BIG/MODEL --references REFERENCES --noise NOISE --rir ROOMS --work FOLDER

Settings are lists x rows, or lists x rows x score: so many nearest lists are read for so many rows of a
question, see `earprint.index.inverted`, and a few of these rows settle it from that score on, see
`earprint.matching.candidates`; without a score all rows search at once. What suits one's own recordings may
differ; what is chosen with recordings that are to be reported on is no measure of them.
"""

import argparse
import os
import platform
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

from earprint.encoders import load_encoder, sounds_of
from earprint.index import inverted
from earprint.library import Library
from earprint.matching import aligned, search
from scale import ask, read_questions, tell

SETTINGS = ("64x24", "128x24", "256x24", "512x24", "256x40", "128x24x0.5", "256x24x0.5", "512x24x0.5")
"""Lists read for each row, rows that search, and the score from which the first of them settle it."""


PLACED_S = 0.05
"""How far a start may lie from the right one to count as right, in seconds."""


@contextmanager
def as_asked(settled: float | None) -> Iterator[None]:
    """Let a few rows settle a question from a score on, or all rows search at once."""
    in_rounds = aligned.rounds

    def at_once(counts: NDArray[np.float64], most: int) -> list[NDArray[np.int64]]:
        return [np.sort(np.concatenate(in_rounds(counts, most)))]

    with (
        mock.patch.object(aligned, "rounds", at_once if settled is None else in_rounds),
        mock.patch.object(aligned, "SETTLED", np.inf if settled is None else settled),
    ):
        yield


def main() -> None:
    """Ask with each setting and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("library", type=Path, help="a compact library")
    parser.add_argument("--references", type=Path, required=True, help="recordings that it holds")
    parser.add_argument("--noise", type=Path, required=True)
    parser.add_argument("--rir", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder for the questions")
    parser.add_argument("--model", default="dense")
    parser.add_argument("--lengths", type=float, nargs="+", default=[1.0, 2.0, 3.0])
    parser.add_argument("--queries", type=int, default=100, help="of each length and condition")
    parser.add_argument("--settings", nargs="+", default=SETTINGS, help="lists x rows x score")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    ask(options)

    encoder = load_encoder(options.model, threads=1)
    ratio = round(encoder.reference_hop_s / encoder.query_hop_s)
    sounds = sounds_of(encoder)
    asked = [
        (*facts[:4].tolist(), encoder.encode([audio], query=True))
        for facts, audio in read_questions(options.work)
    ]
    with Library(options.library, model=options.model, create=False) as library:
        view = library._views.current()
        index = view.index(library._model.storage(encoder, view.meta), "inverted")
        assert isinstance(index, inverted.InvertedIndex)
        print(
            f"{len(index):,} fingerprints, {len(asked)} questions; {platform.machine()}, "
            f"{os.cpu_count()} cores, numpy {np.__version__}, {time.strftime('%Y-%m-%d')}\n"
        )
        cells = list(dict.fromkeys((condition, float(length)) for _, condition, length, *_ in asked))
        lengths = sorted({length for _, length in cells})
        tell("library", *(f"{condition}, {length:g} s" for condition, length in cells),
             "all, top-1 %", "all, top-1 & 50 ms %",
             *(f"{length:g} s: median CPU ms" for length in lengths))  # fmt: skip
        for setting in options.settings:
            lists, rows, *settled = setting.split("x")
            index._probes, index.proposing_rows = min(int(lists), len(index._codebook.lists)), int(rows)
            right, took, placed = defaultdict(list), defaultdict(list), []
            with as_asked(float(settled[0]) if settled else None):
                for digest, condition, length, begins_s, query in asked:
                    start = time.process_time()
                    found = search(query, index, view.table, ratio=ratio, sounds=sounds)
                    took[float(length)].append(time.process_time() - start)
                    hit = bool(found) and view.tracks[found[0].track].content_hash == digest
                    right[condition, float(length)].append(hit)
                    placed.append(hit and abs(found[0].start_s - float(begins_s)) <= PLACED_S)
            name = f"{lists} lists x {rows} rows" + f", settled at {''.join(settled)}" * len(settled)
            tell(name, *(f"{100 * np.mean(right[cell]):.1f}" for cell in cells),
                 f"{100 * np.mean([one for some in right.values() for one in some]):.2f}",
                 f"{100 * np.mean(placed):.2f}",
                 *(f"{1000 * np.median(took[length]):.0f}" for length in lengths))  # fmt: skip


if __name__ == "__main__":
    main()
