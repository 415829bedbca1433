"""``earprint list``, ``remove`` and ``info``: what the library holds."""

from typing import Annotated

import typer

from earprint.cli import messages, output
from earprint.cli.options import JsonOption, LibraryOption, library_path
from earprint.errors import LibraryError


def list_tracks(ctx: typer.Context, as_json: JsonOption = False, library: LibraryOption = None) -> None:
    """List the recordings, oldest first."""
    from earprint.library import Library

    with Library(library_path(ctx, library), create=False) as opened:
        tracks = opened.tracks()
    if as_json:
        output.print_json([track.to_dict() for track in tracks])
        return
    if not tracks:
        typer.echo(messages.EMPTY_LIBRARY, err=True)
        return
    rows = [
        (
            str(track.id),
            output.position(track.duration_s),
            output.name_of(track.title, track.artist, track.path),
            output.one_line(track.path or ""),
        )
        for track in tracks
    ]
    output.print_table(("id", "length", "recording", "path"), rows)


def remove(
    ctx: typer.Context,
    selectors: Annotated[list[str], typer.Argument(metavar="SELECTOR", help=messages.REMOVE_ARGUMENT)],
    library: LibraryOption = None,
) -> None:
    """Remove recordings by id, path or title; ends with exit code 2 if one is unknown."""
    from earprint.library import Library

    unknown = 0
    with Library(library_path(ctx, library), create=False) as opened:
        for selector in selectors:
            try:
                removed = opened.remove(selector)
            except LibraryError as error:
                unknown += 1
                typer.echo(messages.error(output.one_line(error)), err=True)
                continue
            for track in removed:
                name = output.name_of(track.title, track.artist, track.path)
                typer.echo(messages.removed(name, track.id))
    if unknown:
        raise typer.Exit(2)


def info(ctx: typer.Context, as_json: JsonOption = False, library: LibraryOption = None) -> None:
    """Describe the library."""
    from earprint.library import Library

    with Library(library_path(ctx, library), create=False) as opened:
        described = opened.info().to_dict()
    if as_json:
        output.print_json(described)
        return
    output.print_table(("", ""), output.described(described))
