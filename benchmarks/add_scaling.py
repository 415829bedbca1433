"""Time to add recordings to libraries of several sizes.

    python benchmarks/add_scaling.py LIBRARY [LIBRARY ...] --work FOLDER

Needs libraries, such as those that `benchmarks/scale.py` keeps in its work folder. It copies each one and
adds new recordings, composed for it, to the copy: one call of `add` for each, which is the slowest way, and
then as many in one call. An empty library comes first. Prints a line for each library: tracks, fingerprints,
and milliseconds for a recording.
"""

import argparse
import shutil
import time
from pathlib import Path

import numpy as np

from common import command, machine, print_header, print_row
from earprint.audio.wav import write_wav
from earprint.encoders import load_encoder
from earprint.library import Library
from earprint.synth.composer import compose

DURATION_S = 30.0
"""Length of an added recording, in seconds."""


def main() -> None:
    """Add to each library and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("libraries", type=Path, nargs="+")
    parser.add_argument("--work", type=Path, required=True, help="folder for copies and recordings")
    parser.add_argument("--recordings", type=int, default=24, help="added one by one, and in one call")
    parser.add_argument("--model", default="dense")
    options = parser.parse_args()

    files = []
    for number in range(2 * options.recordings):
        file = options.work / "recordings" / f"{number:03d}.wav"
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            write_wav(file, compose(number, DURATION_S))
        files.append(file)
    load_encoder(options.model)  # warm up, so that the first library does not include it

    print(f"{command()}; {machine()}\n")
    print_header(
        "tracks", "fingerprints", "one by one, ms: median", "95th percentile", "in one call, ms each"
    )
    for source in (None, *options.libraries):
        print_row(*measure(source, files, options.work / "copy", options.model))


def measure(source: Path | None, files: list[Path], copy: Path, model: str) -> list[str]:
    """Add to a copy of a library, or to a new one for None; return the cells of its line."""
    shutil.rmtree(copy, ignore_errors=True)
    if source is not None:
        shutil.copytree(source, copy)
    half = len(files) // 2
    with Library(copy, model=model) as library:
        before = library.info()
        times_s = []
        for file in files[:half]:
            began = time.perf_counter()
            assert library.add(file).added, f"{file} was in the library"
            times_s.append(time.perf_counter() - began)
        began = time.perf_counter()
        assert len(library.add(*files[half:]).added) == half
        one_call_s = (time.perf_counter() - began) / half
    shutil.rmtree(copy)
    median, high = np.percentile(times_s, [50, 95])
    return [
        f"{before.tracks:,}",
        f"{before.fingerprints:,}",
        f"{1000 * median:.0f}",
        f"{1000 * high:.0f}",
        f"{1000 * one_call_s:.0f}",
    ]


if __name__ == "__main__":
    main()
