"""How a library of millions of fingerprints answers: time, memory, opening, and what size costs in accuracy.

Takes a library that was really embedded, such as `earprint evaluate --augment-distractors` keeps, and makes
compact libraries of several sizes of it: first the recordings that are asked about, then the others, and
where these do not suffice copies of them, each row moved at random until its cosine with the original is
about 0.5. Each library is then opened by a process of its own, which asks the same noisy excerpts one by
one, embedding included, and tells times and memory. Exact search of the library as it is, and brute force
over its unpacked vectors by FAISS, answer some of the same questions beside it.

    earprint evaluate --references REFERENCES --distractors TRAIN --augment-distractors 19 --keep-library BIG
    python benchmarks/scale.py BIG/MODEL --references REFERENCES --noise NOISE --rir ROOMS --work FOLDER
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as `earprint identify` does

import numpy as np
from numpy.typing import NDArray

from earprint.audio import content_hash, find_audio_files
from earprint.encoders import load_encoder, sounds_of
from earprint.evaluation.condition_options import select_conditions
from earprint.evaluation.exclusions import Exclusions
from earprint.evaluation.material import Material
from earprint.evaluation.plan import Plan, draw_queries
from earprint.evaluation.rendering import render
from earprint.library import Library
from earprint.library.library import facts_of
from earprint.matching import TrackTable, search
from earprint.quantization.storage import CompactStorage
from earprint.store.catalogue import NewTrack, StoredTrack
from earprint.store.compaction import rows_of_segment
from earprint.store.segments import checksum_of, open_segment, write_segment

CONDITIONS = ("clean", "noise 0 dB", "room + noise 0 dB", "room + noise 10 dB")

PERTURBATION = 1.7
"""Length of the random vector that is added to a unit vector for a copy: a cosine of about 0.5 remains."""

BRUTE_FORCE_QUERIES = 8
"""Questions that brute force is timed with."""


def main() -> None:
    """Make the libraries, ask them, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("library", type=Path, help="library that was really embedded")
    parser.add_argument("--references", type=Path, required=True)
    parser.add_argument("--noise", type=Path, required=True)
    parser.add_argument("--rir", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder for libraries and questions")
    parser.add_argument("--model", default="dense")
    parser.add_argument("--millions", type=float, nargs="+", default=[0.2, 1.0, 2.34, 23.4])
    parser.add_argument("--lengths", type=float, nargs="+", default=[1.0, 3.0, 5.0])
    parser.add_argument("--queries", type=int, default=50, help="of each length and condition")
    parser.add_argument("--measure", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(**options.measure)))
        return
    options.work.mkdir(parents=True, exist_ok=True)
    ask(options)
    print(
        f"`{' '.join(sys.argv)}`; {platform.machine()}, {os.cpu_count()} cores, "
        f"numpy {np.__version__}, {time.strftime('%Y-%m-%d')}\n"
    )
    tell("library", "index", "fingerprints", "hours", "MB per hour", "open s", "first answer s", "RSS MB",
         *(f"{length:g} s: median / p95 ms" for length in options.lengths))  # fmt: skip
    found: dict[str, dict[str, Any]] = {}
    for millions in options.millions:
        library = build(options, millions)
        found[f"compact, {millions:g} M"] = report(options, library, "compact", "auto")
    with Library(options.library, model=options.model, create=False) as source:
        stored_as = str(source.info().storage)
    found["exact"] = report(options, options.library, stored_as, "exact", BRUTE_FORCE_QUERIES)
    found["FAISS"] = report(options, options.library, "float32", "faiss", BRUTE_FORCE_QUERIES)
    print("\nRight recording first, in %:\n")
    cells = list(found[f"compact, {options.millions[0]:g} M"]["right"])
    tell("library", *cells)
    for name, result in found.items():
        if name.startswith("compact"):
            tell(name, *(f"{100 * np.mean(result['right'][cell]):.1f}" for cell in cells))


def tell(*cells: object) -> None:
    """Print a row of a table; the first one printed with a rule below it."""
    print(f"| {' | '.join(map(str, cells))} |")
    if cells[0] == "library":
        print("|" + "---|" * len(cells), flush=True)


def ask(options: argparse.Namespace) -> None:
    """Cut and distort the questions, once."""
    file = questions_file(options.work)
    if file.exists():
        return
    files = find_audio_files([options.references])
    with Library(options.library, model=options.model, create=False) as library:
        lengths = {track.content_hash: track.duration_s for track in library.tracks()}
    recordings = [(path, lengths[digest]) for path in files if (digest := content_hash(path)) in lengths]
    material = Material(
        references=files, noises=find_audio_files([options.noise]), rooms=find_audio_files([options.rir])
    )
    conditions = select_conditions(None, material, {"--snr": (0.0, 10.0)})
    plan = Plan(conditions, options.lengths, options.queries, absent_queries=0)
    questions, kept = [], {}
    for query in draw_queries(recordings, [], material, plan, Exclusions()):
        if query.condition in CONDITIONS:
            questions.append(replace(query, present=True))
    for number, (query, audio) in enumerate(render(questions)):
        kept[f"audio{number}"] = audio
        kept[f"query{number}"] = np.array(
            [content_hash(query.path), query.condition, str(query.length_s), str(query.start_s)]
        )
    np.savez(file, **kept)


def questions_file(work: Path) -> Path:
    """Where the questions are kept."""
    return work / "questions.npz"


def read_questions(work: Path) -> Iterator[tuple[NDArray[np.str_], NDArray[np.float32]]]:
    """Read what `ask` kept: (hash of the recording, condition, length, start), and the audio, one by one."""
    with np.load(questions_file(work)) as arrays:
        for number in range(len(arrays) // 2):
            yield arrays[f"query{number}"], arrays[f"audio{number}"]


def build(options: argparse.Namespace, millions: float) -> Path:
    """Make a compact library of so many million fingerprints, if it is not there."""
    folder: Path = options.work / f"compact-{millions:g}"
    wanted = round(millions * 1e6)
    encoder = load_encoder(options.model)
    assert encoder.codebook is not None
    storage = CompactStorage(encoder.codebook)
    references = {content_hash(path) for path in find_audio_files([options.references])}
    with Library(folder, model=options.model, storage="compact") as library:
        if library.info().fingerprints >= wanted:
            return folder
        with Library(options.library, model=options.model, create=False) as source:
            snapshot = source.snapshot()
            compact = source.info().storage == "compact"
        order = sorted(snapshot.tracks, key=lambda stored: stored.track.content_hash not in references)
        opened = {
            number: open_segment(options.library / "segments", segment)
            for number, segment in snapshot.segments.items()
        }
        batch: list[tuple[NewTrack, NDArray[Any]]] = []
        catalogue, done = library._catalogue, 0
        for new, stored, copy in endless(order, len(references)):
            rows = opened[stored.segment_id][stored.first_row : stored.first_row + stored.n_rows]
            vectors = storage.unpack(cast("NDArray[np.uint8]", rows)) if compact else rows.astype(np.float32)
            if copy:
                rng = np.random.default_rng([copy, stored.track.id])
                noise = rng.standard_normal(vectors.shape, dtype=np.float32)
                moved = vectors + noise * np.float32(PERTURBATION / vectors.shape[1] ** 0.5)
                moved[~vectors.any(axis=1)] = 0
                vectors = moved / np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-9)
            packed = rows if compact and not copy else storage.pack(vectors)
            batch.append((replace(new, checksum=checksum_of(packed)), packed))
            done += len(packed)
            if done >= wanted or sum(len(part) for _, part in batch) >= rows_of_segment(storage.width) * 0.9:
                segment = write_segment(
                    folder / "segments", catalogue.next_segment_id(), [part for _, part in batch]
                )
                tracks = [track for track, _ in batch]
                catalogue.enter_all([(segment, tracks)], encoder.model_id, facts_of(encoder, storage))
                batch = []
                print(f"{folder.name}: {done:,} fingerprints", file=sys.stderr)
            if done >= wanted:
                break
    return folder


def endless(order: list[StoredTrack], references: int) -> Iterator[tuple[NewTrack, StoredTrack, int]]:
    """Yield all tracks, then copies of those that are not asked about, without end."""
    copy = 0
    while True:
        for stored in order if copy == 0 else order[references:]:
            track = stored.track
            title = f"{track.title} copy {copy}" if copy else track.title
            digest = f"{track.content_hash}-{copy}" if copy else track.content_hash
            yield (
                NewTrack(None, title, track.artist, None, track.duration_s, digest, stored.n_rows),
                stored,
                copy,
            )
        copy += 1


def report(
    options: argparse.Namespace, library: Path, storage: str, index: str, queries: int = 0
) -> dict[str, Any]:
    """Measure a library in a process of its own and print its row."""
    settings = {
        "library": str(library),
        "work": str(options.work),
        "model": options.model,
        "index": index,
        "queries": queries,
    }
    command = [sys.executable, __file__, str(library), "--references", ".", "--noise", ".", "--rir", ".",
               "--work", ".", "--measure", json.dumps(settings)]  # fmt: skip
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(run.stdout)
    times = (np.array(result["seconds"][f"{length:g}"]) * 1000 for length in options.lengths)
    tell(storage, result["index"], f"{result['fingerprints']:,}", f"{result['hours']:.1f}",
         f"{result['mb_per_hour']:.3f}", f"{result['open_s']:.2f}", f"{result['first_s']:.2f}",
         f"{result['rss_mb']:.0f} ({result['before_mb']:.0f} before opening)",
         *(f"{np.median(took):.0f} / {np.percentile(took, 95):.0f}" for took in times))  # fmt: skip
    sys.stdout.flush()
    return result


def measure(library: str, work: str, model: str, index: str, queries: int) -> dict[str, Any]:
    """Open a library, ask it, and tell times and memory; runs in a process of its own."""
    _, first = next(read_questions(Path(work)))
    encoder = load_encoder(model)
    encoder.encode([first], query=True)
    before_mb = resident_mb()
    began = time.perf_counter()
    with Library(library, model=model, create=False, index="auto" if index == "faiss" else index) as opened:
        open_s = time.perf_counter() - began
        info = opened.info()
        answer = (
            brute_force(opened, encoder)
            if index == "faiss"
            else lambda audio: [match.track.content_hash for match in opened.identify(audio).candidates]
        )
        answer(first)
        first_s = time.perf_counter() - began - open_s
        seconds: dict[str, list[float]] = {}
        right: dict[str, list[bool]] = {}
        of_length = Counter(facts[2] for facts, _ in read_questions(Path(work)))
        passed: Counter[str] = Counter()
        for (digest, condition, length, _), audio in read_questions(Path(work)):
            number, apart = passed[length], max(1, of_length[length] // queries) if queries else 1
            passed[length] += 1
            if number % apart or (queries and number >= apart * queries):
                continue  # evenly spread, so many of each length
            start = time.perf_counter()
            found = answer(audio)
            seconds.setdefault(f"{float(length):g}", []).append(time.perf_counter() - start)
            right.setdefault(f"{condition}, {float(length):g} s", []).append(found[:1] == [str(digest)])
        view = opened._refresh()
        made = "faiss IndexFlatIP" if index == "faiss" else type(next(iter(view._indexes.values()))).__name__
    hours = info.duration_s / 3600
    return {
        "index": made, "fingerprints": info.fingerprints, "hours": hours, "open_s": open_s,
        "first_s": first_s, "mb_per_hour": info.size_bytes / 1e6 / hours, "before_mb": before_mb,
        "rss_mb": resident_mb(), "seconds": seconds, "right": right,
    }  # fmt: skip


def brute_force(library: Library, encoder: Any) -> Any:
    """Give what answers from all vectors in single precision in FAISS, with the same matching."""
    import faiss

    view = library._refresh()
    exact = view.index(library._check_model(encoder, view.meta), "exact")
    assert exact is not None
    flat = faiss.IndexFlatIP(encoder.dim)
    for start in range(0, len(exact), 65_536):
        flat.add(exact.vectors(start, min(start + 65_536, len(exact))))

    class Flat:
        proposing_rows = exact.proposing_rows
        vectors, take, __len__ = exact.vectors, exact.take, exact.__len__

        def search(self, queries: NDArray[np.float32], k: int) -> Any:
            return flat.search(np.ascontiguousarray(queries), k)

    ratio = round(encoder.reference_hop_s / encoder.query_hop_s)

    def answer(audio: NDArray[np.float32]) -> list[str]:
        table: TrackTable = view.table
        query = encoder.encode([audio], query=True)
        found = search(query, Flat(), table, ratio=ratio, sounds=sounds_of(encoder))
        return [view.tracks[alignment.track].content_hash for alignment in found]

    return answer


def resident_mb() -> float:
    """Memory of this process that is resident now, mapped files included, in MB."""
    status = Path("/proc/self/status")
    if not status.exists():  # elsewhere, the most that there ever was
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1e3


if __name__ == "__main__":
    main()
