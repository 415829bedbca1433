"""Bytes per hour of audio against accuracy: what is lost by storing references in less, on your recordings.

They are stored on several grids (``--hops``), and on each in several ways (``--storages``):

- float32: single precision, the yardstick, which is always among them;
- half: half precision, as a library's storage ``half``;
- int8: whole numbers of one byte, and for each row a scale in half precision;
- pqN: N bytes of product-quantised codes after the two of a list, as a library's storage ``compact``, with a
  codebook learned from the training part of the store.

All answer the same queries, drawn and distorted as ``earprint evaluate`` does, by exact search and the
default matching, so that every difference comes from what is stored.

    python benchmarks/sizes.py --references DIR --absent DIR [--distractors DIR] --store STORE \
        --noise DIR --rooms DIR [--devices DIR] --work FOLDER

Fingerprints, codebooks and answers are kept in the work folder: a run that is broken off goes on there, and
runs for some of the hops or storages can go on side by side, before one for all of them prints the tables.
What is kept belongs to its model and files; take another folder when the program has changed. No distractor
may be a reference or absent recording in another file: which of two equal tracks is first would be chance.
"""

import argparse
import hashlib
import json
import os
import platform
import re
import shlex
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray

from earprint.audio import content_hash, find_audio_files, load_audio
from earprint.constants import SAMPLE_RATE
from earprint.encoders import Encoder, Fingerprints, load_encoder, sounds_of
from earprint.errors import AudioError
from earprint.evaluation.condition_options import select_conditions
from earprint.evaluation.exclusions import Exclusions
from earprint.evaluation.ingest import measure_absent
from earprint.evaluation.material import Material
from earprint.evaluation.outcomes import Outcome
from earprint.evaluation.plan import Plan, draw_queries
from earprint.evaluation.query import Query
from earprint.evaluation.rendering import render
from earprint.evaluation.roc import ALL, FALSE_ACCEPT_RATE, compute_roc
from earprint.evaluation.search import PrefetchedIndex, search_exactly
from earprint.evaluation.tables import markdown_table
from earprint.index import ExactIndex
from earprint.matching import TrackTable, search
from earprint.matching.candidates import HITS_PER_ROW
from earprint.quantization.codebook import Codebook, read_codebook, write_codebook
from earprint.quantization.storage import CompactStorage, HalfStorage, Storage
from earprint.training.codebook import learn_codebook, references_at_each_step
from earprint.training.store import open_pack

YARDSTICK = "float32"
"""The storage that the others are set against."""

STORAGES = (YARDSTICK, "half", "int8", "pq16", "pq23", "pq32", "pq64")

HOPS_MS = (160, 320, 640)

CONDITIONS = ("clean", "noise", "room-noise", "phone", "speed")
"""What the queries go through."""

SNRS_DB = (0.0, 10.0)

SPEED = 1.03

HELD_OUT_PERCENT = 8
"""Of the store's sources, as in training: no codebook is learned from them."""

LARGEST = 127
"""Largest whole number of a row in 8 bits."""

BATCH = 256
"""Queries that are searched for together."""

ITEMS = 64
"""Recordings of the store that are fingerprinted before they are kept."""

SAY_EACH_S = 20.0
"""Seconds between two lines of progress."""

COLUMNS = ["hop", "storage", "bytes per fingerprint", "MB per hour"]
"""First columns of a table."""

LAST_COLUMNS = ["all", "answered right", "won", "lost"]
"""Its columns after those of the conditions."""


class Memory:
    """Unpacked rows in memory, shape (n, dim), to be searched exactly; see `earprint.index.base.Index`."""

    proposing_rows = ExactIndex.proposing_rows

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
    """The work folder, and lines on stderr that say how far it is."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._said = time.monotonic()

    def place(self, name: str) -> Path:
        """Path of a file in the folder, which may lie in a folder of its own there."""
        file = self._folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        return file

    def progress(self, what: str, done: float, total: float) -> None:
        """Say how much of something is done, if nothing was said lately."""
        if time.monotonic() - self._said >= SAY_EACH_S:
            self.say(f"{what}: {done:g} of {total:g}")

    def say(self, line: str) -> None:
        """Say something."""
        self._said = time.monotonic()
        print(line, file=sys.stderr, flush=True)


@contextmanager
def whole(file: Path) -> Iterator[BinaryIO]:
    """Write a file that is there whole or not at all, whoever else writes it at the same time."""
    part = file.with_name(f"{os.getpid()}-{file.name}.part")
    with part.open("wb") as opened:
        yield opened
    part.replace(file)


def digest_of(*facts: object) -> str:
    """Hexadecimal digits that tell JSON-ready facts apart, for names of files."""
    return hashlib.blake2b(json.dumps(facts).encode(), digest_size=8).hexdigest()


@dataclass(frozen=True)
class Recording:
    """A recording, the digest of its content, and the file that keeps its rows at each step of queries."""

    path: Path
    digest: str
    duration_s: float
    kept: Path


def fingerprinted(
    encoder: Encoder, files: Sequence[Path], work: Work, left_out: Exclusions
) -> list[Recording]:
    """Fingerprint references at each step of queries, each content once, unless that has been done."""
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
                rows = references_at_each_step(encoder, audio)
                with whole(kept) as file:
                    np.savez(file, rows=rows, duration_s=len(audio) / SAMPLE_RATE)
        except AudioError as error:
            left_out.exclude_file(path, error)
            continue
        with np.load(kept) as arrays:
            recordings[digest] = Recording(path, digest, float(arrays["duration_s"]), kept)
    return list(recordings.values())


def on_grid(recordings: Sequence[Recording], steps: int) -> tuple[NDArray[np.float32], TrackTable]:
    """Every so manieth row of recordings, one after another, shape (n, dim), and whose they are."""
    parts = []
    for recording in recordings:
        with np.load(recording.kept) as kept:
            parts.append(kept["rows"][::steps].copy())
    counts = [len(part) for part in parts]
    return np.concatenate(parts), TrackTable(np.cumsum([0, *counts])[:-1].tolist(), counts)


@dataclass(frozen=True)
class Questions:
    """Queries of one length, and the file that keeps their fingerprints."""

    length_s: float
    queries: list[Query]
    kept: Path

    def fingerprints(self) -> list[Fingerprints]:
        """Read the queries' fingerprints."""
        with np.load(self.kept) as kept:
            parts = np.split(kept["rows"], np.cumsum(kept["counts"])[:-1])
            hop_s, beyond, durations_s = float(kept["hop_s"]), int(kept["beyond"]), kept["durations_s"]
        return [
            Fingerprints(part, hop_s, duration_s, beyond)
            for part, duration_s in zip(parts, durations_s.tolist(), strict=True)
        ]


def put(encoder: Encoder, queries: Sequence[Query], work: Work, left_out: Exclusions) -> Questions:
    """Distort and fingerprint queries of one length, unless that has been done."""
    length_s = queries[0].length_s
    # The conditions of an excerpt one after another, as they share its noise and room.
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
            sys.exit(f"too few queries of {length_s:g} s; give recordings, and absent ones, that play")
        with whole(kept) as file:
            np.savez(
                file,
                numbers=numbers,
                rows=np.concatenate([one.vectors for one in made]),
                counts=[len(one.vectors) for one in made],
                durations_s=[one.duration_s for one in made],
                hop_s=made[0].hop_s,
                beyond=made[0].beyond,
            )
    with np.load(kept) as arrays:
        return Questions(length_s, [ordered[number] for number in arrays["numbers"].tolist()], kept)


class Codebooks:
    """Codebooks of a model, learned from a store when they are asked for, unless that has been done."""

    def __init__(self, encoder: Encoder, store: Path, work: Work) -> None:
        self._encoder = encoder
        self._work = work
        self._pack = open_pack(store, "music").split(HELD_OUT_PERCENT)[0]
        self.digest = digest_of(encoder.model_id, [(item.name, item.length) for item in self._pack.items])

    def of(self, pieces: int) -> Codebook:
        """Return the codebook of some pieces."""
        file = self._work.place(f"pq{pieces}-{self.digest}.codebook.npz")
        if not file.exists():
            rows = np.concatenate(list(self._recordings()))
            self._work.say(f"learning a codebook of {pieces} pieces")
            book = learn_codebook(rows[rows.any(axis=1)], self._encoder.model_id, pieces)
            part = file.with_name(f"{os.getpid()}-{file.name}")
            write_codebook(part, book)
            part.replace(file)
        return read_codebook(file)

    def _recordings(self) -> Iterator[NDArray[np.float16]]:
        """Fingerprint references to learn from, (rows, dim) each, at each step of queries."""
        items = self._pack.items
        for begin in range(0, len(items), ITEMS):
            kept = self._work.place(f"store-{self.digest}/{begin:06d}.npz")
            if not kept.exists():
                self._work.progress("fingerprinting the store", begin, len(items))
                made = [
                    references_at_each_step(self._encoder, self._pack.audio(item)).astype(np.float16)
                    for item in items[begin : begin + ITEMS]
                ]
                with whole(kept) as file:
                    np.savez(file, *made)
            with np.load(kept) as arrays:
                yield from (arrays[name] for name in arrays.files)


def packed(rows: NDArray[np.float32], name: str, books: Codebooks) -> tuple[NDArray[np.float32], int]:
    """Pack rows (n, dim); what unpacking makes of them, and the bytes of a packed row."""
    if name == YARDSTICK:
        return rows, rows.itemsize * rows.shape[1]
    if name == "int8":
        scale = (np.abs(rows).max(axis=1, keepdims=True) / LARGEST).astype(np.float16)
        numbers = np.rint(rows / np.where(scale > 0, scale, 1).astype(np.float32))
        # The scale is rounded too, so that the largest number may come to more.
        numbers = np.clip(numbers, -LARGEST, LARGEST).astype(np.int8)
        unpacked = np.multiply(numbers, scale, dtype=np.float32)
        return unpacked, numbers.itemsize * numbers.shape[1] + scale.itemsize
    storage: Storage = (
        HalfStorage(rows.shape[1]) if name == "half" else CompactStorage(books.of(int(name[2:])))
    )
    unpacked = np.ascontiguousarray(storage.unpack(storage.pack(rows)))
    return unpacked, storage.dtype.itemsize * storage.width


@dataclass(frozen=True)
class Answers:
    """What rows on a grid, stored in some way, answered to questions.

    Attributes
    ----------
    hop_ms : int
    storage : str
    width : int
        Bytes of a row.
    given : dict of float to list
        By length of query, in seconds: whether each query's best track is the right one, and its score.
    """

    hop_ms: int
    storage: str
    width: int
    given: dict[float, list[tuple[bool, float]]]


def ask(
    questions: Questions,
    index: Memory,
    owners: TrackTable,
    paths: Sequence[Path],
    ratio: int,
    sounds: NDArray[np.float32] | None,
) -> Iterator[tuple[bool, float]]:
    """Put questions to an index; see `Answers.given`."""
    asked = list(zip(questions.queries, questions.fingerprints(), strict=True))
    for begin in range(0, len(asked), BATCH):
        some = asked[begin : begin + BATCH]
        rows = np.concatenate([made.vectors for _, made in some])
        known = PrefetchedIndex(index, rows[rows.any(axis=1)], HITS_PER_ROW)
        for query, made in some:
            found = search(made, known, owners, ratio=ratio, sounds=sounds)
            yield bool(found) and paths[found[0].track] == query.path, found[0].score if found else 0.0


def on_hop(
    encoder: Encoder,
    recordings: Sequence[Recording],
    asked: Sequence[Questions],
    hop_ms: int,
    names: Sequence[str],
    books: Codebooks,
    work: Work,
) -> tuple[list[Answers], int]:
    """Put all questions to a grid stored in several ways, unless that has been done.

    Returns
    -------
    (list of Answers, int)
        In the order of the names, and the rows that were stored.
    """
    ratio, sounds = round(hop_ms / 1000 / encoder.query_hop_s), sounds_of(encoder)
    rows, owners = on_grid(recordings, ratio)
    paths = [recording.path for recording in recordings]
    facts = [encoder.model_id, *(recording.digest for recording in recordings)]
    out = []
    for name in names:
        digest = digest_of(facts, books.digest if name.startswith("pq") else "")
        index, width, given = None, 0, {}
        for questions in asked:
            kept = work.place(f"answers/{hop_ms}ms-{name}-{digest}-{questions.kept.stem}.json")
            if not kept.exists():
                if index is None:
                    unpacked, width = packed(rows, name, books)
                    index = Memory(unpacked)
                began = time.process_time()
                what = f"{hop_ms} ms, {name}, queries of {questions.length_s:g} s"
                answers = []
                for answer in ask(questions, index, owners, paths, ratio, sounds):
                    answers.append(answer)
                    work.progress(what, len(answers), len(questions.queries))
                with whole(kept) as file:
                    file.write(json.dumps({"width": width, "answers": answers}).encode())
                work.say(f"{what}: {len(answers)} in {time.process_time() - began:.0f} s of CPU time")
            read: dict[str, Any] = json.loads(kept.read_bytes())
            width, given[questions.length_s] = read["width"], read["answers"]
        out.append(Answers(hop_ms, name, width, given))
    return out, len(rows)


@dataclass(frozen=True)
class Judged:
    """What became of the queries whose recordings are stored, shape (n,) each.

    Attributes
    ----------
    conditions : ndarray of str
    right : ndarray of bool
        The best track is the right one.
    answered : ndarray of bool
        And its score reaches the threshold that lets `FALSE_ACCEPT_RATE` of the absent queries through.
    """

    conditions: NDArray[np.str_]
    right: NDArray[np.bool_]
    answered: NDArray[np.bool_]


def judged(answers: Answers, asked: Sequence[Questions]) -> Judged:
    """Judge answers to some questions, those of each length by a threshold of their own."""
    conditions, right, answered = [], [], []
    for questions in asked:
        given = zip(questions.queries, answers.given[questions.length_s], strict=True)
        outcomes = [Outcome(query, hit, score, 0.0, False, None, 0.0) for query, (hit, score) in given]
        curve = compute_roc(outcomes, answers.storage, questions.length_s, ALL)
        assert curve is not None, "there are queries of both kinds"
        threshold = curve.right_at()[1]
        present = [outcome for outcome in outcomes if outcome.query.present]
        conditions += [outcome.query.condition for outcome in present]
        right += [outcome.right_track for outcome in present]
        answered += [outcome.right_track and outcome.score >= threshold for outcome in present]
    return Judged(np.array(conditions), np.array(right), np.array(answered))


def lines_of(
    answers: Sequence[Answers], asked: Sequence[Questions], conditions: Sequence[str]
) -> list[list[str]]:
    """Lines of the table of some questions, see `COLUMNS` and `LAST_COLUMNS`."""
    all_judged = {(one.hop_ms, one.storage): judged(one, asked) for one in answers}
    finest_ms = min(one.hop_ms for one in answers)
    lines = []
    for one in answers:
        mine = all_judged[one.hop_ms, one.storage]
        other = all_judged[finest_ms if one.storage == YARDSTICK else one.hop_ms, YARDSTICK]
        megabytes = one.width * 3600 / (one.hop_ms / 1000) / 1e6
        cells = [f"{one.hop_ms} ms", one.storage, str(one.width), f"{megabytes:.3g}"]
        for condition in conditions:
            chosen = mine.conditions == condition
            cells.append(share(mine.right[chosen], other.right[chosen], mine is other))
        cells.append(share(mine.right, other.right, mine is other))
        cells.append(share(mine.answered, other.answered, mine is other))
        won, lost = (mine.right & ~other.right).sum(), (other.right & ~mine.right).sum()
        cells += ["-", "-"] if mine is other else [str(won), str(lost)]
        lines.append(cells)
    return lines


def share(hits: NDArray[np.bool_], others: NDArray[np.bool_], alone: bool) -> str:
    """Say a share in percent, and by how many points it differs from another's."""
    percent, points = 100 * hits.mean(), 100 * (hits.mean() - others.mean())
    return f"{percent:.1f}" if alone else f"{percent:.1f} ({points:+.1f})"


def processor() -> str:
    """Name of the processor, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def storage_name(text: str) -> str:
    """See that a storage is known."""
    if text not in STORAGES and not re.fullmatch(r"pq[1-9]\d*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is none of {YARDSTICK}, half, int8 and pqN")
    return text


def parsed() -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--references", type=Path, nargs="+", required=True, help="folders; asked about")
    parser.add_argument("--absent", type=Path, nargs="+", required=True, help="asked about and not stored")
    parser.add_argument("--distractors", type=Path, nargs="+", default=[], help="stored and not asked about")
    parser.add_argument("--store", type=Path, required=True, help="made by `earprint train pack`")
    parser.add_argument("--noise", type=Path, nargs="+", required=True)
    parser.add_argument("--rooms", type=Path, nargs="+", required=True, help="room responses")
    parser.add_argument("--devices", type=Path, nargs="+", default=[], help="device responses, for the phone")
    parser.add_argument("--work", type=Path, required=True, help="folder for all that is made on the way")
    parser.add_argument("--model", default="dense")
    parser.add_argument("--queries", type=int, default=300, help="of each condition and length")
    parser.add_argument("--absent-queries", type=int, default=100, help="likewise, of absent recordings")
    parser.add_argument("--lengths", type=float, nargs="+", default=[1.0, 2.0, 3.0, 5.0], help="seconds")
    parser.add_argument("--hops", type=int, nargs="+", default=HOPS_MS, help="in ms")
    parser.add_argument("--storages", type=storage_name, nargs="+", default=STORAGES)
    parser.add_argument("--seed", type=int, default=1, help="of the queries")
    return parser, parser.parse_args()


def collected(
    encoder: Encoder, options: argparse.Namespace, work: Work
) -> tuple[list[Recording], list[Questions]]:
    """Fingerprint what is stored and what is asked."""
    left_out = Exclusions(work.say)
    files = {
        kind: list(find_audio_files(getattr(options, kind), on_warning=work.say))
        for kind in ("references", "distractors", "absent", "noise", "rooms", "devices")
    }
    references = fingerprinted(encoder, files["references"], work, left_out)
    asked_about = {recording.digest for recording in references}
    others = fingerprinted(encoder, files["distractors"], work, left_out)
    recordings = references + [one for one in others if one.digest not in asked_about]
    held = {recording.digest for recording in recordings}
    material = Material(
        files["references"], noises=files["noise"], rooms=files["rooms"], devices=files["devices"]
    )
    conditions = select_conditions(CONDITIONS, material, {"--snr": SNRS_DB, "--speed": (SPEED,)})
    queries = draw_queries(
        [(recording.path, recording.duration_s) for recording in references],
        measure_absent(files["absent"], held, left_out, work.progress),
        material,
        Plan(
            conditions, list(dict.fromkeys(options.lengths)), options.queries, options.absent_queries,
            seed=options.seed,
        ),
        left_out,
    )  # fmt: skip
    asked = []
    for length_s in dict.fromkeys(query.length_s for query in queries):
        mine = [query for query in queries if query.length_s == length_s]
        asked.append(put(encoder, mine, work, left_out))
    for line in left_out.summary_lines():
        work.say(line)
    if not asked:
        sys.exit("nothing to ask about; give recordings that play, and shorter --lengths")
    return recordings, asked


def main() -> None:
    """Fingerprint, ask, and print the tables."""
    parser, options = parsed()
    encoder = load_encoder(options.model, threads=1)
    grid_ms, hops_ms = round(1000 * encoder.query_hop_s), sorted(set(options.hops))
    if any(hop_ms < 1 or hop_ms % grid_ms for hop_ms in hops_ms):
        parser.error(f"--hops are whole multiples of {grid_ms} ms, the grid of queries")
    work = Work(options.work)
    books = Codebooks(encoder, options.store, work)
    recordings, asked = collected(encoder, options, work)
    names = list(dict.fromkeys((YARDSTICK, *options.storages)))
    answers: list[Answers] = []
    rows = {}
    for hop_ms in hops_ms:
        some, rows[hop_ms] = on_hop(encoder, recordings, asked, hop_ms, names, books, work)
        answers += some

    put_queries = [query for questions in asked for query in questions.queries]
    conditions = list(dict.fromkeys(query.condition for query in put_queries))
    cells = Counter((query.length_s, query.condition) for query in put_queries if query.present).values()
    asked_in_cells = sorted({min(cells), max(cells)})
    hours = sum(recording.duration_s for recording in recordings) / 3600
    print(
        f"{encoder.model_id}; {len(recordings)} tracks, {hours:.1f} h: "
        + ", ".join(f"{n:,} fingerprints at {hop_ms} ms" for hop_ms, n in rows.items())
        + f"; {' to '.join(map(str, asked_in_cells))} queries a cell, and for each length "
        f"{(len(put_queries) - sum(cells)) // len(asked)} of absent recordings; seed {options.seed}; "
        f"{processor()}, numpy {np.__version__}, {time.strftime('%Y-%m-%d')};\n"
        f"`{shlex.join(['python', *sys.argv])}`\n\n"
        "MB are those of fingerprints alone. Top-1 in percent; in brackets, points more or less than float32 "
        f"at the same hop, and for float32 than at {hops_ms[0]} ms. Answered right: top-1, with a score that "
        f"at most {100 * FALSE_ACCEPT_RATE:g} % of the absent queries of that length reach. Won and lost: "
        "queries whose top-1 is right here and not there, and the other way round.\n"
    )
    columns = [*COLUMNS, *conditions, *LAST_COLUMNS]
    for these in [[questions] for questions in asked] + ([asked] if len(asked) > 1 else []):
        lengths = ", ".join(f"{questions.length_s:g}" for questions in these)
        print(f"Queries of {lengths} s:\n\n{markdown_table(columns, lines_of(answers, these, conditions))}")


if __name__ == "__main__":
    main()
