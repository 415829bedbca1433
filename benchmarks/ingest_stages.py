"""CPU time of adding, by stage, and of embedding a query, for several models.

    python benchmarks/ingest_stages.py MUSIC [--minutes 10] [--models dense]

Needs a folder of music. Prints two tables: CPU time of each stage of adding, and of embedding a query of 3 s.
Every fingerprinting program has to decode, so the last column of the first table compares with decoding.

Times are CPU time of this process, one thread for each stage, over the same files; ratios are more reliable
than the figures. The last lines of a model are a whole `Library.add`, in one thread, several threads and
several processes.
"""

import argparse
import os
import tempfile
from pathlib import Path
from unittest.mock import patch

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from common import cpu_seconds, machine, print_header, print_row
from earprint import Library
from earprint.audio import content_hash, find_audio_files, load_audio
from earprint.constants import SAMPLE_RATE
from earprint.encoders import describe_model, load_encoder
from earprint.encoders.registry import find_model
from earprint.features import DENSE_FRONT_END, PAPER_FRONT_END, normalise
from earprint.library import EncodingPool, ingest
from earprint.library.compatibility import new_storage
from earprint.library.encoding_pool import DEFAULT_JOBS
from earprint.synth.composer import compose

QUERY_S = 3
"""Length of the queries, in seconds."""

QUERIES = 40
"""Queries embedded, after one to warm up."""


def add_seconds(files: list[Path], model: str, threads: int = 1, processes: int = 0) -> float:
    """Return the CPU time of adding files to a new library, in threads, or in processes if there are any.

    It includes the start of processes, and not loading the model in this process.
    """

    def add_all() -> None:
        if processes:
            with EncodingPool(model, processes, start_after_s=0) as others:
                library.add(*files, pool=others)
        else:
            library.add(*files)

    with (
        tempfile.TemporaryDirectory() as folder,
        Library(Path(folder) / "library", model=model) as library,
        patch.object(ingest, "THREADS", threads),
    ):
        library.add_audio(compose(1, 5.0), sample_rate=SAMPLE_RATE, title="loads the model")
        before = sum(os.times()[:4])  # of this process and its ended children
        add_all()
        return sum(os.times()[:4]) - before


def main() -> None:
    """Time the stages and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=10.0, help="audio to use")
    parser.add_argument("--models", nargs="+", default=["dense"])
    options = parser.parse_args()

    files, audio, decode_s, seconds = [], [], 0.0, 0.0
    for path in find_audio_files([options.folder]):
        spent, samples = cpu_seconds(lambda path=path: load_audio(path))
        files.append(path)
        audio.append(samples)
        decode_s += spent
        seconds += len(samples) / SAMPLE_RATE
        if seconds > 60 * options.minutes:
            break
    print(f"{len(files)} files, {seconds / 60:.1f} min; {machine()}\n")
    print_header("stage", "CPU ms per second of audio", "x real time on one core", "of decode")

    def print_stage(stage: str, spent_s: float) -> None:
        # A difference of two measurements may be zero or negative.
        speed = f"{seconds / spent_s:.0f}" if spent_s > 0 else "-"
        print_row(stage, f"{1000 * spent_s / seconds:.2f}", speed, f"{spent_s / decode_s:.2f}")

    print_stage("decode (PyAV)", decode_s)
    hash_s, _ = cpu_seconds(lambda: [content_hash(path) for path in files])
    print_stage("hash of the bytes", hash_s)
    for model in options.models:
        encoder = load_encoder(model, threads=1)
        dense = find_model(model).encoder == "dense"
        front_end = DENSE_FRONT_END if dense else PAPER_FRONT_END
        front_s, frames = cpu_seconds(lambda used=front_end: [used.log_mel(samples) for samples in audio])
        print_stage(f"{model}: log-mel", front_s)
        if dense:
            spent, _ = cpu_seconds(lambda made=frames: [normalise(part) for part in made])
            print_stage(f"{model}: local normalisation", spent)
            front_s += spent
        encode_s, made = cpu_seconds(lambda used=encoder: [used.encode([samples]) for samples in audio])
        print_stage(f"{model}: network (encoding without the above)", encode_s - front_s)
        storage = new_storage(encoder, None)
        pack_s, _ = cpu_seconds(lambda to=storage, some=made: [to.pack(one.vectors) for one in some])
        print_stage(f"{model}: packing ({storage.name.partition('-')[0]})", pack_s)
        all_s = add_seconds(files, model)
        print_stage(f"{model}: `Library.add`, everything, one file at a time", all_s)
        print_stage(
            f"{model}: the same, by {ingest.THREADS} threads", add_seconds(files, model, ingest.THREADS)
        )
        print_stage(
            f"{model}: the same, by {DEFAULT_JOBS} processes",
            add_seconds(files, model, processes=DEFAULT_JOBS),
        )
        rest_s = all_s - decode_s - hash_s - encode_s - pack_s
        print_stage(f"{model}: the rest: tags, catalogue, writing", rest_s)

    n = QUERY_S * SAMPLE_RATE
    queries = [samples[-n:] for samples in audio if len(samples) >= n][: QUERIES + 1]
    print()
    print_header("model", "files, MB", f"embedding a query of {QUERY_S} s, CPU ms: median", "95th percentile")
    for model in options.models:
        encoder, known = load_encoder(model, threads=1), describe_model(model)
        took = [cpu_seconds(lambda of=encoder, q=q: of.encode([q], query=True))[0] for q in queries]
        took = took[1:] or took
        parts = (known, known.get("query", {}), known.get("codebook", {}))
        size = sum(part.get("bytes", 0) for part in parts if isinstance(part, dict))
        median_s, late_s = np.median(took), np.percentile(took, 95)
        print_row(model, f"{size / 1e6:.1f}", f"{1000 * median_s:.1f}", f"{1000 * late_s:.1f}")


if __name__ == "__main__":
    main()
