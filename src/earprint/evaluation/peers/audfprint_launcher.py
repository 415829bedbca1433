"""Start audfprint's own ``main``, in an interpreter that need not have earprint.

``python audfprint_launcher.py CHECKOUT ARGUMENTS...`` does the same as ``python CHECKOUT/audfprint.py
ARGUMENTS...`` with four differences:

- WAV files are read with scipy, audfprint's fallback, and not with ffmpeg (its variable ``HAVE_FFMPEG``);
- matches are printed as one line of JSON for each query, with times that are not rounded;
- its random numbers are seeded, so that results can be repeated;
- ``numpy.asfarray``, which NumPy 2 lacks, is defined.
"""

import importlib
import json
import multiprocessing
import random
import sys
from typing import Any


def launch(checkout: str, arguments: list[str]) -> None:
    """Run audfprint with its own command line."""
    sys.path[0] = checkout  # replaces this folder, whose modules must not hide audfprint's
    numpy: Any = importlib.import_module("numpy")
    audfprint: Any = importlib.import_module("audfprint")
    matching: Any = importlib.import_module("audfprint_match")
    reading: Any = importlib.import_module("audio_read")
    if not hasattr(numpy, "asfarray"):
        numpy.asfarray = lambda values: numpy.asarray(values, dtype=float)
    numpy.random.seed(0)
    random.seed(0)
    reading.HAVE_FFMPEG = False
    matching.Matcher.file_match_to_msgs = report
    if "--ncores" in arguments:
        # Its worker processes inherit the changes above only if they are forked.
        multiprocessing.set_start_method("fork")
        importlib.import_module("joblib").parallel_config(backend="multiprocessing")
    audfprint.main(["audfprint", *arguments])


def report(matcher: Any, analyzer: Any, table: Any, query: str, number: int | None = None) -> list[str]:
    """Match one file and return JSON; this replaces the method that returns text."""
    rows, _, _ = matcher.match_file(analyzer, table, query, number)
    hop_s = analyzer.n_hop / analyzer.target_sr
    matches = [
        {"reference": table.names[row[0]], "start_s": int(row[2]) * hop_s, "hashes": int(row[1])}
        for row in rows
    ]
    return [json.dumps({"query": query, "matches": matches})]


if __name__ == "__main__":
    launch(sys.argv[1], sys.argv[2:])
