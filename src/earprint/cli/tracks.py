"""``earprint list``, ``remove`` and ``info``: the recordings of the library."""

from typing import TYPE_CHECKING, Annotated

import typer

from earprint.cli import messages, output
from earprint.cli.options import JsonOption, LibraryOption, library_path, print_waiting
from earprint.cli.output import track_name
from earprint.errors import LibraryError, LibraryLockedError

if TYPE_CHECKING:
    from earprint.library import Library, Track


def list_tracks(ctx: typer.Context, as_json: JsonOption = False, library: LibraryOption = None) -> None:
    """List the recordings in the order of their ids."""
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
            track_name(track),
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
    """Remove recordings by id, path or title; exit code 2 if one is unknown."""
    from earprint.library import Library

    unknown = 0
    with Library(library_path(ctx, library), create=False, on_wait=print_waiting) as opened:
        for selector in selectors:
            try:
                removed = _remove(opened, selector)
            except LibraryLockedError:
                raise  # the other selectors would wait as long
            except LibraryError as error:
                unknown += 1
                typer.echo(messages.error(output.one_line(error)), err=True)
                continue
            for track in removed:
                typer.echo(messages.removed(track_name(track), track.id))
    if unknown:
        raise typer.Exit(2)


def _remove(library: "Library", selector: str) -> "list[Track]":
    """Remove the tracks that a selector names, or else those that `list_tracks` shows under that text."""
    try:
        return library.remove(selector)
    except LibraryLockedError:
        raise
    except LibraryError:
        shown = [
            track.id
            for track in library.tracks()
            if selector
            in (output.one_line(track.title), track_name(track), output.one_line(track.path or ""))
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
