"""``earprint demo``: print the demonstration's queries as a table, and its summary."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from earprint.cli import messages, output
from earprint.cli.options import JsonOption

if TYPE_CHECKING:
    from earprint.demo.results import DemoQuery, DemoResult

COLUMNS = ("recording", "at", "length", "condition", "answer", "at", "score", "verdict", "time")


def demo(
    folder: Annotated[Path | None, typer.Argument(help=messages.FOLDER_ARGUMENT, show_default=False)] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help=messages.SEED_OPTION)] = 0,
    as_json: JsonOption = False,
) -> None:
    """Run the demonstration."""
    from rich.console import Console

    from earprint.demo import run_demo

    # Only on a terminal: elsewhere rich would print empty lines.
    if output.is_terminal(sys.stderr):
        with Console(stderr=True).status(messages.DEMO_STAGES["compose"]) as status:
            result = run_demo(
                folder,
                seed=seed,
                on_progress=lambda stage, done, total: status.update(
                    messages.demo_progress(stage, done, total)
                ),
            )
    else:
        result = run_demo(folder, seed=seed)
    if as_json:
        output.print_json(result.to_dict())
        return
    output.print_table(COLUMNS, [_cells(query) for query in result.queries])
    _print_summary(result)


def _cells(query: "DemoQuery") -> tuple[str, ...]:
    title = output.one_line(query.title)
    return (
        messages.not_added(title) if query.absent else title,
        output.position(query.start_s),
        f"{query.length_s:.0f} s",
        query.condition,
        messages.NO_MATCH if query.answer is None else output.one_line(query.answer),
        "" if query.answer_start_s is None else output.position(query.answer_start_s),
        "" if query.score is None else f"{query.score:.3f}",
        messages.verdict(
            right=query.correct,
            located=query.located,
            absent=query.absent,
            answered=query.answer is not None,
        ),
        f"{query.seconds * 1000:.0f} ms",
    )


def _print_summary(result: "DemoResult") -> None:
    from earprint.demo.results import LOCATED_S

    summary = result.summary
    for failed in summary.failed:
        typer.echo(messages.failed_file(output.one_line(failed)), err=True)
    for line in messages.demo_tally(
        recordings=summary.n_tracks,
        length=output.position(summary.audio_s),
        add_seconds=summary.add_seconds,
        rate=summary.times_real_time,
        present=summary.present,
        found=summary.found,
        located=summary.located,
        absent=summary.absent,
        refused=summary.rejected,
        answer_ms=summary.median_answer_s * 1000,
        left_out=summary.files_left_out,
        within_s=LOCATED_S,
    ):
        typer.echo(line)
