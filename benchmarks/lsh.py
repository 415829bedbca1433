"""Accuracy, time and memory of the LSH index (`earprint.index.lsh`) compared with exact search.

    python benchmarks/lsh.py --references DIR --noise DIR --rir DIR [--distractors DIR] [--cache DIR]

Needs music, noises and room responses. Prints a table with a line for each setting and length of query.

The queries are distorted excerpts of the references (clean, noise at 0 dB, room and noise at 0 dB). "top-1"
is the share whose right track comes first after matching. "nearest found" is the share of query rows whose
nearest stored row was found; "rows compared" is the number of stored rows compared with a query row. Times
are CPU time of this process in one thread, for the same queries in turn; ratios are more reliable than the
figures. The fingerprints of the files are kept in the cache folder and used again.
"""

import argparse
import hashlib
import os
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

from common import add_audio_options, cpu_seconds, machine, print_header, print_row, write_whole
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
"""Tables x bits x probes; the first is the paper's."""

WINDOW_S = 0.96
"""Length of the window of a row, in seconds."""

COLUMNS = (
    "tables x bits x probes", "query", "top-1: exact", "lsh", "points", "nearest found", "rows compared",
    "build, s", "bytes per row", "nearest rows, ms per query: exact", "lsh", "all matching, ms: exact", "lsh",
)  # fmt: skip
"""Columns of the table; "top-1" in percent of the queries."""

CONDITIONS = ("clean", "noise=0", "room-noise=0")
"""Conditions of the queries."""

MAX_FILES = 32
"""Noises, and rooms, that are used; `render` keeps as many noises decoded."""

FAISS_FLIPS = 2
"""Bits that FAISS flips at most: 172 cells of 18 bits in each table."""

FAISS_ROWS = 200
"""Query rows that FAISS searches."""

FAISS_RESULTS = 65_536
"""Stored rows that FAISS returns for a query row at most."""

SCORE_TOLERANCE = 1e-5
"""Rows whose scores differ by less count as equally near."""


class RecordingIndex:
    """Wraps an index; records the time of its searches, their queries and the nearest rows found."""

    def __init__(self, index: Index) -> None:
        self.index = index
        self.max_query_rows = index.max_query_rows
        self.seconds = 0.0
        self.asked: list[NDArray[np.float32]] = []
        self.nearest: list[NDArray[np.float32]] = []
        self.rows: list[NDArray[np.int64]] = []

    def __len__(self) -> int:
        """Rows in the row space."""
        return len(self.index)

    def search(self, queries: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Search, and record it."""
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


Asked = tuple[float, Path, Fingerprints]
"""Length of a query in seconds, its recording, its fingerprints."""


@dataclass
class Tally:
    """Results of one index with the queries of one length."""

    right: list[bool] = field(default_factory=list)
    index_s: float = 0.0
    all_s: float = 0.0


def fingerprints(encoder: Encoder, files: list[Path], cache: Path) -> dict[Path, NDArray[np.float16]]:
    """Return the rows of each readable file, shape (n, dim); the cache keeps them."""
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
            with write_whole(kept) as file:
                np.save(file, made)
        stored[path] = np.load(kept)
    return stored


def choose_files(folders: list[Path]) -> list[Path]:
    """Choose `MAX_FILES` audio files of folders at random, the same in each run."""
    files = list(find_audio_files(folders))
    chosen = np.random.default_rng(0).permutation(len(files))[:MAX_FILES]
    return [files[number] for number in sorted(chosen.tolist())]


def make_queries(
    encoder: Encoder, recordings: list[tuple[Path, float]], material: Material, plan: Plan
) -> list[Asked]:
    """Draw, distort and fingerprint the queries."""
    left_out = Exclusions()
    queries = draw_queries(recordings, [], material, plan, left_out)
    made = [
        (query.length_s, query.path, encoder.encode([audio], query=True))
        for query, audio in render(queries, left_out.exclude_query)
    ]
    for line in left_out.summary_lines():
        print(line)
    return made


def faiss_multi_hash(rows: Rows, exact: RecordingIndex) -> str:
    """Return what `faiss.IndexBinaryMultiHash` finds with sign bits, for `FAISS_ROWS` query rows."""
    import faiss

    found = np.flatnonzero(np.concatenate(exact.nearest) > 0)
    rows_asked = found[:: -(-len(found) // FAISS_ROWS)]
    queries, nearest = np.concatenate(exact.asked)[rows_asked], np.concatenate(exact.rows)[rows_asked]
    width = -(-TABLES * BITS // 8)
    planes = np.random.default_rng(1).standard_normal((rows.dim, 8 * width)).astype(np.float32)

    def signs(vectors: NDArray[np.float32]) -> NDArray[np.uint8]:
        return np.packbits(vectors @ planes > 0, axis=1, bitorder="little")

    index = faiss.IndexBinaryMultiHash(8 * width, TABLES, BITS)
    index.add(signs(rows.vectors(0, len(rows))))
    index.nflip = FAISS_FLIPS
    found = index.search(signs(queries), min(len(rows), FAISS_RESULTS))[1]
    share, compared = (found == nearest[:, None]).any(axis=1).mean(), (found >= 0).sum(axis=1).mean()
    return (
        f"faiss.IndexBinaryMultiHash, {TABLES} x {BITS} sign bits, {FAISS_FLIPS} flips: nearest found "
        f"{100 * share:.1f} %, rows compared {compared:.0f} ({len(rows_asked)} query rows)"
    )


def build(rows: Rows, setting: str) -> tuple[LshIndex, float]:
    """Build the index of a setting, such as 50x18x200; return it, and the CPU time it took in seconds."""
    tables, bits, probes = map(int, setting.split("x"))
    took_s, index = cpu_seconds(lambda: LshIndex(rows, tables=tables, bits=bits, probes=probes))
    return index, took_s


def ask(
    asked: list[Asked], indexes: dict[str, RecordingIndex], paths: list[Path], table: TrackTable, ratio: int
) -> dict[tuple[str, float], Tally]:
    """Search for all queries in all indexes in turn; return tallies by index and length of query."""
    tallies: dict[tuple[str, float], Tally] = defaultdict(Tally)
    for length_s, path, query in asked:
        for name, index in indexes.items():
            tally = tallies[name, length_s]
            before_s = index.seconds
            took_s, answers = cpu_seconds(lambda of=query, index=index: search(of, index, table, ratio=ratio))
            tally.all_s += took_s
            tally.index_s += index.seconds - before_s
            tally.right.append(bool(answers) and paths[answers[0].track] == path)
    return tallies


def lines(
    setting: str,
    build_s: float,
    index: RecordingIndex,
    exact: RecordingIndex,
    lengths: NDArray[np.float64],
    tallies: dict[tuple[str, float], Tally],
) -> Iterator[list[str]]:
    """Yield the cells of the table's lines, one for each length; ``lengths`` has that of each query row."""
    assert isinstance(index.index, LshIndex)
    best = np.concatenate(exact.nearest)
    found = np.concatenate(index.nearest) >= best - SCORE_TOLERANCE
    compared = index.index.candidates(np.concatenate(index.asked))
    for length_s in np.unique(lengths).tolist():
        a, b = tallies["exact", length_s], tallies[setting, length_s]
        mine = (lengths == length_s) & (best > 0)
        tops = 100 * np.mean(a.right), 100 * np.mean(b.right)
        cells = [setting.replace("x", " x "), f"{length_s:g} s"]
        cells += [f"{tops[0]:.1f}", f"{tops[1]:.1f}", f"{tops[1] - tops[0]:+.1f}"]
        cells += [f"{100 * found[mine].mean():.1f} %", f"{compared[mine].mean():.0f}"]
        cells += [f"{build_s:.1f}", f"{index.index.nbytes / len(index):.0f}"]
        cells += [f"{1000 * s / len(a.right):.1f}" for s in (a.index_s, b.index_s, a.all_s, b.all_s)]
        yield cells


def main() -> None:
    """Build the indexes, search, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add_audio_options(parser)
    parser.add_argument("--distractors", type=Path, nargs="+", default=[], help="for a larger index")
    parser.add_argument("--cache", type=Path, help="folder for fingerprints  [default: a temporary one]")
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
    material = Material(references, noises=choose_files(options.noise), rooms=choose_files(options.rir))
    conditions = select_conditions(CONDITIONS, material)
    plan = Plan(conditions, options.lengths, options.queries, seed=options.seed)
    asked = make_queries(encoder, recordings, material, plan)
    print(
        f"{len(paths)} files, {sum(counts) * hop_s / 3600:.1f} h, {len(rows):,} fingerprints; "
        f"{len(asked)} queries; {machine()}\n"
    )

    exact = RecordingIndex(ExactIndex(rows))
    built = {setting: build(rows, setting) for setting in options.settings}
    indexes = {"exact": exact} | {setting: RecordingIndex(index) for setting, (index, _) in built.items()}
    table = TrackTable(np.cumsum([0, *counts])[:-1].tolist(), counts)
    tallies = ask(asked, indexes, paths, table, round(hop_s / encoder.query_hop_s))
    lengths = np.repeat([length_s for length_s, _, _ in asked], [len(queries) for queries in exact.asked])
    print_header(*COLUMNS)
    for setting, (_, build_s) in built.items():
        for cells in lines(setting, build_s, indexes[setting], exact, lengths, tallies):
            print_row(*cells)
    if options.faiss:
        print(f"\n{faiss_multi_hash(rows, exact)}")


if __name__ == "__main__":
    main()
