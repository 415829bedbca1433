"""How many times faster than real time each stage of indexing runs, on one core.

Stages are timed by CPU time of this process, one thread each, over the same files, so that other load on
the machine disturbs them little; the table's ratios hold better than its figures. `decode` is what every
system pays, and is the yardstick of the others.

    python benchmarks/stages.py MUSIC_FOLDER [--minutes 10] [--model dense]
"""

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from earprint import Library
from earprint.audio import content_hash, find_audio_files, load_audio
from earprint.constants import SAMPLE_RATE
from earprint.encoder import load_encoder
from earprint.encoder.registry import DENSE_NETWORKS, find_model
from earprint.features import DENSE_FRONT_END, PAPER_FRONT_END, normalise
from earprint.library.storing import new_storage


def cpu_seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU time of a call, and its result."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def main() -> None:
    """Time the stages and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=10.0, help="audio to use")
    parser.add_argument("--model", default="dense")
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
    encoder = load_encoder(options.model, threads=1)
    rows = [("decode (PyAV)", decode_s)]
    rows.append(("hash of the bytes", cpu_seconds(lambda: [content_hash(path) for path in files])[0]))
    spent, frames = cpu_seconds(lambda: [DENSE_FRONT_END.log_mel(samples) for samples in audio])
    rows.append(("log-mel, dense front end", spent))
    rows.append(("log-mel, the paper's", cpu_seconds(lambda: [PAPER_FRONT_END.log_mel(a) for a in audio])[0]))
    spent, _ = cpu_seconds(lambda: [normalise(part) for part in frames])
    rows.append(("local normalisation", spent))
    dense = find_model(options.model).network in DENSE_NETWORKS
    encode_s, made = cpu_seconds(lambda: [encoder.encode([samples]) for samples in audio])
    front_s = rows[2][1] + rows[4][1] if dense else rows[3][1]
    rows.append((f"network ({encoder.name}; encode less front end)", encode_s - front_s))
    storage = new_storage(encoder, None)
    spent, _ = cpu_seconds(lambda: [storage.pack(fingerprints.vectors) for fingerprints in made])
    rows.append((f"packing ({storage.name})", spent))
    with (
        tempfile.TemporaryDirectory() as folder,
        Library(Path(folder) / "library", model=options.model) as library,
    ):
        all_s, _ = cpu_seconds(lambda: library.add(*files))
    rows.append(("earprint add, everything", all_s))

    print(f"{len(files)} files, {seconds / 60:.1f} min, {sum(len(f.vectors) for f in made):,} fingerprints;")
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, numpy {np.__version__}, {time.strftime('%Y-%m-%d')}\n"
    )
    print("| stage | CPU ms per second of audio | x real time on one core | of decode |")
    print("|---|---|---|---|")
    for name, spent in rows:
        print(
            f"| {name} | {1000 * spent / seconds:.2f} | {seconds / max(spent, 1e-9):.0f} "
            f"| {spent / decode_s:.2f} |"
        )


if __name__ == "__main__":
    main()
