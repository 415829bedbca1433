"""``earprint add``: recordings into the library, with a progress bar that knows when it ends."""

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from earprint.cli import messages, output
from earprint.cli.options import LibraryOption, ModelOption, library_path
from earprint.errors import AudioError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.progress import Progress

    from earprint.library import AddEvent


def add(
    ctx: typer.Context,
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help=messages.ADD_ARGUMENT)],
    library: LibraryOption = None,
    model: ModelOption = "dense",
) -> None:
    """Add recordings; ends with exit code 2 if any file failed."""
    from earprint.library import Library

    folder = library_path(ctx, library)
    _refuse_if_all_are_missing(paths)
    started = time.perf_counter()
    try:
        with (
            _progress() as progress,
            Library(
                folder, create=True, model=model, on_wait=lambda line: _say(progress, messages.waiting(line))
            ) as opened,
        ):
            report = opened.add(*paths, on_event=_shown_on(progress))
    except KeyboardInterrupt as interrupt:
        typer.echo(messages.ADD_INTERRUPTED, err=True)
        raise typer.Exit(130) from interrupt
    seconds = time.perf_counter() - started
    audio_s = sum(track.duration_s for track in report.added)
    typer.echo(
        messages.added(
            added=len(report.added),
            replaced=len(report.replaced),
            skipped=len(report.skipped),
            failed=len(report.failed),
            length=output.position(audio_s),
            seconds=seconds,
            rate=audio_s / seconds,
        )
    )
    if report.failed:
        raise typer.Exit(2)


def _refuse_if_all_are_missing(paths: list[str]) -> None:
    """End the command before it makes a library that nothing would go into."""
    from earprint.audio import is_folder

    causes: list[str] = []
    for path in paths:
        try:
            is_folder(path)
        except AudioError as error:
            causes.append(output.one_line(error))
    if len(causes) == len(paths):
        for cause in causes:
            typer.echo(messages.failed_file(cause), err=True)
        raise typer.Exit(2)


def _progress() -> "Progress":
    """Make the progress bar; it stays silent unless stderr is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        BarColumn(bar_width=30),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[detail]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not output.is_terminal(sys.stderr),
        transient=True,
    )


def _shown_on(progress: "Progress") -> "Callable[[AddEvent], None]":
    """Make the listener that moves the bar and prints a line for each bad file."""
    task = progress.add_task("", total=None, detail="")
    started = time.perf_counter()
    heard_s = 0.0

    def on_event(event: "AddEvent") -> None:
        nonlocal heard_s
        if event.kind == "failed":
            _say(progress, messages.failed_file(f"{event.path}: {event.message}"))
        elif event.kind == "warning":
            _say(progress, messages.warning(event.message))
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


def _say(progress: "Progress", line: str) -> None:
    """Print one line on stderr, above the bar if there is one."""
    text = output.one_line(line)
    if progress.disable:
        typer.echo(text, err=True)
    else:
        progress.console.print(text, markup=False, highlight=False, soft_wrap=True)
