"""Tables of an evaluation as Markdown."""

from collections.abc import Mapping, Sequence
from typing import Final

from earprint.evaluation.comparison import ALL_CONDITIONS, Comparison
from earprint.evaluation.matched_false_accepts import MatchedRow
from earprint.evaluation.metrics import MetricsRow

COLUMNS: Final = {
    "top-1 %": "top_1",
    "top-1 & 50 ms %": "top_1_and_50_ms",
    "answered %": "answered",
    "& 50 ms %": "located_50_ms",
    "wrong %": "wrong",
}
"""Metrics of the table that is printed, by their headings."""

MORE_COLUMNS: Final = {
    "top-5 %": "top_5",
    "top-1 & 100 ms %": "top_1_and_100_ms",
    "answered & 100 ms %": "located_100_ms",
    "or at a repeat %": "located_or_repeat",
}
"""Metrics of a second table in ``table.md``."""

METRIC_NAMES: Final = {
    "top_1_and_50_ms": "top-1 & 50 ms",
    "answered": "answered",
    "false_accept": "false accepts",
}
"""Metrics of the table of comparisons, as it names them."""


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out cells as a Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def format_percent(percent: Mapping[str, float] | None) -> str:
    """Format a share with its interval, both in percent; a dash if there is none."""
    if percent is None:
        return "-"
    return f"{percent['percent']:.1f} ({percent['low']:.1f}-{percent['high']:.1f})"


def metrics_tables(rows: Sequence[MetricsRow]) -> str:
    """Lay out metrics as two tables: present recordings, and absent ones."""
    tables = []
    present = [row for row in rows if row.present]
    absent = [row for row in rows if not row.present]
    if present:
        tables.append(_metrics_table("condition", present, COLUMNS, with_error=True))
    if absent:
        columns = {"false accepts %": "false_accept"}
        tables.append(_metrics_table("absent recordings, condition", absent, columns, with_error=False))
    return "\n".join(tables)


def more_metrics_table(rows: Sequence[MetricsRow]) -> str:
    """Lay out the metrics that `metrics_tables` leaves out; empty without present recordings."""
    present = [row for row in rows if row.present]
    return _metrics_table("condition", present, MORE_COLUMNS, with_error=False) if present else ""


def _metrics_table(
    heading: str, rows: Sequence[MetricsRow], columns: Mapping[str, str], *, with_error: bool
) -> str:
    head = ["system", heading, "length", "queries", "recordings", *columns]
    lines = []
    for row in rows:
        cells = [row.system, row.condition, f"{row.length_s:g} s", str(row.queries), str(row.recordings)]
        cells += [format_percent(row.percent(metric)) for metric in columns.values()]
        if with_error:
            cells.append("-" if row.median_error_s is None else f"{1000 * row.median_error_s:.1f}")
        lines.append(cells)
    return markdown_table([*head, *(["median error ms"] if with_error else [])], lines)


def comparison_table(comparisons: Sequence[Comparison], *, each_condition: bool = False) -> str:
    """Lay out comparisons of pairs of systems; empty if there are none.

    Parameters
    ----------
    comparisons : sequence of Comparison
    each_condition : bool
        Lay out those of single conditions instead of those of all conditions together.
    """
    lines = [
        [
            one.first,
            one.second,
            one.condition,
            f"{one.length_s:g} s",
            METRIC_NAMES[one.metric],
            str(one.queries),
            str(one.recordings),
            str(one.only_first),
            str(one.only_second),
            f"{100 * one.difference:+.1f} ({100 * one.interval[0]:+.1f} to {100 * one.interval[1]:+.1f})",
            f"{one.p_value:.2g}",
        ]
        for one in comparisons
        if (one.condition == ALL_CONDITIONS) != each_condition
    ]
    columns = [
        "first", "second", "condition", "length", "metric", "queries", "recordings", "only first",
        "only second", "difference, points", "McNemar p",
    ]  # fmt: skip
    return markdown_table(columns, lines) if lines else ""


def matched_table(rows: Sequence[MatchedRow], *, each_condition: bool = False) -> str:
    """Lay out systems at matched false accepts; empty if there are none.

    Parameters
    ----------
    rows : sequence of MatchedRow
    each_condition : bool
        Lay out those of single conditions instead of those of all conditions together.
    """
    lines = []
    for row in rows:
        if (row.condition == ALL_CONDITIONS) == each_condition:
            continue
        shares = row.to_dict()
        cells = [row.system, row.condition, f"{row.length_s:g} s", str(row.present), str(row.absent)]
        keys = ("own_right", "own_false_accepts", "right", "false_accepts")
        lines.append([*cells, *(format_percent(shares[key]) for key in keys)])
    columns = [
        "system", "condition", "length", "queries", "absent queries", "right % at its own threshold",
        "false accepts % there", "right % at matched false accepts", "false accepts % counted there",
    ]  # fmt: skip
    return markdown_table(columns, lines) if lines else ""
