"""``earprint data``: describe a published data set, check a copy of it, and write its train/test split."""

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from earprint.cli import output

if TYPE_CHECKING:
    from collections.abc import Callable

    from earprint.datasets.recipe import Recipe
    from earprint.datasets.survey import Survey

HELP = """\
Check a published data set and split it into training and test data.

SET is fma, openslr28, etsi or air (the paper's), musan, mit-ir or nafp; "list" shows all of them. Nothing is
downloaded. Without a FOLDER, the command shows where to get the set, its size, its licence and its layout
on disk.

With a FOLDER, the files are compared with the published names and counts. One line is printed for each
file that is missing, corrupt or unexpected, then a summary. With --out, the split is written: folders
music, noise and rir with links (or converted files, for several channels or other sample rates), and lists of
them. Training and test data share no artist, recording or room. Run the command again to resume.

\b
Examples:
  earprint data fma
  earprint data fma /data/fma --check --archives /data/zips
  earprint data fma /data/fma --out corpus
  earprint data openslr28 /data/openslr28 --out corpus
  earprint train pack store --music corpus/music/train --noise corpus/noise/train --rooms corpus/rir/train

\b
Exit code: 0 complete, 1 files are missing or corrupt, 2 error.
"""


def data(
    name: Annotated[str, typer.Argument(metavar="SET", help="Name of the set, or list.")],
    folder: Annotated[
        Path | None, typer.Argument(metavar="[FOLDER]", help="Folder that the set was unpacked in.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Write the split to this folder.")] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Read all files, which may take hours: compare checksums, or else read headers."
        ),
    ] = False,
    archives: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Compare the checksums of the archives in this folder.")
    ] = None,
) -> None:
    """Describe, check or split a set."""
    from earprint.datasets.sets import RECIPES

    if name == "list":
        lines = [
            (r.name, r.title, ", ".join(a.size for a in r.archives) or "unknown", r.licence, r.source)
            for r in RECIPES.values()
        ]
        output.print_table(("set", "title", "size", "licence", "from"), lines)
        return
    if name not in RECIPES:
        known = ", ".join(RECIPES)
        raise typer.BadParameter(f"{name!r} is not one of {known}, list", param_hint="'SET'")
    recipe = RECIPES[name]
    if folder is None:
        if out is not None or check or archives is not None:
            raise typer.BadParameter("give the folder that the set was unpacked in", param_hint="'FOLDER'")
        _describe(recipe)
        return
    _check_and_split(recipe, folder, out, check, archives)


def _describe(recipe: "Recipe") -> None:
    typer.echo(f"{recipe.title}\nfrom: {recipe.source}\nlicence: {recipe.licence}")
    for archive in recipe.archives:
        digest = f", {archive.algorithm} {archive.digest}" if archive.digest else ""
        typer.echo(f"archive: {archive.name}, {archive.size}{digest}")
    typer.echo(f"layout:\n{recipe.layout}")


def _check_and_split(
    recipe: "Recipe", folder: Path, out: Path | None, check: bool, archives: Path | None
) -> None:
    from earprint.datasets.split_writer import write_split
    from earprint.datasets.survey import survey

    with ExitStack() as stack:
        found = survey(recipe, folder, deep=check, archives=archives, on_file=_progress(stack, "checking"))
    _report(found)
    faults: list[str] = []
    if out is not None:
        with ExitStack() as stack:
            counts, notes, faults = write_split(recipe, found, out, on_file=_progress(stack, "writing"))
        for fault in faults:
            _say(f"corrupt: {fault}")
        for written in sorted(counts):
            _say(f"{out / written}: {counts[written]:,} files")
        for note in notes:
            _say(f"note: {note}")
    if faults or not found.complete:
        raise typer.Exit(1)


def _report(found: "Survey") -> None:
    for finding in found.findings:
        for kind in ("missing", "corrupt", "unexpected"):
            for line in getattr(finding, kind):
                _say(f"{kind}: {line}")
    for finding in found.findings:
        of = f" of {finding.expected:,}" if finding.expected is not None else ""
        _say(
            f"{finding.name}: {len(finding.found):,}{of} present, {finding.n_missing:,} missing, "
            f"{len(finding.corrupt):,} corrupt, {len(finding.unexpected):,} unexpected"
        )
    _say("complete" if found.complete else "not complete")


def _say(line: str) -> None:
    typer.echo(output.one_line(line))


def _progress(stack: ExitStack, what: str) -> "Callable[[str], None]":
    """Show the current file on a terminal, and nothing elsewhere."""
    from rich.console import Console

    console = Console(stderr=True)
    if not output.is_terminal(sys.stderr):
        return lambda _path: None
    status = stack.enter_context(console.status(what))
    return lambda path: status.update(f"{what} {path}", spinner="dots")
