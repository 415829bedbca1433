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

from earprint import __version__
from earprint.errors import EvaluationError
from earprint.evaluation.left_out import LeftOut
from earprint.evaluation.measure import Outcome, Row, thresholds

COLUMNS = (
    "system", "condition", "length", "queries", "top-1 %", "answered %", "wrong %", "within 50 ms %",
    "within 100 ms %", "or at a repeat %", "median error ms", "ms per query",
)  # fmt: skip


def markdown(rows: Sequence[Row]) -> str:
    """Lay out counts as two Markdown tables: present recordings, and absent ones."""
    present = [row.to_dict() for row in rows if row.present]
    absent = [row.to_dict() for row in rows if not row.present]
    tables = []
    if present:
        cells = [
            (
                row["system"], row["condition"], f"{row['length_s']:g} s", str(row["queries"]),
                _cell(row["top_1"]), _cell(row["answered"]), _cell(row["wrong"]),
                _cell(row["located_50_ms"]), _cell(row["located_100_ms"]),
                _cell(row["located_or_repeat"]), _number(row["median_error_ms"]),
                f"{row['median_ms_per_query']:.0f}",
            )
            for row in present
        ]  # fmt: skip
        tables.append(_table(COLUMNS, cells))
    if absent:
        columns = ("system", "absent recordings, condition", "length", "queries", "false accepts %")
        tables.append(
            _table(
                columns,
                [
                    (
                        row["system"],
                        row["condition"],
                        f"{row['length_s']:g} s",
                        str(row["queries"]),
                        _cell(row["false_accept"]),
                    )
                    for row in absent
                ],
            )
        )
    return "\n".join(tables)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _cell(share: dict[str, float]) -> str:
    """A share with its 95 % interval."""
    return f"{share['percent']:.1f} ({share['low']:.1f}-{share['high']:.1f})"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


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
    """Say in one line where the numbers come from: library, method, date, version, machine, command."""
    machine = settings["platform"]
    return (
        f"{settings['model_id']}, {settings['tracks']:,} tracks, {settings['hours']:.2f} h, "
        f"{settings['fingerprints']:,} fingerprints, method {settings['method']}, seed {settings['seed']}; "
        f"{settings['date']}, earprint {settings['earprint']}, Python {settings['python']}, "
        f"{machine['system']} {machine['machine']}, {machine['cpus']} CPUs; `{settings['command']}`"
    )


def notes(outcomes: Sequence[Outcome], settings: dict[str, Any]) -> list[str]:
    """Say under the tables where they come from, what thresholds they suggest, and what peers cost."""
    lines = [provenance(settings), *(threshold.describe() for threshold in thresholds(outcomes))]
    for peer in settings.get("peers", []):
        lines.append(", ".join(f"{key.replace('_', ' ')} {value}" for key, value in peer.items()))
    return [" ".join(line.split()) for line in lines]


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
) -> None:
    """Write ``results.json`` (settings and counts), ``table.md`` and ``queries.jsonl`` (every answer)."""
    results = {
        "settings": settings,
        "left_out": left_out.to_dict(),
        "thresholds": [asdict(threshold) for threshold in thresholds(outcomes)],
        "rows": [row.to_dict() for row in rows],
    }
    _write(folder / "results.json", json.dumps(results, indent=1, allow_nan=False) + "\n")
    below = "".join(f"\n{line}\n" for line in [*notes(outcomes, settings), *left_out.lines()])
    _write(folder / "table.md", markdown(rows) + below)
    _write(folder / "queries.jsonl", "".join(json.dumps(o.to_dict()) + "\n" for o in outcomes))


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", errors="backslashreplace")
