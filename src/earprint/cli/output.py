"""Output of results: tables on a terminal, tab-separated lines otherwise, or JSON.

Titles and paths may contain anything. A line break or an escape sequence in a tag must not break a line or
reach the terminal, so every text goes through `one_line`.
"""

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, TextIO

import typer

if TYPE_CHECKING:
    from earprint.library import Track

UNITS: Final = ("B", "kB", "MB", "GB", "TB")


def one_line(text: object) -> str:
    """Return a text with control characters replaced by spaces and undecodable bytes by ``?``."""
    printable = str(text).encode("utf-8", "replace").decode("utf-8")
    return "".join(char if char.isprintable() else " " for char in printable)


def position(time_s: float) -> str:
    """Return a time in seconds as h:mm:ss.s, such as ``0:01:07.3``; negative times have a minus."""
    tenths = round(abs(time_s) * 10)
    hours, rest = divmod(tenths, 36_000)
    minutes, rest = divmod(rest, 600)
    sign = "-" if time_s < 0 and tenths else ""
    return f"{sign}{hours}:{minutes:02}:{rest // 10:02}.{rest % 10}"


def size(n_bytes: float) -> str:
    """Return a size in bytes with a decimal unit, such as ``1.3 MB``."""
    step = 0
    while n_bytes >= 999.5 and step < len(UNITS) - 1:
        n_bytes, step = n_bytes / 1000.0, step + 1
    return f"{n_bytes:.1f} {UNITS[step]}" if step else f"{n_bytes:.0f} {UNITS[0]}"


def name_of(title: str | None, artist: str | None, path: object) -> str:
    """Return a recording's name: title and artist, or its path if it has no title."""
    if not title:
        return one_line(path) if path else "untitled"
    return one_line(f"{title} — {artist}" if artist else title)


def track_name(track: "Track") -> str:
    """Return the name of a track, see `name_of`."""
    return name_of(track.title, track.artist, track.path)


def to_terminal() -> bool:
    """Whether stdout is a terminal."""
    return is_terminal(sys.stdout)


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a stream is a terminal; None, a stream that was closed before the start, is not."""
    return stream is not None and stream.isatty()


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows of texts: a table with headings on a terminal, else tab-separated lines only."""
    if not to_terminal():
        for row in rows:
            typer.echo("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", show_header=any(columns))
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


def print_json(document: object) -> None:
    """Print a JSON document, with floats rounded to four decimals."""
    typer.echo(json.dumps(rounded(document), ensure_ascii=False, indent=2))


def rounded(document: Any) -> Any:
    """Round every float in nested lists and dictionaries to four decimals; paths become text."""
    if isinstance(document, dict):
        return {str(key): rounded(value) for key, value in document.items()}
    if isinstance(document, list | tuple):
        return [rounded(value) for value in document]
    if isinstance(document, float):
        return round(document, 4) + 0.0  # no negative zero
    if document is None or isinstance(document, str | int | bool):
        return document
    return str(document)


def described(properties: dict[str, Any]) -> list[tuple[str, str]]:
    """Return (name, value) rows for a dictionary; a nested dictionary becomes rows of its own.

    Parameters
    ----------
    properties : dict
        Names in snake case. The endings ``_s`` and ``bytes`` give the unit; ``duration_s`` is written as
        h:mm:ss.s.

    Returns
    -------
    list of (str, str)
    """
    rows: list[tuple[str, str]] = []
    for key, value in rounded(properties).items():
        name = key.removesuffix("_s").replace("_", " ")
        if isinstance(value, dict):
            rows += [(f"{name}: {inner}", text) for inner, text in described(value)]
        else:
            rows.append((name, _value(key, value)))
    return rows


def _value(key: str, value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, list):
        return ", ".join(_value("", item) for item in value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return one_line(value)
    if key.endswith("bytes"):
        return size(value)
    if key == "duration_s":
        return position(value)
    return f"{value:,}" + (" s" if key.endswith("_s") else "")
