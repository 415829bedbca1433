"""``earprint list``, ``remove`` and ``info``: the recordings of the library."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from earprint.cli import messages, output
from earprint.cli.options import JsonOption, LibraryOption, library_path, print_waiting
from earprint.cli.output import track_name
from earprint.errors import LibraryError, LibraryLockedError

if TYPE_CHECKING:
    from earprint.library import Track


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
    """Remove recordings by id, path or title: all of them, or none (exit code 2) if one is unknown."""
    from earprint.library import Library

    with Library(library_path(ctx, library), create=False, on_wait=print_waiting) as opened:
        try:
            removed = opened.remove(*selectors)
        except LibraryLockedError:
            raise
        except LibraryError:
            removed = opened.remove(*_as_listed(opened.tracks(), selectors))
    for track in removed:
        typer.echo(messages.removed(track_name(track), track.id))


def _as_listed(tracks: "list[Track]", selectors: list[str]) -> list[str | int]:
    """Replace selectors that name no track by the ids of those that `list_tracks` shows under that text."""
    found: list[str | int] = []
    for selector in selectors:
        path = str(Path(selector).absolute())
        known = any(selector in (str(t.id), t.title, t.path) or path == t.path for t in tracks)
        shown = [
            track.id
            for track in tracks
            if selector
            in (output.one_line(track.title), track_name(track), output.one_line(track.path or ""))
        ]
        found += [selector] if known or not shown else shown
    return found


def info(ctx: typer.Context, as_json: JsonOption = False, library: LibraryOption = None) -> None:
    """Describe the library."""
    from earprint.library import Library

    with Library(library_path(ctx, library), create=False) as opened:
        described = opened.info().to_dict()
    if as_json:
        output.print_json(described)
        return
    output.print_table(("", ""), output.described(described))
