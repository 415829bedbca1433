"""Thresholds of several evaluations together: the score that few queries of absent recordings reach.

`earprint evaluate --absent` suggests thresholds of its own run. Where recordings are few, let them be
absent in turn: evaluate once, exchange the folders of `--references` and `--absent`, evaluate again, and
give both results here. A threshold that comes from more recordings says more about those that come after.

    python benchmarks/thresholds.py RESULTS [RESULTS ...]
"""

import argparse
import json
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from earprint.evaluation.roc import FALSE_ACCEPT_SHARE


def main() -> None:
    """Read the answers of all runs and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", type=Path, nargs="+", help="folders that `earprint evaluate --out` wrote")
    options = parser.parse_args()
    present: dict[tuple[str, float], list[dict[str, Any]]] = defaultdict(list)
    absent: dict[tuple[str, float], list[dict[str, Any]]] = defaultdict(list)
    for folder in options.results:
        with (folder / "queries.jsonl").open(encoding="utf-8") as lines:
            for answer in map(json.loads, lines):
                kept = present if answer["present"] else absent
                kept[answer["system"], answer["length_s"]].append(answer)
    print("| system | length | absent recordings | queries of these | threshold | right at it | queries |")
    print("|---|---|---|---|---|---|---|")
    for (system, length_s), answers in sorted(absent.items()):
        scores = np.sort([answer["score"] for answer in answers])[::-1]
        # The lowest score, in thousandths, that no more than the share reach or exceed.
        over = scores[math.floor(FALSE_ACCEPT_SHARE * len(scores))]
        threshold = math.floor(1000 * over + 1) / 1000
        asked = present[system, length_s]
        right = sum(answer["right_track"] and answer["score"] >= threshold for answer in asked)
        recordings = len({Path(answer["path"]).name for answer in answers})
        print(
            f"| {system} | {length_s:g} s | {recordings} | {len(scores)} | {threshold:.3f} "
            f"| {100 * right / max(1, len(asked)):.1f} % | {len(asked)} |"
        )


if __name__ == "__main__":
    main()
