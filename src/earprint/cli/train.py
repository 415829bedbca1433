"""``earprint train``: networks, curves, export and held-out. Other modules have its other commands."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from earprint.cli import output
from earprint.cli.train_codebook import HELP as CODEBOOK_HELP
from earprint.cli.train_codebook import codebook
from earprint.cli.train_codec_queries import HELP as CODEC_QUERIES_HELP
from earprint.cli.train_codec_queries import codec_queries
from earprint.cli.train_config import HELP as CONFIG_HELP
from earprint.cli.train_config import config
from earprint.cli.train_fit import HELP as FIT_HELP
from earprint.cli.train_fit import fit, require_torch
from earprint.cli.train_pack import HELP as PACK_HELP
from earprint.cli.train_pack import pack

HELP = """\
Train an encoder on your own music, noises and rooms (needs `pip install 'earprint[train]'`).

\b
  earprint train pack store --music songs/ --noise noises/ --rooms rooms/
  earprint train codec-queries store --count 20000
  earprint train config > run.toml
  earprint train fit store runs/mine --config run.toml --max-minutes 90
  earprint train curves runs/mine --out mine.png
  earprint train held-out store held-out
  earprint train export runs/mine mine.onnx --name mine
  earprint train codebook mine.onnx store
"""

EXPORT_HELP = """\
Write a run's averaged weights as a model that `--model out.onnx` takes.

Besides OUT, its description is written as OUT.json (which earprint reads) and as a model card for people,
OUT.md, with the complete configuration of the run.

Of a run of dense-query, OUT is the model whose fingerprints its queries find: mine.query.onnx,
mine.query.json and mine.query.md are written beside mine.onnx, and queries use them from then on. Libraries
stay as they are.
A run of dense-pair gives both models.

\b
Examples:
  earprint train export runs/mine mine.onnx --name mine --threshold 1=0.7 --threshold 5=0.5
  earprint train export runs/query mine.onnx
"""

CURVES_HELP = """\
Draw the losses, validations and learning rates of several runs into one picture (needs matplotlib).

\b
Example:
  earprint train curves runs/attention runs/plain --out compared.png
"""

NETWORKS_HELP = """\
List the networks that `earprint train fit --network` trains, with a description of each.

\b
Example:
  earprint train networks
"""

HELD_OUT_HELP = """\
Write the held-out part of a store as WAV files, to choose thresholds with `earprint evaluate`.

Makes OUT/references, OUT/absent (every second source of music), OUT/noise, OUT/rir (rooms) and OUT/device
(devices) with 32-bit float samples. The packed music holds the same recordings, so take other music for
--distractors of an evaluation.

\b
Example:
  earprint train held-out store held-out
"""

train_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
train_app.command("pack", help=PACK_HELP, short_help="Decode audio once into a store for training.")(pack)
train_app.command("fit", help=FIT_HELP, short_help="Train a network, or resume an interrupted run.")(fit)
train_app.command(
    "codec-queries", help=CODEC_QUERIES_HELP, short_help="Render queries as a phone call transmits them."
)(codec_queries)
train_app.command("calls", help=CODEC_QUERIES_HELP, hidden=True)(codec_queries)  # its old name
train_app.command("config", help=CONFIG_HELP, short_help="Print the default configuration as TOML.")(config)
train_app.command("codebook", help=CODEBOOK_HELP, short_help="Learn the codebook of a model.")(codebook)


@train_app.command("networks", help=NETWORKS_HELP, short_help="List the networks that can be trained.")
def networks() -> None:
    """List the registered networks, each with a description."""
    require_torch()
    from earprint.training.networks import NETWORKS

    output.print_table(("network", "description"), [(name, spec.summary) for name, spec in NETWORKS.items()])


class Over(StrEnum):
    """Horizontal axis of the curves."""

    step = "step"
    minutes = "minutes"


@train_app.command("curves", help=CURVES_HELP, short_help="Draw losses and validations of several runs.")
def curves(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Folders of runs, running or finished.")
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Picture to write; .png, .svg or .pdf.")],
    over: Annotated[Over, typer.Option(help="Horizontal axis.")] = Over.step,
) -> None:
    """Draw the curves of runs into one picture."""
    from earprint.training.curves import draw_curves

    draw_curves(runs, out, over.value)
    typer.echo(f"{out}: {len(runs)} runs")


@train_app.command("export", help=EXPORT_HELP, short_help="Write a run as a model for `--model`.")
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The .onnx file to write.")],
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The model's name, which libraries store.  "
            "[default: dense; for dense-query the name of OUT]",
        ),
    ] = None,
    threshold: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SECONDS=SCORE",
            help="Lowest score of a match for queries of this length; can be given several times. "
            "`earprint evaluate --absent` suggests values.",
        ),
    ] = None,
    int8: Annotated[
        Path | None,
        typer.Option(
            metavar="STORE",
            help="Quantise convolutions to 8 bits, calibrated on the training part of this store. The model "
            "has a quarter of the size and is faster on most processors.",
        ),
    ] = None,
    reference_steps: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="For dense: references keep (and compute) every Nth row of 40 ms; queries keep all rows.",
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


@train_app.command("held-out", help=HELD_OUT_HELP, short_help="Write the held-out audio as WAV files.")
def held_out(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="Made by `earprint train pack`.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to make.")],
    validation_percent: Annotated[
        int,
        typer.Option(
            "--validation-percent",
            "--percent",
            metavar="PERCENT",
            min=0,
            max=100,
            help="Percentage of sources held out, as in training.",
        ),
    ] = 8,
) -> None:
    """Write the held-out part of a store as files."""
    from earprint.training.held_out import write_held_out

    for kind, count in write_held_out(store, out, validation_percent).items():
        typer.echo(f"{out / kind}: {count} files")
