"""``earprint demo``: the demonstration, as a table and a tally."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from earprint.cli import messages, output
from earprint.cli.options import JsonOption

if TYPE_CHECKING:
    from earprint.demo.results import Demonstration, Row

COLUMNS = ("asked", "at", "length", "spoiled by", "answered", "at", "score", "verdict", "time")


def demo(
    folder: Annotated[Path | None, typer.Argument(help=messages.FOLDER_ARGUMENT, show_default=False)] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help=messages.SEED_OPTION)] = 0,
    as_json: JsonOption = False,
) -> None:
    """Run the demonstration."""
    from rich.console import Console

    from earprint.demo.run import demonstrate

    # Shown only on a terminal; rich leaves out animations elsewhere, but not the empty lines.
    if output.is_terminal(sys.stderr):
        with Console(stderr=True).status(messages.DEMO_STAGES["compose"]) as status:
            result = demonstrate(
                folder,
                seed=seed,
                on_progress=lambda stage, done, total: status.update(
                    messages.demo_progress(stage, done, total)
                ),
            )
    else:
        result = demonstrate(folder, seed=seed)
    if as_json:
        output.print_json(result.to_dict())
        return
    output.print_table(COLUMNS, [_cells(row) for row in result.rows])
    _print_tally(result)


def _cells(row: "Row") -> tuple[str, ...]:
    asked = output.one_line(row.asked)
    return (
        messages.not_added(asked) if row.absent else asked,
        output.position(row.asked_s),
        f"{row.length_s:.0f} s",
        row.condition,
        messages.NO_MATCH if row.answered is None else output.one_line(row.answered),
        "" if row.answered_s is None else output.position(row.answered_s),
        "" if row.score is None else f"{row.score:.3f}",
        messages.verdict(
            right=row.right,
            located=row.located,
            absent=row.absent,
            answered=row.answered is not None,
        ),
        f"{row.seconds * 1000:.0f} ms",
    )


def _print_tally(result: "Demonstration") -> None:
    from earprint.demo.results import LOCATED_S

    tally = result.tally
    for failed in tally.failed:
        typer.echo(messages.failed_file(output.one_line(failed)), err=True)
    length = output.position(tally.audio_s)
    for line in messages.demo_tally(
        recordings=tally.tracks,
        length=length,
        add_seconds=tally.add_seconds,
        rate=tally.times_real_time,
        present=tally.present,
        found=tally.found,
        located=tally.located,
        absent=tally.absent,
        refused=tally.refused,
        answer_ms=tally.median_answer_s * 1000,
        left_out=tally.files_left_out,
        within_s=LOCATED_S,
    ):
        typer.echo(line)
