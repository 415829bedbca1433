"""``earprint list``, ``remove`` and ``info``: what the library holds."""

from typing import TYPE_CHECKING, Annotated

import typer

from earprint.cli import messages, output
from earprint.cli.options import JsonOption, LibraryOption, library_path
from earprint.errors import LibraryError, LibraryLockedError

if TYPE_CHECKING:
    from earprint.library import Library, Track


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

    def on_wait(line: str) -> None:
        typer.echo(output.one_line(messages.waiting(line)), err=True)

    unknown = 0
    with Library(library_path(ctx, library), create=False, on_wait=on_wait) as opened:
        for selector in selectors:
            try:
                removed = _remove(opened, selector)
            except LibraryLockedError:
                raise  # it would hold for the others too, after as long a wait
            except LibraryError as error:
                unknown += 1
                typer.echo(messages.error(output.one_line(error)), err=True)
                continue
            for track in removed:
                name = output.name_of(track.title, track.artist, track.path)
                typer.echo(messages.removed(name, track.id))
    if unknown:
        raise typer.Exit(2)


def _remove(library: "Library", selector: str) -> "list[Track]":
    """Remove what a selector names, or else what `list_tracks` shows under that text."""
    try:
        return library.remove(selector)
    except LibraryLockedError:
        raise
    except LibraryError:
        shown = [
            track.id
            for track in library.tracks()
            if selector
            in (
                output.one_line(track.title),
                output.name_of(track.title, track.artist, track.path),
                output.one_line(track.path or ""),
            )
        ]
        if not shown:
            raise
        return library.remove(*shown)


def info(ctx: typer.Context, as_json: JsonOption = False, library: LibraryOption = None) -> None:
    """Describe the library."""
    from earprint.library import Library

    with Library(library_path(ctx, library), create=False) as opened:
        described = opened.info().to_dict()
    if as_json:
        output.print_json(described)
        return
    output.print_table(("", ""), output.described(described))
