"""Tables of an evaluation, as Markdown and JSON, with all that is needed to run it again."""

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
from earprint.evaluation.costs import cost_line
from earprint.evaluation.exclusions import LeftOut
from earprint.evaluation.metrics import Row
from earprint.evaluation.outcomes import Outcome
from earprint.evaluation.paper_tables import paper_tables
from earprint.evaluation.plots import ERROR_BIN_MS, ERROR_RANGE_MS, draw, time_errors_ms
from earprint.evaluation.roc import rocs, thresholds

COLUMNS = {
    "top-1 %": "top_1",
    "top-1 & 50 ms %": "top_1_and_50_ms",
    "answered %": "answered",
    "& 50 ms %": "located_50_ms",
    "wrong %": "wrong",
}
"""Shares of the table that is printed, by their headings."""

MORE_COLUMNS = {
    "top-5 %": "top_5",
    "top-1 & 100 ms %": "top_1_and_100_ms",
    "answered & 100 ms %": "located_100_ms",
    "or at a repeat %": "located_or_repeat",
}
"""Shares of a second table in ``table.md``."""


def markdown(rows: Sequence[Row]) -> str:
    """Lay out counts as two Markdown tables: present recordings, and absent ones."""
    tables = []
    present = [row for row in rows if row.present]
    absent = [row for row in rows if not row.present]
    if present:
        tables.append(_shares("condition", present, COLUMNS, error=True))
    if absent:
        tables.append(
            _shares("absent recordings, condition", absent, {"false accepts %": "false_accept"}, error=False)
        )
    return "\n".join(tables)


def more_markdown(rows: Sequence[Row]) -> str:
    """Lay out the counts that `markdown` leaves out; empty without present recordings."""
    present = [row for row in rows if row.present]
    return _shares("condition", present, MORE_COLUMNS, error=False) if present else ""


def _shares(what: str, rows: Sequence[Row], columns: dict[str, str], *, error: bool) -> str:
    head = ["system", what, "length", "queries", *columns, *(["median error ms"] if error else [])]
    lines = []
    for row in (row.to_dict() for row in rows):
        cells = [row["system"], row["condition"], f"{row['length_s']:g} s", str(row["queries"])]
        cells += [_cell(row[key]) for key in columns.values()]
        if error:
            cells.append("-" if row["median_error_ms"] is None else f"{row['median_error_ms']:.1f}")
        lines.append(cells)
    return table(head, lines)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out cells as a Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _cell(share: dict[str, float] | None) -> str:
    """A share with its 95 % interval; a dash if the system does not tell it."""
    if share is None:
        return "-"
    return f"{share['percent']:.1f} ({share['low']:.1f}-{share['high']:.1f})"


def circumstances() -> dict[str, Any]:
    """When, with what and how this process runs: date, versions, machine and command line."""
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
    """Say in one line where the numbers come from: method, date, version, machine, command."""
    machine = settings["platform"]
    computed = f", {settings['compute']}" if settings.get("compute") else ""
    return (
        f"method {settings['method']}, seed {settings['seed']}; {settings['date']}, "
        f"earprint {settings['earprint']}, Python {settings['python']}, "
        f"{machine['system']} {machine['machine']}, {machine['cpus']} CPUs{computed}; `{settings['command']}`"
    )


def notes(outcomes: Sequence[Outcome], settings: dict[str, Any]) -> list[str]:
    """Say under the tables where they come from, what thresholds they suggest, and what the systems cost."""
    lines = [] if settings["complete"] else [partial(outcomes, settings)]
    lines += [provenance(settings), *(cost_line(cost) for cost in settings["systems"])]
    for peer in settings.get("peers", []):
        lines.append(", ".join(f"{key.replace('_', ' ')} {value}" for key, value in peer.items()))
    lines += [threshold.describe() for threshold in thresholds(rocs(outcomes))]
    return [" ".join(line.split()) for line in lines]


def partial(outcomes: Sequence[Outcome], settings: dict[str, Any]) -> str:
    """Say in one line how far an interrupted run got."""
    answered = len({outcome.query for outcome in outcomes})
    return (
        f"PARTIAL: interrupted after {answered:,} of {settings['manifest_queries']:,} queries; "
        "the counts are of those alone"
    )


def prepare_folder(folder: Path) -> None:
    """Make the report's folder before the work begins rather than fail after it.

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


def write_report(
    folder: Path,
    rows: Sequence[Row],
    outcomes: Sequence[Outcome],
    settings: dict[str, Any],
    left_out: LeftOut,
) -> str | None:
    """Write ``results.json``, ``table.md``, ``paper-tables.md``, ``queries.jsonl`` and the pictures.

    Returns
    -------
    str or None
        A line that says what could not be drawn.
    """
    curves = rocs(outcomes)
    results = {
        "settings": settings,
        "left_out": left_out.to_dict(),
        "thresholds": [asdict(threshold) for threshold in thresholds(curves)],
        "rows": [row.to_dict() for row in rows],
        "roc": [curve.to_dict() for curve in curves],
        "time_errors": time_errors(outcomes),
    }
    text = json.dumps(results, indent=1, allow_nan=False, default=float) + "\n"
    _write(folder / "results.json", text)
    below = "".join(f"\n{line}\n" for line in [*notes(outcomes, settings), *left_out.lines()])
    more = more_markdown(rows)
    _write(folder / "table.md", markdown(rows) + (f"\n{more}" if more else "") + below)
    _write(folder / "queries.jsonl", "".join(json.dumps(o.to_dict()) + "\n" for o in outcomes))
    tables = paper_tables(rows, settings)
    if tables:
        _write(folder / "paper-tables.md", tables)
    _, line = draw(folder, rows, curves, outcomes)
    return line


def time_errors(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Histogram of each system's signed time errors, JSON-ready; the outer counts lie beyond the edges."""
    edges = np.arange(-ERROR_RANGE_MS, ERROR_RANGE_MS + ERROR_BIN_MS, ERROR_BIN_MS)
    out = []
    for system, errors in time_errors_ms(outcomes).items():
        counts, _ = np.histogram(errors, edges)
        out.append(
            {
                "system": system,
                "edges_ms": edges.tolist(),
                "counts": counts.tolist(),
                "below": int((errors < edges[0]).sum()),
                "above": int((errors > edges[-1]).sum()),
            }
        )
    return out


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", errors="backslashreplace")
