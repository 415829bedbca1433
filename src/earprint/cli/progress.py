"""The progress bar of verbs that read many files, and lines said above it.

The bar moves with the bytes read, so that it knows when it ends; without a terminal there is none, and the
lines alone appear on stderr.
"""

import sys
import time
from typing import TYPE_CHECKING

import typer

from earprint.cli import messages, output

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.progress import Progress, ProgressColumn

    from earprint.library import AddEvent


def progress_bar() -> "Progress":
    """Make the progress bar; it stays silent unless stderr is a terminal."""
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn

    return quiet_progress(
        BarColumn(bar_width=30),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[detail]}"),
        TimeRemainingColumn(),
    )


def quiet_progress(*columns: "ProgressColumn") -> "Progress":
    """Make a progress bar of some columns (rich's own by default), silent unless stderr is a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    return Progress(
        *columns, console=Console(stderr=True), disable=not output.is_terminal(sys.stderr), transient=True
    )


def shown_on(progress: "Progress", *, failures: bool = True) -> "Callable[[AddEvent], None]":
    """Make the listener that moves the bar and prints a line for each bad file, or leaves that to others."""
    task = progress.add_task("", total=None, detail="")
    started = time.perf_counter()
    heard_s = 0.0

    def on_event(event: "AddEvent") -> None:
        nonlocal heard_s
        if event.kind == "failed" and failures:
            say(progress, messages.failed_file(f"{event.path}: {event.message}"))
        elif event.kind == "warning":
            say(progress, messages.warning(event.message))
        elif event.kind == "done":
            heard_s += event.audio_s
        rate = heard_s / max(time.perf_counter() - started, 1e-3)
        progress.update(
            task,
            completed=event.bytes_done,
            total=event.bytes_total,
            detail=f"{event.files_done:,}/{event.files_total:,} files, "
            f"{output.size(event.bytes_done)}/{output.size(event.bytes_total)}, "
            f"{rate:.0f} x real time",
        )

    return on_event


def say(progress: "Progress", line: str) -> None:
    """Print one line on stderr, above the bar if there is one."""
    text = output.one_line(line)
    if progress.disable:
        typer.echo(text, err=True)
    else:
        progress.console.print(text, markup=False, highlight=False, soft_wrap=True)
