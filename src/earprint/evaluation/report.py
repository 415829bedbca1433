"""Tables of an evaluation, as Markdown and JSON."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from earprint.evaluation.measure import Outcome, Row


def markdown(rows: Sequence[Row]) -> str:
    """Lay out counts as two Markdown tables: present recordings, and absent ones."""
    lines = [
        "| condition | length | queries | top-1 % | answered % | within 100 ms % | within 50 ms % "
        "| median error ms | ms per query |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in (row.to_dict() for row in rows if row.present):
        lines.append(
            f"| {row['condition']} | {row['length_s']:g} s | {row['queries']} | {_cell(row['top_1'])} "
            f"| {_cell(row['answered'])} | {_cell(row['located_100_ms'])} "
            f"| {_cell(row['located_50_ms'])} | {row['median_error_ms']} "
            f"| {row['median_ms_per_query']:.0f} |"
        )
    absent = [row.to_dict() for row in rows if not row.present]
    if absent:
        lines += ["", "| absent recordings, condition | length | queries | false accepts % |"]
        lines += ["|---|---|---|---|"]
        lines += [
            f"| {row['condition']} | {row['length_s']:g} s | {row['queries']} "
            f"| {_cell(row['false_accept'])} |"
            for row in absent
        ]
    return "\n".join(lines) + "\n"


def _cell(share: dict[str, float]) -> str:
    """A share with its 95 % interval."""
    return f"{share['percent']:.1f} ({share['low']:.1f}-{share['high']:.1f})"


def write_report(
    folder: Path, rows: Sequence[Row], outcomes: Sequence[Outcome], settings: dict[str, Any]
) -> None:
    """Write ``results.json`` (settings and counts), ``table.md`` and ``queries.jsonl`` (every answer)."""
    folder.mkdir(parents=True, exist_ok=True)
    results = {"settings": settings, "rows": [row.to_dict() for row in rows]}
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (folder / "table.md").write_text(markdown(rows), encoding="utf-8")
    with (folder / "queries.jsonl").open("w", encoding="utf-8") as sink:
        for outcome in outcomes:
            sink.write(json.dumps(outcome.to_dict()) + "\n")
