"""``earprint train``: draw curves, export models, write what was held out; other verbs have their modules."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from earprint.cli.train_calls import HELP as CALLS_HELP
from earprint.cli.train_calls import calls
from earprint.cli.train_codebook import HELP as CODEBOOK_HELP
from earprint.cli.train_codebook import codebook
from earprint.cli.train_fit import HELP as FIT_HELP
from earprint.cli.train_fit import fit, require_torch
from earprint.cli.train_pack import HELP as PACK_HELP
from earprint.cli.train_pack import pack

HELP = """\
Train an encoder on your own music, noises and rooms (needs `pip install 'earprint[train]'`).

\b
  earprint train pack store --music songs/ --noise noises/ --rooms rooms/
  earprint train calls store --count 20000
  earprint train fit store runs/mine --max-minutes 90
  earprint train curves runs/mine --out mine.png
  earprint train held-out store held-out
  earprint train export runs/mine mine.onnx --name mine
  earprint train codebook mine.onnx store
"""

EXPORT_HELP = """\
Write a run's averaged weights as a model that `--model out.onnx` takes.

Of a run of dense-query, OUT is the model whose fingerprints it learned to find: beside mine.onnx come
mine.query.onnx and mine.query.json, and queries go through them from then on. Libraries stay as they are.
Of a run of dense-pair come all four files.

\b
Examples:
  earprint train export runs/mine mine.onnx --name mine --threshold 1=0.7 --threshold 5=0.5
  earprint train export runs/query mine.onnx
"""

CURVES_HELP = """\
Draw the losses, validations and learning rates of runs over each other (needs matplotlib).

\b
Example:
  earprint train curves runs/attention runs/plain --out compared.png
"""

HELD_OUT_HELP = """\
Write what training held out as WAV files, to choose thresholds with `earprint evaluate`.

Makes OUT/references, OUT/absent (every second source of music), OUT/noise and OUT/rir. The music that was
packed holds the same recordings: as --distractors of an evaluation take other music.

\b
Example:
  earprint train held-out store held-out
"""

train_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
train_app.command("pack", help=PACK_HELP)(pack)
train_app.command("fit", help=FIT_HELP)(fit)
train_app.command("calls", help=CALLS_HELP)(calls)
train_app.command("codebook", help=CODEBOOK_HELP)(codebook)


class Over(StrEnum):
    """What curves are drawn over."""

    step = "step"
    minutes = "minutes"


@train_app.command("curves", help=CURVES_HELP)
def curves(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs, going on or done.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Picture to write; .png, .svg or .pdf.")],
    over: Annotated[Over, typer.Option(help="What they are drawn over.")] = Over.step,
) -> None:
    """Draw runs over each other."""
    from earprint.training.curves import draw_curves

    draw_curves(runs, out, over.value)
    typer.echo(f"{out}: {len(runs)} runs")


@train_app.command("export", help=EXPORT_HELP)
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="The .onnx file to write; its .json comes beside it.")
    ],
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The model's name, which libraries remember.  [default: dense, or for a run for queries "
            "that of the model it finds]",
        ),
    ] = None,
    threshold: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SECONDS=SCORE",
            help="Score from which a query of that length is a match; repeat for several lengths. "
            "`earprint evaluate --absent` suggests them.",
        ),
    ] = None,
    int8: Annotated[
        Path | None,
        typer.Option(
            metavar="STORE",
            help="Quantise convolutions to 8 bits, calibrated on the training part of this store: a quarter "
            "of the size, and faster on most processors.",
        ),
    ] = None,
    reference_steps: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="For dense: references keep, and compute, every Nth row of 40 ms only; queries keep all.",
        ),
    ] = None,
) -> None:
    """Write a run's averaged weights as a model."""
    require_torch()
    from earprint.training.export_run import export_run

    reports = export_run(run, out, name, threshold or [], int8_store=int8, reference_steps=reference_steps)
    for report in reports:
        typer.echo(
            f"{report.path}: {report.path.stat().st_size / 1e6:.2f} MB; onnxruntime differs from torch by "
            f"{report.difference:.1e}, rounding leaves cosines of {report.rounding_cosine:.7f} and more, "
            f"{report.mean_cosine:.7f} on average"
        )


@train_app.command("held-out", help=HELD_OUT_HELP)
def held_out(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="Made by `earprint train pack`.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to make.")],
    percent: Annotated[
        int,
        typer.Option(metavar="PERCENT", min=0, max=100, help="Share of sources held out, as in training."),
    ] = 8,
) -> None:
    """Write what training held out as files."""
    from earprint.training.held_out import write_held_out

    for kind, count in write_held_out(store, out, percent).items():
        typer.echo(f"{out / kind}: {count} files")
