"""``earprint compact``, ``verify``, ``repair`` and ``rebuild``: maintain a library."""

from typing import TYPE_CHECKING, Annotated

import typer

from earprint.cli import maintenance_messages, messages, output
from earprint.cli.options import (
    JobsOption,
    JsonOption,
    LibraryOption,
    ModelOption,
    StorageChoice,
    library_path,
    one_thread_for_numpy,
    print_waiting,
    storage_name,
)
from earprint.cli.progress import open_for_encoding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from earprint.library import TrackProblem


def compact(ctx: typer.Context, library: LibraryOption = None) -> None:
    """Compact the library; exit code 2 if a segment is damaged."""
    from earprint.library import Library

    with Library(library_path(ctx, library), create=False, on_wait=print_waiting) as opened:
        report = opened.compact()
    _print_errors(report.left)
    typer.echo(
        maintenance_messages.compacted(
            before=report.segments_before,
            after=report.segments_after,
            dropped=report.rows_dropped,
            freed=output.size(max(report.bytes_freed, 0)),
        )
    )
    if report.left:
        raise typer.Exit(2)


def verify(ctx: typer.Context, as_json: JsonOption = False, library: LibraryOption = None) -> None:
    """Verify the library; exit code 2 if anything is damaged."""
    from earprint.library import Library

    with Library(library_path(ctx, library), create=False, on_wait=print_waiting) as opened:
        report = opened.verify()
    if as_json:
        output.print_json(report.to_dict())
    else:
        _print_errors(report.problems)
        for problem in report.damaged:
            name = output.track_name(problem.track)
            typer.echo(maintenance_messages.damaged(problem.track.id, name), err=True)
        for path in report.strays:
            typer.echo(maintenance_messages.stray(output.one_line(path)), err=True)
        typer.echo(
            maintenance_messages.verified(
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
    drop_lost: Annotated[
        bool, typer.Option("--drop-lost", help=maintenance_messages.DROP_LOST_OPTION)
    ] = False,
    library: LibraryOption = None,
    model: ModelOption = "dense",
    jobs: JobsOption = 0,
) -> None:
    """Repair the library; exit code 2 if anything is still damaged."""
    one_thread_for_numpy()
    with open_for_encoding(library_path(ctx, library), model=model, jobs=jobs) as (opened, options):
        report = opened.repair(drop_lost=drop_lost, **options)
    _print_errors(report.problems)
    _print_problems(report.lost)
    typer.echo(
        maintenance_messages.repaired(
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
        bool, typer.Option("--drop-missing", help=maintenance_messages.DROP_MISSING_OPTION)
    ] = False,
    discard: Annotated[
        bool, typer.Option("--discard", "--give-up", help=maintenance_messages.DISCARD_OPTION)
    ] = False,
    library: LibraryOption = None,
    model: ModelOption = "dense",
    storage: Annotated[
        StorageChoice | None,
        typer.Option("--storage", help=maintenance_messages.REBUILD_STORAGE_OPTION, show_default=False),
    ] = None,
    jobs: JobsOption = 0,
) -> None:
    """Rebuild the library; exit code 2 if it is unchanged."""
    one_thread_for_numpy()
    folder = library_path(ctx, library)
    if discard:
        from earprint.library import Library

        with Library(folder, create=False, on_wait=print_waiting) as opened:
            begun = opened.discard_rebuild()
        typer.echo(maintenance_messages.DISCARDED if begun else maintenance_messages.NO_REBUILD)
        return
    try:
        with open_for_encoding(folder, model=model, storage=storage_name(storage), jobs=jobs) as (
            opened,
            options,
        ):
            report = opened.rebuild(drop_missing=drop_missing, **options)
    except KeyboardInterrupt as interrupt:
        typer.echo(maintenance_messages.REBUILD_INTERRUPTED, err=True)
        raise typer.Exit(130) from interrupt
    _print_problems(report.missing)
    if not report.switched:
        typer.echo(messages.error(maintenance_messages.not_rebuilt(len(report.missing))), err=True)
        raise typer.Exit(2)
    typer.echo(
        maintenance_messages.rebuilt(
            rebuilt=report.rebuilt,
            resumed=report.resumed,
            dropped=len(report.missing),
            model_id=report.model_id,
        )
    )


def _print_problems(problems: "Sequence[TrackProblem]") -> None:
    for problem in problems:
        track = problem.track
        line = maintenance_messages.lost(track.id, output.track_name(track), track.path, problem.cause)
        typer.echo(output.one_line(line), err=True)


def _print_errors(lines: "Sequence[str]") -> None:
    for line in lines:
        typer.echo(messages.error(output.one_line(line)), err=True)
