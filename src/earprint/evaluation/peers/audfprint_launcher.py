"""Start audfprint's own ``main``; run by the interpreter that has its needs, where earprint is not installed.

``python audfprint_launcher.py CHECKOUT ARGUMENTS...`` does what ``python CHECKOUT/audfprint.py ARGUMENTS...``
would, except that

- wave files are read by its scipy fallback, not by ffmpeg (its switch ``HAVE_FFMPEG``);
- its matches are reported as one line of JSON each query, with times unrounded;
- the choice of what to forget when a bucket of its table is full is seeded, so that runs repeat;
- ``numpy.asfarray``, which it calls and NumPy 2 has not, is put back.
"""

import importlib
import json
import multiprocessing
import random
import sys
from typing import Any


def launch(checkout: str, arguments: list[str]) -> None:
    """Run audfprint with its own command line."""
    sys.path[0] = checkout  # where this folder was: the modules here must not hide those there
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
        # Its workers must inherit the lines above: by being forked.
        multiprocessing.set_start_method("fork")
        importlib.import_module("joblib").parallel_config(backend="multiprocessing")
    audfprint.main(["audfprint", *arguments])


def report(matcher: Any, analyzer: Any, table: Any, query: str, number: int | None = None) -> list[str]:
    """Match one file, and say it in JSON: takes the place of the method that says it in words."""
    rows, _, _ = matcher.match_file(analyzer, table, query, number)
    hop_s = analyzer.n_hop / analyzer.target_sr
    matches = [
        {"reference": table.names[row[0]], "start_s": int(row[2]) * hop_s, "hashes": int(row[1])}
        for row in rows
    ]
    return [json.dumps({"query": query, "matches": matches})]


if __name__ == "__main__":
    launch(sys.argv[1], sys.argv[2:])
