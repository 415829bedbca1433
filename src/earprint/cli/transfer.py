"""``earprint export``, ``import`` and ``merge``: fingerprints out of a library and into another."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from earprint.cli import output, upkeep_messages
from earprint.cli.options import JsonOption, LibraryOption, library_path
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
) -> None:
    """Import; makes the library if there is none."""
    from earprint.library import Library
    from earprint.library.portable import PortableFile

    PortableFile(Path(file))  # before a library is made that nothing would go into
    with Library(library_path(ctx, library), create=True, on_wait=waiting) as opened:
        _show(opened.import_file(file), as_json)


def merge(
    ctx: typer.Context,
    other: Annotated[str, typer.Argument(metavar="DIR", help=upkeep_messages.MERGE_ARGUMENT)],
    as_json: JsonOption = False,
    library: LibraryOption = None,
) -> None:
    """Merge; the library must exist."""
    from earprint.library import Library

    with Library(library_path(ctx, library), create=False, on_wait=waiting) as opened:
        _show(opened.merge(other), as_json)


def _show(report: "ImportReport", as_json: bool) -> None:
    if as_json:
        output.print_json(report.to_dict())
        return
    typer.echo(upkeep_messages.imported(len(report.added), report.skipped))
