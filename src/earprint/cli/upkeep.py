"""``earprint compact``, ``verify``, ``repair`` and ``rebuild``: looking after a library."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from earprint.cli import messages, output, upkeep_messages
from earprint.cli.options import (
    JobsOption,
    JsonOption,
    LibraryOption,
    ModelOption,
    StorageOption,
    library_path,
    one_thread_for_numpy,
    processes_for,
    storage_name,
)
from earprint.cli.progress import progress_bar, say, shown_on

if TYPE_CHECKING:
    from rich.progress import Progress

    from earprint.library import Trouble


def compact(ctx: typer.Context, library: LibraryOption = None) -> None:
    """Compact; ends with exit code 2 if a segment is damaged."""
    from earprint.library import Library

    with Library(library_path(ctx, library), create=False, on_wait=waiting) as opened:
        report = opened.compact()
    for line in report.left:
        typer.echo(messages.error(output.one_line(line)), err=True)
    typer.echo(
        upkeep_messages.compacted(
            before=report.segments_before,
            after=report.segments_after,
            dropped=report.rows_dropped,
            freed=output.size(max(report.bytes_freed, 0)),
        )
    )
    if report.left:
        raise typer.Exit(2)


def verify(ctx: typer.Context, as_json: JsonOption = False, library: LibraryOption = None) -> None:
    """Verify; ends with exit code 2 if anything is damaged."""
    from earprint.library import Library

    with Library(library_path(ctx, library), create=False, on_wait=waiting) as opened:
        report = opened.verify()
    if as_json:
        output.print_json(report.to_dict())
    else:
        for line in report.problems:
            typer.echo(messages.error(output.one_line(line)), err=True)
        for trouble in report.damaged:
            track = trouble.track
            name = output.name_of(track.title, track.artist, track.path)
            typer.echo(upkeep_messages.damaged(track.id, name), err=True)
        for path in report.strays:
            typer.echo(upkeep_messages.stray(output.one_line(path)), err=True)
        typer.echo(
            upkeep_messages.verified(
                tracks=report.tracks,
                segments=report.segments,
                size=output.size(report.size_bytes),
                damaged=len(report.damaged),
                problems=len(report.problems),
            )
        )
    if not report.sound:
        raise typer.Exit(2)


def repair(
    ctx: typer.Context,
    drop_lost: Annotated[bool, typer.Option("--drop-lost", help=upkeep_messages.DROP_LOST_OPTION)] = False,
    library: LibraryOption = None,
    model: ModelOption = "dense",
    jobs: JobsOption = 0,
) -> None:
    """Repair; ends with exit code 2 if anything stays damaged."""
    one_thread_for_numpy()
    from earprint.library import Library

    with (
        progress_bar() as progress,
        processes_for(model, jobs) as processes,
        Library(library_path(ctx, library), create=False, model=model, on_wait=_above(progress)) as opened,
    ):
        report = opened.repair(
            drop_lost=drop_lost, on_event=shown_on(progress, failures=False), elsewhere=processes
        )
    for line in report.problems:
        typer.echo(messages.error(output.one_line(line)), err=True)
    _name_lost(report.lost)
    typer.echo(
        upkeep_messages.repaired(
            recomputed=len(report.recomputed),
            moved=report.moved,
            lost=len(report.lost),
            dropped=report.dropped,
        )
    )
    if report.problems or (report.lost and not report.dropped):
        raise typer.Exit(2)


def rebuild(
    ctx: typer.Context,
    drop_missing: Annotated[
        bool, typer.Option("--drop-missing", help=upkeep_messages.DROP_MISSING_OPTION)
    ] = False,
    give_up: Annotated[bool, typer.Option("--give-up", help=upkeep_messages.GIVE_UP_OPTION)] = False,
    library: LibraryOption = None,
    model: ModelOption = "dense",
    storage: StorageOption = None,
    jobs: JobsOption = 0,
) -> None:
    """Rebuild; ends with exit code 2 if the library stays as it was."""
    one_thread_for_numpy()
    from earprint.library import Library

    folder = library_path(ctx, library)
    if give_up:
        with Library(folder, create=False, on_wait=waiting) as opened:
            begun = opened.give_up_rebuild()
        typer.echo(upkeep_messages.GAVE_UP if begun else upkeep_messages.NO_REBUILD)
        return
    try:
        with (
            progress_bar() as progress,
            processes_for(model, jobs) as processes,
            Library(
                folder,
                create=False,
                model=model,
                storage=storage_name(storage),
                on_wait=_above(progress),
            ) as opened,
        ):
            report = opened.rebuild(
                drop_missing=drop_missing, on_event=shown_on(progress, failures=False), elsewhere=processes
            )
    except KeyboardInterrupt as interrupt:
        typer.echo(upkeep_messages.REBUILD_INTERRUPTED, err=True)
        raise typer.Exit(130) from interrupt
    _name_lost(report.missing)
    if not report.switched:
        typer.echo(messages.error(upkeep_messages.not_rebuilt(len(report.missing))), err=True)
        raise typer.Exit(2)
    typer.echo(
        upkeep_messages.rebuilt(
            rebuilt=report.rebuilt,
            resumed=report.resumed,
            dropped=len(report.missing),
            model_id=report.model_id,
        )
    )


def waiting(line: str) -> None:
    """Say for whom this command waits."""
    typer.echo(output.one_line(messages.waiting(line)), err=True)


def _above(progress: "Progress") -> Callable[[str], None]:
    """Say the same above a progress bar."""
    return lambda line: say(progress, messages.waiting(line))


def _name_lost(troubles: "Sequence[Trouble]") -> None:
    for trouble in troubles:
        track = trouble.track
        name = output.name_of(track.title, track.artist, track.path)
        typer.echo(output.one_line(upkeep_messages.lost(track.id, name, track.path, trouble.cause)), err=True)
