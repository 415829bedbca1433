"""The report of an evaluation: tables, results as JSON, figures, and what is needed to run it again."""

import json
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from earprint import __version__
from earprint.errors import EvaluationError
from earprint.evaluation.comparison import compare_systems
from earprint.evaluation.costs import cost_line
from earprint.evaluation.exclusions import Exclusions
from earprint.evaluation.matched_false_accepts import compare_at_matched_rate
from earprint.evaluation.metrics import MetricsRow, compute_metrics
from earprint.evaluation.outcomes import Outcome
from earprint.evaluation.paper_tables import paper_tables
from earprint.evaluation.plots import ERROR_BIN_MS, ERROR_RANGE_MS, draw, time_errors_ms
from earprint.evaluation.roc import compute_rocs, suggest_thresholds
from earprint.evaluation.tables import comparison_table, matched_table, metrics_tables, more_metrics_table
from earprint.parallel.blas_threads import one_thread_for_products


class Report:
    """The report of an evaluation.

    Parameters
    ----------
    outcomes : sequence of Outcome
    settings : dict
        Settings, circumstances and costs, JSON-ready.
    exclusions : Exclusions
    """

    def __init__(self, outcomes: Sequence[Outcome], settings: dict[str, Any], exclusions: Exclusions) -> None:
        self.outcomes, self.settings, self.exclusions = outcomes, settings, exclusions
        with one_thread_for_products():  # of many small matrices
            self.rows: list[MetricsRow] = compute_metrics(outcomes)
            self._comparisons = compare_systems(outcomes)
            self._matched = compare_at_matched_rate(outcomes)
        self._rocs = compute_rocs(outcomes)

    def summary(self) -> str:
        """Return the tables that are printed: metrics, and comparisons over all conditions together."""
        return _join(
            metrics_tables(self.rows), comparison_table(self._comparisons), matched_table(self._matched)
        )

    def notes(self) -> list[str]:
        """Return lines of text below the tables: provenance, costs, and suggested thresholds."""
        lines = [] if self.settings["complete"] else [self._partial_note()]
        lines += [provenance(self.settings), *(cost_line(cost) for cost in self.settings["systems"])]
        for peer in self.settings.get("peers", []):
            lines.append(", ".join(f"{key.replace('_', ' ')} {value}" for key, value in peer.items()))
        lines += [threshold.describe() for threshold in suggest_thresholds(self._rocs)]
        return [" ".join(line.split()) for line in lines]

    def write(self, folder: Path) -> str | None:
        """Write ``results.json``, ``table.md``, ``paper-tables.md``, ``queries.jsonl`` and the figures.

        Returns
        -------
        str or None
            A line of text if the figures could not be drawn.
        """
        results = {
            "settings": self.settings,
            "left_out": self.exclusions.to_dict(),
            "thresholds": [asdict(threshold) for threshold in suggest_thresholds(self._rocs)],
            "rows": [row.to_dict() for row in self.rows],
            "comparisons": [comparison.to_dict() for comparison in self._comparisons],
            "matched_false_accepts": [row.to_dict() for row in self._matched],
            "roc": [curve.to_dict() for curve in self._rocs],
            "time_errors": time_errors(self.outcomes),
        }
        text = json.dumps(results, indent=1, allow_nan=False, default=float) + "\n"
        _write(folder / "results.json", text)
        tables = _join(
            self.summary(),
            more_metrics_table(self.rows),
            comparison_table(self._comparisons, each_condition=True),
            matched_table(self._matched, each_condition=True),
        )
        lines = [*self.notes(), *self.exclusions.summary_lines()]
        _write(folder / "table.md", tables + "".join(f"\n{line}\n" for line in lines))
        _write(folder / "queries.jsonl", "".join(json.dumps(one.to_dict()) + "\n" for one in self.outcomes))
        tables = paper_tables(self.rows, self.settings)
        if tables:
            _write(folder / "paper-tables.md", tables)
        _, line = draw(folder, self.rows, self._rocs, self.outcomes)
        return line

    def _partial_note(self) -> str:
        """Say how many queries an interrupted evaluation answered."""
        answered = len({outcome.query for outcome in self.outcomes})
        return (
            f"PARTIAL: interrupted after {answered:,} of {self.settings['manifest_queries']:,} queries; "
            "the tables count only these"
        )


def circumstances() -> dict[str, Any]:
    """Return date, versions, machine and command line of this process."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "earprint": __version__,
        "python": platform.python_version(),
        "platform": {
            "system": platform.system(),
            "machine": platform.machine(),
            "cpus": os.cpu_count(),
        },
        "command": shlex.join(["earprint", *sys.argv[1:]]),
    }


def provenance(settings: dict[str, Any]) -> str:
    """Return one line of text with method, date, version, machine and command."""
    machine = settings["platform"]
    backend = f", {settings['compute']}" if settings.get("compute") else ""
    return (
        f"method {settings['method']}, seed {settings['seed']}; {settings['date']}, "
        f"earprint {settings['earprint']}, Python {settings['python']}, "
        f"{machine['system']} {machine['machine']}, {machine['cpus']} CPUs{backend}; `{settings['command']}`"
    )


def prepare_folder(folder: Path) -> None:
    """Make the report's folder before the evaluation, which would otherwise fail at its end.

    Raises
    ------
    EvaluationError
        If it cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "results.json").open("a", encoding="utf-8").close()
    except OSError as error:
        raise EvaluationError(
            f"{folder}: cannot be written ({error.strerror}); name another folder for --out"
        ) from error


def time_errors(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Return a histogram of each system's signed time errors, JSON-ready.

    Errors beyond the edges are counted as ``below`` and ``above``.
    """
    edges = np.arange(-ERROR_RANGE_MS, ERROR_RANGE_MS + ERROR_BIN_MS, ERROR_BIN_MS)
    histograms = []
    for system, errors in time_errors_ms(outcomes).items():
        counts, _ = np.histogram(errors, edges)
        histograms.append(
            {
                "system": system,
                "edges_ms": edges.tolist(),
                "counts": counts.tolist(),
                "below": int((errors < edges[0]).sum()),
                "above": int((errors > edges[-1]).sum()),
            }
        )
    return histograms


def _join(*tables: str) -> str:
    return "\n".join(table for table in tables if table)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", errors="backslashreplace")
