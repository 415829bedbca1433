"""Thresholds of several evaluations together: the score that few queries of absent recordings reach.

`earprint evaluate --absent` suggests thresholds of its own run. Where recordings are few, let them be absent
in turn: evaluate once, exchange the folders of `--references` and `--absent`, evaluate again, and give both
results here. A threshold that comes from more recordings says more about those that come after.

    python benchmarks/thresholds.py RESULTS [RESULTS ...]
"""

import argparse
import json
from dataclasses import fields
from pathlib import Path

from earprint.evaluation.outcomes import Outcome
from earprint.evaluation.query import Query
from earprint.evaluation.roc import compute_rocs, suggest_thresholds


def outcome_of(line: str) -> Outcome:
    """Read an answer as `earprint evaluate` wrote it."""
    record = json.loads(line)
    kept = {field.name: record[field.name] for field in fields(Outcome) if field.name != "query"}
    return Outcome(Query.from_dict(record), **kept)


def main() -> None:
    """Read the answers of all runs and print a line for each system and length."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", type=Path, nargs="+", help="folders that `earprint evaluate --out` wrote")
    options = parser.parse_args()
    outcomes: list[Outcome] = []
    for folder in options.results:
        with (folder / "queries.jsonl").open(encoding="utf-8") as lines:
            outcomes += map(outcome_of, lines)
    for threshold in suggest_thresholds(compute_rocs(outcomes)):
        print(threshold.describe())


if __name__ == "__main__":
    main()
