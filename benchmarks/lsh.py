"""What multi-probe hashing (`earprint.index.lsh`) costs and saves against exact search, on your recordings.

Distorted excerpts of the references (clean, noise at 0 dB, room and noise at 0 dB) are put to both, and only
the final answer counts: the track that comes first when the whole query has been matched. Times are CPU time
of this process, one thread, for the same queries put to all in turn; ratios hold better than figures.

    python benchmarks/lsh.py --references DIR --noise DIR --rir DIR [--distractors DIR] [--cache DIR]

The fingerprints of the files are made once and kept in the cache folder. "nearest" is the share of query rows
whose single nearest stored row was found, "looked at" the stored rows compared with a query row.
"""

import argparse
import hashlib
import os
import platform
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray

from earprint.audio import find_audio_files, stream_audio
from earprint.encoders import Encoder, Fingerprints, load_encoder
from earprint.errors import AudioError
from earprint.evaluation.condition_options import select_conditions
from earprint.evaluation.exclusions import Exclusions
from earprint.evaluation.material import Material
from earprint.evaluation.plan import Plan, draw_queries
from earprint.evaluation.rendering import render
from earprint.index import ExactIndex, Index
from earprint.index.lsh import BITS, TABLES, LshIndex
from earprint.index.rows import Rows
from earprint.matching import TrackTable, search
from earprint.quantization.storage import HalfStorage

SETTINGS = ("50x18x200", "50x18x1000", "50x16x200", "20x16x200")
"""Tables, bits and probes; the first is the paper's."""

WINDOW_S = 0.96
"""What the last row of a recording speaks for, in seconds."""

HEADER = (
    "| tables x bits x probes | query | top-1: exact | lsh | points | nearest found | looked at | build, s "
    "| bytes per row | nearest rows, ms per query: exact | lsh | all matching, ms: exact | lsh |"
)
"""Of the table; "top-1" in percent of the queries."""

CONDITIONS = ("clean", "noise=0", "room-noise=0")
"""What the queries go through."""

DRAWN = 32
"""Files of noise, and of rooms, that are used: as many noises as `render` keeps decoded."""

FLIPS = 2
"""Bits that FAISS flips at most: 172 cells of 18 bits in each table."""

FLIPPED = 200
"""Query rows put to FAISS."""

MOST_FLIPPED = 65_536
"""Stored rows that FAISS gives for a query row at most."""

SAME = 1e-5
"""Scores that differ by less are those of equally near rows."""


class Watched:
    """An index that keeps the time that its searches take, and the nearest rows that they find."""

    def __init__(self, index: Index) -> None:
        self.index = index
        self.proposing_rows = index.proposing_rows
        self.seconds = 0.0
        self.asked: list[NDArray[np.float32]] = []
        self.nearest: list[NDArray[np.float32]] = []
        self.rows: list[NDArray[np.int64]] = []

    def __len__(self) -> int:
        """Rows in the row space."""
        return len(self.index)

    def search(self, queries: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Search and take the time."""
        began = time.process_time()
        scores, rows = self.index.search(queries, k)
        self.seconds += time.process_time() - began
        self.asked.append(queries)
        self.nearest.append(scores[:, 0])
        self.rows.append(rows[:, 0])
        return scores, rows

    def vectors(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return stored rows."""
        return self.index.vectors(start, stop)

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return any stored rows."""
        return self.index.take(rows)


Question = tuple[float, Path, Fingerprints]
"""Length of a query in seconds, its recording, its fingerprints."""


@dataclass
class Tally:
    """What one index did with the queries of one length."""

    right: list[bool] = field(default_factory=list)
    index_s: float = 0.0
    all_s: float = 0.0


def fingerprints(encoder: Encoder, files: list[Path], cache: Path) -> dict[Path, NDArray[np.float16]]:
    """Rows of files, shape (n, dim) each, from the cache if it has them; without files that do not play."""
    cache.mkdir(parents=True, exist_ok=True)
    stored = {}
    for path in files:
        stat = path.stat()
        facts = f"{encoder.model_id} {path.resolve()} {stat.st_size} {stat.st_mtime_ns}"
        kept = cache / f"{hashlib.sha256(facts.encode(errors='replace')).hexdigest()[:32]}.npy"
        if not kept.exists():
            try:
                made = encoder.encode(stream_audio(path)).vectors.astype(np.float16)
            except AudioError as error:
                print(f"left out: {error}")
                continue
            with kept.with_suffix(".part").open("wb") as file:
                np.save(file, made)
            kept.with_suffix(".part").replace(kept)
        stored[path] = np.load(kept)
    return stored


def some(folders: list[Path]) -> list[Path]:
    """Draw `DRAWN` audio files of folders."""
    files = list(find_audio_files(folders))
    drawn_files = np.random.default_rng(0).permutation(len(files))[:DRAWN]
    return [files[number] for number in sorted(drawn_files.tolist())]


def questions(
    encoder: Encoder, recordings: list[tuple[Path, float]], material: Material, plan: Plan
) -> list[Question]:
    """Draw and distort the queries."""
    left_out = Exclusions()
    queries = draw_queries(recordings, [], material, plan, left_out)
    made = [
        (query.length_s, query.path, encoder.encode([audio], query=True))
        for query, audio in render(queries, left_out.exclude_query)
    ]
    for line in left_out.summary_lines():
        print(line)
    return made


def blind_flips(rows: Rows, exact: Watched) -> str:
    """What `faiss.IndexBinaryMultiHash` finds with sign bits, for `FLIPPED` query rows."""
    import faiss

    found = np.flatnonzero(np.concatenate(exact.nearest) > 0)
    rows_asked = found[:: -(-len(found) // FLIPPED)]
    queries, nearest = np.concatenate(exact.asked)[rows_asked], np.concatenate(exact.rows)[rows_asked]
    width = -(-TABLES * BITS // 8)
    planes = np.random.default_rng(1).standard_normal((rows.dim, 8 * width)).astype(np.float32)

    def signs(vectors: NDArray[np.float32]) -> NDArray[np.uint8]:
        return np.packbits(vectors @ planes > 0, axis=1, bitorder="little")

    index = faiss.IndexBinaryMultiHash(8 * width, TABLES, BITS)
    index.add(signs(rows.vectors(0, len(rows))))
    index.nflip = FLIPS
    found = index.search(signs(queries), min(len(rows), MOST_FLIPPED))[1]
    share, looked_at = (found == nearest[:, None]).any(axis=1).mean(), (found >= 0).sum(axis=1).mean()
    return (
        f"faiss.IndexBinaryMultiHash, {TABLES} x {BITS} sign bits, {FLIPS} flips: nearest found "
        f"{100 * share:.1f} %, looked at {looked_at:.0f} ({len(rows_asked)} query rows)"
    )


def build(rows: Rows, setting: str) -> tuple[LshIndex, float]:
    """Build the index of a setting, such as 50x18x200; the index, and the time it took in seconds."""
    tables, bits, probes = map(int, setting.split("x"))
    began = time.process_time()
    index = LshIndex(rows, tables=tables, bits=bits, probes=probes)
    return index, time.process_time() - began


def ask(
    asked: list[Question], indexes: dict[str, Watched], paths: list[Path], table: TrackTable, ratio: int
) -> dict[tuple[str, float], Tally]:
    """Put all queries to all indexes in turn; tallies by index and length of query."""
    tallies: dict[tuple[str, float], Tally] = defaultdict(Tally)
    for length_s, path, query in asked:
        for name, index in indexes.items():
            tally = tallies[name, length_s]
            before, began = index.seconds, time.process_time()
            answers = search(query, index, table, ratio=ratio)
            tally.all_s += time.process_time() - began
            tally.index_s += index.seconds - before
            tally.right.append(bool(answers) and paths[answers[0].track] == path)
    return tallies


def lines(
    setting: str,
    build_s: float,
    index: Watched,
    exact: Watched,
    lengths: NDArray[np.float64],
    tallies: dict[tuple[str, float], Tally],
) -> Iterator[str]:
    """Lines of the table, one for each length of query; `lengths` are those of the query rows' queries."""
    assert isinstance(index.index, LshIndex)
    best = np.concatenate(exact.nearest)
    found = np.concatenate(index.nearest) >= best - SAME
    looked_at = index.index.candidates(np.concatenate(index.asked))
    for length_s in np.unique(lengths).tolist():
        a, b = tallies["exact", length_s], tallies[setting, length_s]
        mine = (lengths == length_s) & (best > 0)
        tops = 100 * np.mean(a.right), 100 * np.mean(b.right)
        cells = [setting.replace("x", " x "), f"{length_s:g} s"]
        cells += [f"{tops[0]:.1f}", f"{tops[1]:.1f}", f"{tops[1] - tops[0]:+.1f}"]
        cells += [f"{100 * found[mine].mean():.1f} %", f"{looked_at[mine].mean():.0f}"]
        cells += [f"{build_s:.1f}", f"{index.index.nbytes / len(index):.0f}"]
        cells += [f"{1000 * s / len(a.right):.1f}" for s in (a.index_s, b.index_s, a.all_s, b.all_s)]
        yield f"| {' | '.join(cells)} |"


def main() -> None:
    """Build the indexes, ask, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--references", type=Path, nargs="+", required=True, help="folders; asked about")
    parser.add_argument("--distractors", type=Path, nargs="+", default=[], help="for a larger index")
    parser.add_argument("--noise", type=Path, nargs="+", required=True)
    parser.add_argument("--rir", type=Path, nargs="+", required=True, help="room responses")
    parser.add_argument("--cache", type=Path, help="folder for fingerprints  [default: a temporary one]")
    parser.add_argument("--model", default="dense")
    parser.add_argument("--queries", type=int, default=15, help="of each condition and length")
    parser.add_argument("--lengths", type=float, nargs="+", default=[1.0, 2.0, 5.0], help="seconds")
    parser.add_argument("--settings", nargs="+", default=SETTINGS, help="tables x bits x probes")
    parser.add_argument("--faiss", action="store_true", help="compare with faiss.IndexBinaryMultiHash too")
    parser.add_argument("--seed", type=int, default=1, help="of the queries")
    options = parser.parse_args()

    encoder = load_encoder(options.model, threads=1)
    references = list(find_audio_files(options.references))
    files = references + list(find_audio_files(options.distractors))
    with TemporaryDirectory() as temporary:
        stored = fingerprints(encoder, files, options.cache or Path(temporary))
    paths, counts = list(stored), [len(part) for part in stored.values()]
    rows = Rows(list(stored.values()), HalfStorage(encoder.dim))
    hop_s = encoder.reference_hop_s
    recordings = [(path, (len(stored[path]) - 1) * hop_s + WINDOW_S) for path in references if path in stored]
    material = Material(references, noises=some(options.noise), rooms=some(options.rir))
    conditions = select_conditions(CONDITIONS, material)
    plan = Plan(conditions, options.lengths, options.queries, seed=options.seed)
    asked = questions(encoder, recordings, material, plan)
    print(f"{len(paths)} files, {sum(counts) * hop_s / 3600:.1f} h, {len(rows):,} fingerprints; ", end="")
    print(
        f"{len(asked)} queries; {platform.machine()}, numpy {np.__version__}, {time.strftime('%Y-%m-%d')}\n"
    )

    exact = Watched(ExactIndex(rows))
    built = {setting: build(rows, setting) for setting in options.settings}
    indexes = {"exact": exact} | {setting: Watched(index) for setting, (index, _) in built.items()}
    table = TrackTable(np.cumsum([0, *counts])[:-1].tolist(), counts)
    tallies = ask(asked, indexes, paths, table, round(hop_s / encoder.query_hop_s))
    lengths = np.repeat([length_s for length_s, _, _ in asked], [len(queries) for queries in exact.asked])
    print(HEADER)
    print(f"{'|---' * HEADER.count(' |')}|")
    for setting, (_, build_s) in built.items():
        for line in lines(setting, build_s, indexes[setting], exact, lengths, tallies):
            print(line)
    if options.faiss:
        print(f"\n{blind_flips(rows, exact)}")


if __name__ == "__main__":
    main()
