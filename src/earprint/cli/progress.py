"""The verbs that read many files: processes, a progress bar, and lines printed above it.

The bar shows the share of bytes read. Without a terminal there is no bar; only the lines appear on stderr.
"""

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from earprint.cli import messages, output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rich.progress import Progress, ProgressColumn

    from earprint.library import AddEvent, EncodingPool, Library
    from earprint.quantization.storage import StorageName


@contextmanager
def open_for_encoding(
    folder: "Path",
    *,
    model: str,
    jobs: int,
    storage: "StorageName | None" = None,
    create: bool = False,
    failures: bool = False,
) -> "Iterator[tuple[Library, dict[str, Any]]]":
    """Open a library to fingerprint files, with a progress bar.

    Parameters
    ----------
    folder : Path
    model, storage, create
        See `earprint.Library`.
    jobs : int
        Number of processes; 0 for one per core once a run is long.
    failures : bool
        Print failed files too.

    Yields
    ------
    library : Library
    options : dict
        Arguments ``on_event`` and ``pool`` of the library's methods.
    """
    from earprint.library import Library

    with (
        progress_bar() as progress,
        _encoding_pool(model, jobs) as pool,
        Library(
            folder,
            create=create,
            model=model,
            storage=storage,
            on_wait=lambda line: print_above(progress, messages.waiting(line)),
        ) as library,
    ):
        yield library, {"on_event": event_printer(progress, failures=failures), "pool": pool}


def _encoding_pool(model: str, jobs: int) -> "EncodingPool":
    from earprint.library import EncodingPool

    return EncodingPool(model, jobs, start_after_s=0.0) if jobs else EncodingPool(model)


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


def event_printer(progress: "Progress", *, failures: bool) -> "Callable[[AddEvent], None]":
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


def print_above(progress: "Progress", line: str) -> None:
    """Print one line on stderr, above the bar if there is one."""
    text = output.one_line(line)
    if progress.disable:
        typer.echo(text, err=True)
    else:
        progress.console.print(text, markup=False, highlight=False, soft_wrap=True)
