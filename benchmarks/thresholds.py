"""Thresholds from several evaluations together: the score that 1 % of the absent queries reach.

    python benchmarks/thresholds.py RESULTS [RESULTS ...]

Needs folders that `earprint evaluate --absent ... --out RESULTS` wrote. Prints a line for each system and
length.

`earprint evaluate` suggests thresholds from one run. If you have few recordings, evaluate twice with
`--references` and `--absent` exchanged, and give both results: more absent recordings give a better
threshold.
"""

import argparse
import json
from dataclasses import fields
from pathlib import Path

from earprint.evaluation.outcomes import Outcome
from earprint.evaluation.query import Query
from earprint.evaluation.roc import compute_rocs, suggest_thresholds


def outcome_of(line: str) -> Outcome:
    """Return the outcome in a line of `queries.jsonl`."""
    record = json.loads(line)
    values = {field.name: record[field.name] for field in fields(Outcome) if field.name != "query"}
    return Outcome(Query.from_dict(record), **values)


def main() -> None:
    """Read the outcomes of all runs and print the thresholds."""
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
