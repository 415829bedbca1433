"""``earprint export``, ``import`` and ``merge``: move fingerprints between libraries."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from earprint.cli import maintenance_messages, output
from earprint.cli.options import (
    JsonOption,
    LibraryOption,
    ModelOption,
    StorageChoice,
    StorageOption,
    library_path,
    print_waiting,
    storage_name,
)

if TYPE_CHECKING:
    from earprint.library import ImportReport, Library


def export(
    ctx: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", help=maintenance_messages.EXPORT_ARGUMENT)],
    with_paths: Annotated[
        bool, typer.Option("--with-paths", help=maintenance_messages.WITH_PATHS_OPTION)
    ] = False,
    as_json: JsonOption = False,
    library: LibraryOption = None,
) -> None:
    """Export the library."""
    from earprint.library import Library

    with Library(library_path(ctx, library), create=False) as opened:
        report = opened.export(file, with_paths=with_paths)
    if as_json:
        output.print_json(report.to_dict())
        return
    typer.echo(
        maintenance_messages.exported(
            tracks=report.tracks,
            fingerprints=report.fingerprints,
            size=output.size(report.size_bytes),
            path=output.one_line(report.path),
        )
    )


def import_file(
    ctx: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", help=maintenance_messages.IMPORT_ARGUMENT)],
    as_json: JsonOption = False,
    library: LibraryOption = None,
    model: ModelOption = "dense",
    storage: StorageOption = None,
) -> None:
    """Import a file."""
    from earprint.store.portable import PortableFile

    PortableFile(Path(file))  # fails before a missing library is made
    with _open_or_make(library_path(ctx, library), model, storage) as opened:
        _print_report(opened.import_file(file), as_json)


def merge(
    ctx: typer.Context,
    other: Annotated[str, typer.Argument(metavar="DIR", help=maintenance_messages.MERGE_ARGUMENT)],
    as_json: JsonOption = False,
    library: LibraryOption = None,
    model: ModelOption = "dense",
    storage: StorageOption = None,
) -> None:
    """Merge another library."""
    from earprint.library import Library

    with Library(other, create=False):  # fails before a missing library is made
        pass
    with _open_or_make(library_path(ctx, library), model, storage) as opened:
        _print_report(opened.merge(other), as_json)


def _open_or_make(folder: Path, model: str, storage: StorageChoice | None) -> "Library":
    from earprint.library import Library

    return Library(folder, model=model, storage=storage_name(storage), on_wait=print_waiting)


def _print_report(report: "ImportReport", as_json: bool) -> None:
    if as_json:
        output.print_json(report.to_dict())
        return
    typer.echo(maintenance_messages.imported(len(report.added), report.skipped))
