"""Whether adding takes longer as a library grows: the same recordings, added to libraries of several sizes.

Each library is copied, and new recordings, composed for it, are added to the copy: one call for each, which
is the dearest way, and then as many more in one call. The smallest library is an empty one.

    python benchmarks/growth.py LIBRARY [LIBRARY ...] --work FOLDER

LIBRARY are folders, such as `benchmarks/scale.py` keeps in its work folder.
"""

import argparse
import os
import platform
import shutil
import sys
import time
from pathlib import Path

import numpy as np

from earprint.audio.wav import write_wav
from earprint.encoders import load_encoder
from earprint.library import Library
from earprint.synth.composer import compose

DURATION_S = 30.0
"""Length of a recording that is added."""


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
    load_encoder(options.model)  # once beforehand: the first library does not pay for it

    print(
        f"`{' '.join(sys.argv)}`; {platform.machine()}, {os.cpu_count()} cores, {time.strftime('%Y-%m-%d')}\n"
    )
    print("| tracks there | fingerprints | one by one, ms: median | 95th percentile | in one call, ms each |")
    print("|---|---|---|---|---|")
    for source in (None, *options.libraries):
        line = measured(source, files, options.work / "copy", options.model)
        print("| " + " | ".join(line) + " |", flush=True)


def measured(source: Path | None, files: list[Path], copy: Path, model: str) -> list[str]:
    """Add to a copy of a library, or to a new one; the cells of a line."""
    shutil.rmtree(copy, ignore_errors=True)
    if source is not None:
        shutil.copytree(source, copy)
    half = len(files) // 2
    with Library(copy, model=model) as library:
        before = library.info()
        times_s = []
        for file in files[:half]:
            began = time.perf_counter()
            assert library.add(file).added, f"{file} was there"
            times_s.append(time.perf_counter() - began)
        began = time.perf_counter()
        assert len(library.add(*files[half:]).added) == half
        together_s = (time.perf_counter() - began) / half
    shutil.rmtree(copy)
    median, high = np.percentile(times_s, [50, 95])
    return [
        f"{before.tracks:,}",
        f"{before.fingerprints:,}",
        f"{1000 * median:.0f}",
        f"{1000 * high:.0f}",
        f"{1000 * together_s:.0f}",
    ]


if __name__ == "__main__":
    main()
