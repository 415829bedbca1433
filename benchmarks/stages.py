"""How many times faster than real time each stage of indexing runs, on one core, for several models.

Stages are timed by CPU time of this process, one thread each, over the same files, so that other load on
the machine disturbs them little; the table's ratios hold better than its figures. `decode` is what every
system pays, and is the yardstick of the others. A second table is about questions of three seconds.

    python benchmarks/stages.py MUSIC_FOLDER [--minutes 10] [--models dense plain]
"""

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from earprint import Library
from earprint.audio import content_hash, find_audio_files, load_audio
from earprint.constants import SAMPLE_RATE
from earprint.demo.composer import compose
from earprint.encoders import describe_model, load_encoder
from earprint.encoders.registry import DENSE_NETWORKS, find_model
from earprint.features import DENSE_FRONT_END, PAPER_FRONT_END, normalise
from earprint.library import EncodingPool, ingest
from earprint.library.compatibility import new_storage
from earprint.library.encoding_pool import DEFAULT_JOBS

QUERY_S = 3
"""Length of the questions, in seconds."""

QUESTIONS = 40
"""Questions embedded, besides one to warm up."""


def cpu_seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU time of a call, and its result."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def added(files: list[Path], model: str, threads: int = 1, processes: int = 0) -> float:
    """CPU time of adding files to a new library, by threads after the model was loaded, or by processes.

    The time that processes take to begin is in it.
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
        before = sum(os.times()[:4])  # of this process, and of those that it began and that have ended
        add_all()
        return sum(os.times()[:4]) - before


def main() -> None:
    """Time the stages and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=10.0, help="audio to use")
    parser.add_argument("--models", nargs="+", default=["dense", "plain"])
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
    print(
        f"{len(files)} files, {seconds / 60:.1f} min; {platform.machine()}, {os.cpu_count()} cores, "
        f"numpy {np.__version__}, {time.strftime('%Y-%m-%d')}\n"
    )
    print("| stage | CPU ms per second of audio | x real time on one core | of decode |")
    print("|---|---|---|---|")

    def tell(stage: str, spent_s: float) -> None:
        # A difference of two measurements may be nothing, or less.
        speed = f"{seconds / spent_s:.0f}" if spent_s > 0 else "-"
        print(
            f"| {stage} | {1000 * spent_s / seconds:.2f} | {speed} | {spent_s / decode_s:.2f} |", flush=True
        )

    tell("decode (PyAV)", decode_s)
    hash_s, _ = cpu_seconds(lambda: [content_hash(path) for path in files])
    tell("hash of the bytes", hash_s)
    for model in options.models:
        encoder = load_encoder(model, threads=1)
        dense = find_model(model).network in DENSE_NETWORKS
        front_end = DENSE_FRONT_END if dense else PAPER_FRONT_END
        front_s, frames = cpu_seconds(lambda used=front_end: [used.log_mel(samples) for samples in audio])
        tell(f"{model}: log-mel", front_s)
        if dense:
            spent, _ = cpu_seconds(lambda made=frames: [normalise(part) for part in made])
            tell(f"{model}: local normalisation", spent)
            front_s += spent
        encode_s, made = cpu_seconds(lambda used=encoder: [used.encode([samples]) for samples in audio])
        tell(f"{model}: network (encoding less what is above)", encode_s - front_s)
        storage = new_storage(encoder, None)
        pack_s, _ = cpu_seconds(lambda to=storage, some=made: [to.pack(one.vectors) for one in some])
        tell(f"{model}: packing ({storage.name.partition('-')[0]})", pack_s)
        all_s = added(files, model)
        tell(f"{model}: `Library.add`, everything, one file at a time", all_s)
        tell(f"{model}: the same, by {ingest.THREADS} threads", added(files, model, ingest.THREADS))
        tell(f"{model}: the same, by {DEFAULT_JOBS} processes", added(files, model, processes=DEFAULT_JOBS))
        rest_s = all_s - decode_s - hash_s - encode_s - pack_s
        tell(f"{model}: the rest of it: tags, catalogue, writing", rest_s)

    n = QUERY_S * SAMPLE_RATE
    questions = [samples[-n:] for samples in audio if len(samples) >= n][: QUESTIONS + 1]
    print(f"\n| model | files, MB | a question of {QUERY_S} s embedded, CPU ms: median | 95th percentile |")
    print("|---|---|---|---|")
    for model in options.models:
        encoder, known = load_encoder(model, threads=1), describe_model(model)
        took = [cpu_seconds(lambda of=encoder, q=q: of.encode([q], query=True))[0] for q in questions]
        took = took[1:] or took
        parts = (known, known.get("query", {}), known.get("codebook", {}))
        size = sum(part.get("bytes", 0) for part in parts if isinstance(part, dict))
        median_s, late_s = np.median(took), np.percentile(took, 95)
        print(f"| {model} | {size / 1e6:.1f} | {1000 * median_s:.1f} | {1000 * late_s:.1f} |")


if __name__ == "__main__":
    main()
