"""Query time, memory, opening time and accuracy of libraries of up to millions of fingerprints.

    earprint evaluate --references REFERENCES --distractors TRAIN --augment-distractors 19 --keep-library BIG
    python benchmarks/scale.py BIG/MODEL --references REFERENCES --noise NOISE --rir ROOMS --work FOLDER

Needs a library of real audio that holds the references, as the first command makes it, and noises and room
responses. Prints two tables: sizes, times and memory of each library, and the share of queries whose right
recording comes first.

Method: it makes compact libraries of several sizes (`--millions`) from the given one: first the references,
then the other tracks, then copies of the other tracks. Each row of a copy is moved at random to a cosine of
about 0.5 with the original. A fresh process opens each library and asks the same queries one by one,
embedding included. Exact search of the given library and FAISS's brute force answer some of the same queries
for comparison. Libraries and queries are kept in the work folder and used again.
"""

import argparse
import json
import os
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

from common import add_audio_options, command, machine, make_queries, print_header, print_row, read_queries
from earprint.audio import content_hash, find_audio_files
from earprint.constants import SAMPLE_RATE
from earprint.encoders import cohort_of, load_encoder
from earprint.library import Library
from earprint.library.compatibility import library_facts
from earprint.matching import TrackTable, search
from earprint.quantization.storage import CompactStorage
from earprint.store.catalogue import NewTrack, StoredTrack
from earprint.store.segments import checksum_of, open_segment, write_segment
from earprint.store.store import Settings

PERTURBATION = 1.7
"""Length of the random vector that is added to a unit vector of a copy; the cosine becomes about 0.5."""

BRUTE_FORCE_QUERIES = 8
"""Queries of each length that exact search and FAISS are timed with."""


def main() -> None:
    """Make the libraries, ask them, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("library", type=Path, help="library of real audio")
    add_audio_options(parser)
    parser.add_argument("--work", type=Path, required=True, help="folder for libraries and queries")
    parser.add_argument("--millions", type=float, nargs="+", default=[0.2, 1.0, 2.34, 23.4])
    parser.add_argument("--lengths", type=float, nargs="+", default=[1.0, 3.0, 5.0])
    parser.add_argument("--queries", type=int, default=50, help="of each length and condition")
    parser.add_argument("--measure", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(**options.measure)))
        return
    with Library(options.library, model=options.model, create=False) as source:
        stored_as = str(source.info().storage)
        make_queries(
            options.work,
            source,
            options.references,
            options.noise,
            options.rir,
            options.lengths,
            options.queries,
        )
    print(f"{command()}; {machine()}\n")
    print_header("library", "index", "fingerprints", "hours", "MB per hour", "open s", "first answer s",
                 "RSS MB", *(f"{length:g} s: median / p95 ms" for length in options.lengths))  # fmt: skip
    results: dict[str, dict[str, Any]] = {}
    for millions in options.millions:
        library = build_library(options, millions)
        results[f"compact, {millions:g} M"] = measure_in_fresh_process(options, library, "compact", "auto")
    measure_in_fresh_process(options, options.library, stored_as, "exact", BRUTE_FORCE_QUERIES)
    measure_in_fresh_process(options, options.library, "float32", "faiss", BRUTE_FORCE_QUERIES)
    print("\nRight recording first, in %:\n")
    cells = list(next(iter(results.values()))["right"])
    print_header("library", *cells)
    for name, result in results.items():
        print_row(name, *(f"{100 * np.mean(result['right'][cell]):.1f}" for cell in cells))


def build_library(options: argparse.Namespace, millions: float) -> Path:
    """Make a compact library with this many million fingerprints, unless it exists; return its folder."""
    folder: Path = options.work / f"compact-{millions:g}"
    wanted = round(millions * 1e6)
    encoder = load_encoder(options.model)
    assert encoder.codebook is not None
    storage = CompactStorage(encoder.codebook)
    references = {content_hash(path) for path in find_audio_files(options.references)}
    with Library(folder, model=options.model, storage="compact") as library:
        if library.info().fingerprints >= wanted:
            return folder
        with Library(options.library, model=options.model, create=False) as source:
            snapshot = source._store.catalogue.snapshot()
            compact = source.info().storage == "compact"
        order = sorted(snapshot.tracks, key=lambda stored: stored.track.content_hash not in references)
        opened = {
            number: open_segment(options.library / "segments", segment)
            for number, segment in snapshot.segments.items()
        }
        batch: list[tuple[NewTrack, NDArray[Any]]] = []
        catalogue, done = library._store.catalogue, 0
        for new, stored, copy in tracks_and_copies(order, len(references)):
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
            if (
                done >= wanted
                or sum(len(part) for _, part in batch) >= Settings().rows_of_segment(storage.width) * 0.9
            ):
                segment = write_segment(
                    folder / "segments", catalogue.next_segment_id(), [part for _, part in batch]
                )
                tracks = [track for track, _ in batch]
                catalogue.enter_all([(segment, tracks)], encoder.model_id, library_facts(encoder, storage))
                batch = []
                print(f"{folder.name}: {done:,} fingerprints", file=sys.stderr)
            if done >= wanted:
                break
    return folder


def tracks_and_copies(
    order: list[StoredTrack], references: int
) -> Iterator[tuple[NewTrack, StoredTrack, int]]:
    """Yield all tracks, then copies of those that are not references, without end; 0 is the original."""
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


def measure_in_fresh_process(
    options: argparse.Namespace, library: Path, storage: str, index: str, queries: int = 0
) -> dict[str, Any]:
    """Measure a library in a fresh process, print its row, and return what `measure` returned there."""
    settings = {
        "library": str(library),
        "work": str(options.work),
        "model": options.model,
        "index": index,
        "queries": queries,
    }
    arguments = [sys.executable, __file__, str(library), "--references", ".", "--noise", ".", "--rir", ".",
                 "--work", ".", "--measure", json.dumps(settings)]  # fmt: skip
    run = subprocess.run(arguments, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(run.stdout)
    times_ms = (np.array(result["seconds"][f"{length:g}"]) * 1000 for length in options.lengths)
    print_row(storage, result["index"], f"{result['fingerprints']:,}", f"{result['hours']:.1f}",
              f"{result['mb_per_hour']:.3f}", f"{result['open_s']:.2f}", f"{result['first_s']:.2f}",
              f"{result['rss_mb']:.0f} ({result['before_mb']:.0f} before opening)",
              *(f"{np.median(took):.0f} / {np.percentile(took, 95):.0f}" for took in times_ms))  # fmt: skip
    return result


def measure(library: str, work: str, model: str, index: str, queries: int) -> dict[str, Any]:
    """Open a library, ask the queries (``queries`` of each length, or all for 0); return times and memory."""
    first = next(read_queries(Path(work)))
    encoder = load_encoder(model)
    encoder.encode([first.audio], query=True)
    before_mb = resident_mb()
    start = time.perf_counter()
    with Library(library, model=model, create=False, index="auto" if index == "faiss" else index) as opened:
        open_s = time.perf_counter() - start
        info = opened.info()
        answer = (
            brute_force(opened, encoder)
            if index == "faiss"
            else lambda audio: [
                match.track.content_hash
                for match in opened.identify(audio, sample_rate=SAMPLE_RATE).candidates
            ]
        )
        answer(first.audio)
        first_s = time.perf_counter() - start - open_s
        seconds: dict[str, list[float]] = {}
        right: dict[str, list[bool]] = {}
        of_length = Counter(query.length_s for query in read_queries(Path(work)))
        seen: Counter[float] = Counter()
        for query in read_queries(Path(work)):
            number, step = (
                seen[query.length_s],
                max(1, of_length[query.length_s] // queries) if queries else 1,
            )
            seen[query.length_s] += 1
            if number % step or (queries and number >= step * queries):
                continue  # every `step`th query of a length
            asked = time.perf_counter()
            found = answer(query.audio)
            seconds.setdefault(f"{query.length_s:g}", []).append(time.perf_counter() - asked)
            cell = f"{query.condition}, {query.length_s:g} s"
            right.setdefault(cell, []).append(found[:1] == [query.content_hash])
        view = opened._views.current()
        index_name = (
            "faiss IndexFlatIP" if index == "faiss" else type(next(iter(view._indexes.values()))).__name__
        )
    hours = info.duration_s / 3600
    return {
        "index": index_name, "fingerprints": info.fingerprints, "hours": hours, "open_s": open_s,
        "first_s": first_s, "mb_per_hour": info.size_bytes / 1e6 / hours, "before_mb": before_mb,
        "rss_mb": resident_mb(), "seconds": seconds, "right": right,
    }  # fmt: skip


def brute_force(library: Library, encoder: Any) -> Any:
    """Return a function that answers a query by FAISS's brute force in float32, with the same matching."""
    import faiss

    view = library._views.current()
    exact = view.index(library._model.storage(encoder, view.meta), "exact")
    assert exact is not None
    flat = faiss.IndexFlatIP(encoder.dim)
    for start in range(0, len(exact), 65_536):
        flat.add(exact.vectors(start, min(start + 65_536, len(exact))))

    class Flat:
        max_query_rows = exact.max_query_rows
        vectors, take, __len__ = exact.vectors, exact.take, exact.__len__

        def search(self, queries: NDArray[np.float32], k: int) -> Any:
            return flat.search(np.ascontiguousarray(queries), k)

    ratio = round(encoder.reference_hop_s / encoder.query_hop_s)

    def answer(audio: NDArray[np.float32]) -> list[str]:
        table: TrackTable = view.table
        query = encoder.encode([audio], query=True)
        found = search(query, Flat(), table, ratio=ratio, cohort=cohort_of(encoder))
        return [view.tracks[alignment.track].content_hash for alignment in found]

    return answer


def resident_mb() -> float:
    """Return the resident memory of this process in MB, mapped files included."""
    status = Path("/proc/self/status")
    if not status.exists():  # not Linux: the peak
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1e3


if __name__ == "__main__":
    main()
