"""The progress bar of verbs that read many files, and lines printed above it.

The bar shows the share of bytes read. Without a terminal there is no bar; only the lines appear on stderr.
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
    """Make the progress bar; it is disabled unless stderr is a terminal."""
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn

    return quiet_progress(
        BarColumn(bar_width=30),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[detail]}"),
        TimeRemainingColumn(),
    )


def quiet_progress(*columns: "ProgressColumn") -> "Progress":
    """Make a progress bar of some columns (rich's own by default), disabled unless stderr is a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    return Progress(
        *columns, console=Console(stderr=True), disable=not output.is_terminal(sys.stderr), transient=True
    )


def event_printer(progress: "Progress", *, failures: bool = True) -> "Callable[[AddEvent], None]":
    """Return a listener for `Library.add` that moves the bar and prints warnings.

    Parameters
    ----------
    progress : Progress
    failures : bool
        Print failed files too.
    """
    task = progress.add_task("", total=None, detail="")
    started = time.perf_counter()
    audio_s = 0.0

    def on_event(event: "AddEvent") -> None:
        nonlocal audio_s
        if event.kind == "failed" and failures:
            print_above(progress, messages.failed_file(f"{event.path}: {event.message}"))
        elif event.kind == "warning":
            print_above(progress, messages.warning(event.message))
        elif event.kind == "done":
            audio_s += event.audio_s
        rate = audio_s / max(time.perf_counter() - started, 1e-3)
        progress.update(
            task,
            completed=event.bytes_done,
            total=event.bytes_total,
            detail=f"{event.files_done:,}/{event.files_total:,} files, "
            f"{output.size(event.bytes_done)}/{output.size(event.bytes_total)}, "
            f"{rate:.0f} x real time",
        )

    return on_event


def waiting_printer(progress: "Progress") -> "Callable[[str], None]":
    """Return a function that prints, above the bar, which process a change waits for."""
    return lambda line: print_above(progress, messages.waiting(line))


def print_above(progress: "Progress", line: str) -> None:
    """Print one line on stderr, above the bar if there is one."""
    text = output.one_line(line)
    if progress.disable:
        typer.echo(text, err=True)
    else:
        progress.console.print(text, markup=False, highlight=False, soft_wrap=True)
