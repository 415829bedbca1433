"""Accuracy by the size of stored fingerprints: hops (``--hops``) and storages (``--storages``).

    python benchmarks/storage.py --references DIR --absent DIR [--distractors DIR] --store STORE \
        --noise DIR --rir DIR [--device DIR] --work FOLDER

Needs recordings to store and to query, absent ones, noises, room responses, and for ``pqN`` a store made by
``earprint train pack``. Prints a table for each length of query, and one for all lengths.

Storages:

- float32: the baseline, always included;
- half: float16, as a library's storage ``half``;
- int8: 8-bit integers, and a float16 scale for each row;
- pqN: a list number of two bytes and N bytes of product-quantised codes, as a library's storage ``compact``,
  with a codebook learned from the training part of the store.

All storages answer the same queries, distorted as ``earprint evaluate`` does, by exact search and the default
matching. So every difference comes from the storage.

Fingerprints, codebooks and answers are kept in the work folder. A run that was interrupted goes on there, and
runs for some of the hops or storages may run at the same time, before one for all of them prints the tables.
Use another folder after the program has changed. No distractor may be the same recording as a reference or an
absent recording in another file: which of two equal tracks comes first would be random.
"""

import argparse
import json
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray

from common import add_audio_options, command, machine, write_whole
from earprint.audio import find_audio_files
from earprint.encoders import Encoder, cohort_of, load_encoder
from earprint.evaluation.comparison import ALL_CONDITIONS
from earprint.evaluation.condition_options import select_conditions
from earprint.evaluation.exclusions import Exclusions
from earprint.evaluation.ingest import measure_absent
from earprint.evaluation.material import Material
from earprint.evaluation.outcomes import Outcome
from earprint.evaluation.plan import Plan, draw_queries
from earprint.evaluation.roc import FALSE_ACCEPT_RATE, compute_roc
from earprint.evaluation.search import PrefetchedIndex
from earprint.evaluation.tables import markdown_table
from earprint.matching import TrackTable, search
from earprint.matching.candidates import HITS_PER_ROW
from storage_data import (
    BASELINE,
    Codebooks,
    MemoryIndex,
    QuerySet,
    Recording,
    Work,
    digest_of,
    fingerprint_files,
    make_queries,
    round_trip,
    subsample,
)

STORAGES = (BASELINE, "half", "int8", "pq16", "pq23", "pq32", "pq64")

HOPS_MS = (160, 320, 640)

CONDITIONS = ("clean", "noise", "room-noise", "phone", "speed")
"""Conditions of the queries."""

SNRS_DB = (0.0, 10.0)

SPEED = 1.03

BATCH = 256
"""Queries that are searched for together."""

COLUMNS = ["hop", "storage", "bytes per fingerprint", "MB per hour"]
"""First columns of a table."""

LAST_COLUMNS = ["all", "answered right", "won", "lost"]
"""Its columns after those of the conditions."""


@dataclass(frozen=True)
class Answers:
    """Answers of rows at one hop in one storage.

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
    query_set: QuerySet,
    index: MemoryIndex,
    owners: TrackTable,
    paths: Sequence[Path],
    ratio: int,
    cohort: NDArray[np.float32] | None,
) -> Iterator[tuple[bool, float]]:
    """Search for queries in an index; yield the entries of `Answers.given`."""
    asked = list(zip(query_set.queries, query_set.fingerprints(), strict=True))
    for begin in range(0, len(asked), BATCH):
        some = asked[begin : begin + BATCH]
        rows = np.concatenate([made.vectors for _, made in some])
        known = PrefetchedIndex(index, rows[rows.any(axis=1)], HITS_PER_ROW)
        for query, made in some:
            found = search(made, known, owners, ratio=ratio, cohort=cohort)
            yield bool(found) and paths[found[0].track] == query.path, found[0].score if found else 0.0


def answer_at_hop(
    encoder: Encoder,
    recordings: Sequence[Recording],
    asked: Sequence[QuerySet],
    hop_ms: int,
    names: Sequence[str],
    books: Codebooks,
    work: Work,
) -> tuple[list[Answers], int]:
    """Answer all queries at one hop in several storages; skip what is kept already.

    Returns
    -------
    (list of Answers, int)
        Answers in the order of the names, and the number of stored rows.
    """
    ratio, cohort = round(hop_ms / 1000 / encoder.query_hop_s), cohort_of(encoder)
    rows, owners = subsample(recordings, ratio)
    paths = [recording.path for recording in recordings]
    facts = [encoder.model_id, *(recording.digest for recording in recordings)]
    out = []
    for name in names:
        digest = digest_of(facts, books.digest if name.startswith("pq") else "")
        index, width, given = None, 0, {}
        for query_set in asked:
            kept = work.place(f"answers/{hop_ms}ms-{name}-{digest}-{query_set.kept.stem}.json")
            if not kept.exists():
                if index is None:
                    unpacked, width = round_trip(rows, name, books)
                    index = MemoryIndex(unpacked)
                began = time.process_time()
                what = f"{hop_ms} ms, {name}, queries of {query_set.length_s:g} s"
                answers = []
                for answer in ask(query_set, index, owners, paths, ratio, cohort):
                    answers.append(answer)
                    work.progress(what, len(answers), len(query_set.queries))
                with write_whole(kept) as file:
                    file.write(json.dumps({"width": width, "answers": answers}).encode())
                work.say(f"{what}: {len(answers)} in {time.process_time() - began:.0f} s of CPU time")
            read: dict[str, Any] = json.loads(kept.read_bytes())
            width, given[query_set.length_s] = read["width"], read["answers"]
        out.append(Answers(hop_ms, name, width, given))
    return out, len(rows)


@dataclass(frozen=True)
class Outcomes:
    """Outcomes of the queries whose recordings are stored, shape (n,) each.

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


def judge(answers: Answers, asked: Sequence[QuerySet]) -> Outcomes:
    """Judge answers, each length of query by its own threshold."""
    conditions, right, answered = [], [], []
    for query_set in asked:
        given = zip(query_set.queries, answers.given[query_set.length_s], strict=True)
        outcomes = [Outcome(query, hit, score, 0.0, False, None, 0.0) for query, (hit, score) in given]
        curve = compute_roc(outcomes, answers.storage, query_set.length_s, ALL_CONDITIONS)
        assert curve is not None, "there are queries of both kinds"
        threshold = curve.right_at()[1]
        present = [outcome for outcome in outcomes if outcome.query.present]
        conditions += [outcome.query.condition for outcome in present]
        right += [outcome.right_track for outcome in present]
        answered += [outcome.right_track and outcome.score >= threshold for outcome in present]
    return Outcomes(np.array(conditions), np.array(right), np.array(answered))


def lines_of(
    answers: Sequence[Answers], asked: Sequence[QuerySet], conditions: Sequence[str]
) -> list[list[str]]:
    """Return the lines of a table; see `COLUMNS` and `LAST_COLUMNS`."""
    outcomes_of = {(one.hop_ms, one.storage): judge(one, asked) for one in answers}
    finest_ms = min(one.hop_ms for one in answers)
    lines = []
    for one in answers:
        mine = outcomes_of[one.hop_ms, one.storage]
        other = outcomes_of[finest_ms if one.storage == BASELINE else one.hop_ms, BASELINE]
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
    """Format a share in percent, and its difference to another in points."""
    percent, points = 100 * hits.mean(), 100 * (hits.mean() - others.mean())
    return f"{percent:.1f}" if alone else f"{percent:.1f} ({points:+.1f})"


def storage_name(text: str) -> str:
    """Return the name of a storage if it is known."""
    if text not in STORAGES and not re.fullmatch(r"pq[1-9]\d*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not {BASELINE}, half, int8 or pqN")
    return text


def parse_arguments() -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add_audio_options(parser)
    parser.add_argument("--absent", type=Path, nargs="+", required=True, help="queries of these; not stored")
    parser.add_argument("--distractors", type=Path, nargs="+", default=[], help="stored; no queries of these")
    parser.add_argument("--store", type=Path, required=True, help="made by `earprint train pack`")
    parser.add_argument("--device", type=Path, nargs="+", default=[], help="device responses, for the phone")
    parser.add_argument("--work", type=Path, required=True, help="folder for intermediate files")
    parser.add_argument("--queries", type=int, default=300, help="of each condition and length")
    parser.add_argument("--absent-queries", type=int, default=100, help="the same, of absent recordings")
    parser.add_argument("--lengths", type=float, nargs="+", default=[1.0, 2.0, 3.0, 5.0], help="seconds")
    parser.add_argument("--hops", type=int, nargs="+", default=HOPS_MS, help="in ms")
    parser.add_argument("--storages", type=storage_name, nargs="+", default=STORAGES)
    parser.add_argument("--seed", type=int, default=1, help="of the queries")
    return parser, parser.parse_args()


def prepare(
    encoder: Encoder, options: argparse.Namespace, work: Work
) -> tuple[list[Recording], list[QuerySet]]:
    """Fingerprint what is stored and the queries."""
    left_out = Exclusions(work.say)
    files = {
        kind: list(find_audio_files(getattr(options, kind), on_warning=work.say))
        for kind in ("references", "distractors", "absent", "noise", "rir", "device")
    }
    references = fingerprint_files(encoder, files["references"], work, left_out)
    asked_about = {recording.digest for recording in references}
    others = fingerprint_files(encoder, files["distractors"], work, left_out)
    recordings = references + [one for one in others if one.digest not in asked_about]
    held = {recording.digest for recording in recordings}
    material = Material(
        files["references"], noises=files["noise"], rooms=files["rir"], devices=files["device"]
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
        asked.append(make_queries(encoder, mine, work, left_out))
    for line in left_out.summary_lines():
        work.say(line)
    if not asked:
        sys.exit("there are no queries; give readable recordings, and shorter --lengths")
    return recordings, asked


def main() -> None:
    """Fingerprint, search, and print the tables."""
    parser, options = parse_arguments()
    encoder = load_encoder(options.model, threads=1)
    grid_ms, hops_ms = round(1000 * encoder.query_hop_s), sorted(set(options.hops))
    if any(hop_ms < 1 or hop_ms % grid_ms for hop_ms in hops_ms):
        parser.error(f"--hops must be multiples of {grid_ms} ms, the query hop")
    work = Work(options.work)
    books = Codebooks(encoder, options.store, work)
    recordings, asked = prepare(encoder, options, work)
    names = list(dict.fromkeys((BASELINE, *options.storages)))
    answers: list[Answers] = []
    rows = {}
    for hop_ms in hops_ms:
        some, rows[hop_ms] = answer_at_hop(encoder, recordings, asked, hop_ms, names, books, work)
        answers += some

    queries = [query for query_set in asked for query in query_set.queries]
    conditions = list(dict.fromkeys(query.condition for query in queries))
    cells = Counter((query.length_s, query.condition) for query in queries if query.present).values()
    asked_in_cells = sorted({min(cells), max(cells)})
    hours = sum(recording.duration_s for recording in recordings) / 3600
    print(
        f"{encoder.model_id}; {len(recordings)} tracks, {hours:.1f} h: "
        + ", ".join(f"{n:,} fingerprints at {hop_ms} ms" for hop_ms, n in rows.items())
        + f"; {' to '.join(map(str, asked_in_cells))} queries a cell, and for each length "
        f"{(len(queries) - sum(cells)) // len(asked)} of absent recordings; seed {options.seed}; "
        f"{machine()};\n{command()}\n\n"
        "MB are those of fingerprints alone. Top-1 in percent; in brackets, the difference in points to "
        f"float32 at the same hop, and for float32 to {hops_ms[0]} ms. Answered right: top-1, with a score "
        f"that at most {100 * FALSE_ACCEPT_RATE:g} % of the absent queries of that length reach. "
        "Won and lost: queries whose top-1 is right here and not there, and the other way round.\n"
    )
    columns = [*COLUMNS, *conditions, *LAST_COLUMNS]
    for these in [[query_set] for query_set in asked] + ([asked] if len(asked) > 1 else []):
        lengths = ", ".join(f"{query_set.length_s:g}" for query_set in these)
        print(f"Queries of {lengths} s:\n\n{markdown_table(columns, lines_of(answers, these, conditions))}")


if __name__ == "__main__":
    main()
