"""``earprint export``, ``import`` and ``merge``: fingerprints out of a library and into another."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from earprint.cli import output, upkeep_messages
from earprint.cli.options import (
    JsonOption,
    LibraryOption,
    ModelOption,
    StorageOption,
    library_path,
    storage_name,
)
from earprint.cli.upkeep import waiting

if TYPE_CHECKING:
    from earprint.library import ImportReport


def export(
    ctx: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", help=upkeep_messages.EXPORT_ARGUMENT)],
    with_paths: Annotated[bool, typer.Option("--with-paths", help=upkeep_messages.WITH_PATHS_OPTION)] = False,
    as_json: JsonOption = False,
    library: LibraryOption = None,
) -> None:
    """Export."""
    from earprint.library import Library

    with Library(library_path(ctx, library), create=False) as opened:
        report = opened.export(file, with_paths=with_paths)
    if as_json:
        output.print_json(report.to_dict())
        return
    typer.echo(
        upkeep_messages.exported(
            tracks=report.tracks,
            fingerprints=report.fingerprints,
            size=output.size(report.size_bytes),
            path=output.one_line(report.path),
        )
    )


def import_file(
    ctx: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", help=upkeep_messages.IMPORT_ARGUMENT)],
    as_json: JsonOption = False,
    library: LibraryOption = None,
    model: ModelOption = "dense",
    storage: StorageOption = None,
) -> None:
    """Import; makes the library if there is none."""
    from earprint.library import Library
    from earprint.store.portable import PortableFile

    PortableFile(Path(file))  # before a library is made that nothing would go into
    folder = library_path(ctx, library)
    with Library(folder, model=model, storage=storage_name(storage), on_wait=waiting) as opened:
        _show(opened.import_file(file), as_json)


def merge(
    ctx: typer.Context,
    other: Annotated[str, typer.Argument(metavar="DIR", help=upkeep_messages.MERGE_ARGUMENT)],
    as_json: JsonOption = False,
    library: LibraryOption = None,
    model: ModelOption = "dense",
    storage: StorageOption = None,
) -> None:
    """Merge; makes the library if there is none."""
    from earprint.library import Library

    with Library(other, create=False):  # before a library is made that nothing would go into
        pass
    folder = library_path(ctx, library)
    with Library(folder, model=model, storage=storage_name(storage), on_wait=waiting) as opened:
        _show(opened.merge(other), as_json)


def _show(report: "ImportReport", as_json: bool) -> None:
    if as_json:
        output.print_json(report.to_dict())
        return
    typer.echo(upkeep_messages.imported(len(report.added), report.skipped))
