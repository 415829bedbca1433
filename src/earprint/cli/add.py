"""``earprint add``: add recordings to the library."""

import time
from typing import Annotated

import typer

from earprint.cli import messages, output
from earprint.cli.options import (
    JobsOption,
    LibraryOption,
    ModelOption,
    StorageOption,
    library_path,
    one_thread_for_numpy,
    storage_name,
)
from earprint.cli.progress import open_for_encoding
from earprint.errors import AudioError


def add(
    ctx: typer.Context,
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help=messages.ADD_ARGUMENT)],
    library: LibraryOption = None,
    model: ModelOption = "dense",
    storage: StorageOption = None,
    jobs: JobsOption = 0,
) -> None:
    """Add recordings; exit code 2 if any file failed."""
    one_thread_for_numpy()
    folder = library_path(ctx, library)
    _refuse_if_all_are_missing(paths)
    started = time.perf_counter()
    try:
        with open_for_encoding(
            folder, create=True, model=model, storage=storage_name(storage), jobs=jobs, failures=True
        ) as (opened, options):
            report = opened.add(*paths, **options)
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
    """End the command if no path exists, before it makes an empty library."""
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
