"""``earprint train``: pack audio, train a network, draw its curves, export it. Needs the ``train`` extra."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from earprint.errors import TrainingError
from earprint.train.calls_command import HELP as CALLS_HELP
from earprint.train.calls_command import calls
from earprint.train.codebook_command import HELP as CODEBOOK_HELP
from earprint.train.codebook_command import codebook
from earprint.train.pack_command import HELP as PACK_HELP
from earprint.train.pack_command import pack

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

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

FIT_HELP = """\
Train, with checkpoints; run it again to resume.

The folder RUN gets checkpoint.pt (every 3 minutes and at the end), config.json, log.csv, validation.jsonl,
curves.png (with matplotlib) and, at the end, weights.pt and run.json, which are all that `export` needs.
A run that was interrupted, by Ctrl-C or otherwise, goes on from its checkpoint when the same command is
given again, with the same batches, learning rates and losses as if nothing had been. The learning rate
falls to zero over the limit, of minutes or steps, so plan a run to its end: a larger limit, given later,
lifts the rate again.

The line of progress tells the loss, segments per second (pairs of 960 ms windows that the loss compares),
and the share of the time in which the network waited for a batch to be drawn, distorted and turned into
spectrograms.

\b
Examples:
  earprint train fit store runs/mine --max-minutes 90
  earprint train fit store runs/paper --network attention --audio-per-step 640 --chunk 64 --device cuda
"""

EXPORT_HELP = """\
Write a run's averaged weights as a model that `--model out.onnx` takes.

\b
Example:
  earprint train export runs/mine mine.onnx --name mine --threshold 1=0.7 --threshold 5=0.5
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
train_app.command("calls", help=CALLS_HELP)(calls)
train_app.command("codebook", help=CODEBOOK_HELP)(codebook)

StoreArgument = Annotated[Path, typer.Argument(metavar="STORE", help="Made by `earprint train pack`.")]


class Network(StrEnum):
    """The networks by name; see `earprint.train.networks`."""

    dense = "dense"
    dense_attention = "dense-attention"
    attention = "attention"
    plain = "plain"
    nafp = "nafp"


class LossName(StrEnum):
    """The losses by name; see `earprint.train.loss`."""

    nt_xent = "nt-xent"
    triplet = "triplet"


class Over(StrEnum):
    """What curves are drawn over."""

    step = "step"
    minutes = "minutes"


@train_app.command("fit", help=FIT_HELP)
def fit(
    store: StoreArgument,
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="Folder of the run; an interrupted one is resumed.")
    ],
    network: Annotated[
        Network,
        typer.Option(
            help="dense: fully convolutional, one pass over a track, the default model's. dense-attention: "
            "the same with attention over bands and steps. attention: the paper's. plain: the same without "
            "attention. nafp: the paper's baseline (Chang et al. 2021)."
        ),
    ] = Network.dense,
    dim: Annotated[int, typer.Option(metavar="N", min=1, help="Components of a fingerprint.")] = 128,
    max_minutes: Annotated[
        float | None,
        typer.Option(
            metavar="MINUTES",
            min=0.0,
            help="Training time of all resumed runs together, and the length of the schedule.  "
            "[default: 90, or no limit with --max-steps]",
        ),
    ] = None,
    max_steps: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Stop after so many steps; with --max-minutes the nearer limit counts."
        ),
    ] = None,
    audio_per_step: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            min=0.1,
            help="Distorted audio per step: the batch size, whatever the length of the clips. Each clip is "
            "contrasted with all others of its batch, so more is better and takes longer.",
        ),
    ] = 120.0,
    chunk: Annotated[
        int,
        typer.Option(
            metavar="CLIPS",
            min=0,
            help="Clips that pass through the network at a time, 0 for all. For batches that do not fit the "
            "memory: the gradient is the whole batch's, at the price of computing each clip twice.",
        ),
    ] = 0,
    clips_per_track: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            help="Clips of the same track in a batch, at distinct places: hard to tell apart, good for "
            "the place within a track.",
        ),
    ] = 1,
    loss: Annotated[
        LossName,
        typer.Option(
            help="nt-xent: contrast with all others of the batch (the paper's). triplet: pull to the right "
            "one and push from a semi-hard wrong one."
        ),
    ] = LossName.nt_xent,
    temperature: Annotated[
        float | None,
        typer.Option(
            metavar="T",
            min=1e-3,
            help="Of nt-xent; lower weighs the hardest wrong ones more.  "
            "[default: 0.05 for dense networks, else 0.1]",
        ),
    ] = None,
    margin: Annotated[
        float,
        typer.Option(
            metavar="M",
            min=0.0,
            help="Of triplet: how much farther, in squared distance, wrong ones are to be.",
        ),
    ] = 0.5,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            metavar="RATE",
            min=0.0,
            help="Highest of the schedule, of AdamW.  [default: 0.002 for dense networks, else 0.0005]",
        ),
    ] = None,
    start_from: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="weights.pt of an earlier run, for a new run to begin with."),
    ] = None,
    validation_queries: Annotated[
        int, typer.Option(metavar="N", min=1, help="Held-out queries of each condition in a validation.")
    ] = 128,
    device: Annotated[
        str, typer.Option(metavar="NAME", help="cpu, cuda or cuda:N; auto takes cuda if there is any.")
    ] = "auto",
    threads: Annotated[int, typer.Option(metavar="N", min=0, help="CPU threads; 0 for all.")] = 0,
    tensorboard: Annotated[
        bool,
        typer.Option(
            "--tensorboard", help="Log for TensorBoard too, in RUN/tensorboard (needs tensorboard)."
        ),
    ] = False,
    seed: Annotated[
        int,
        typer.Option(metavar="N", min=0, help="Of the first weights and of all that is drawn at random."),
    ] = 1,
) -> None:
    """Train; ends with exit code 130 if it was interrupted, after writing a checkpoint."""
    require_torch()
    from earprint.train.config import default_config
    from earprint.train.loop import Trainer

    options: dict[str, Any] = {
        "dim": dim, "max_steps": max_steps, "audio_per_step_s": audio_per_step, "chunk": chunk,
        "clips_per_track": clips_per_track, "loss": loss.value, "margin": margin, "threads": threads,
        "seed": seed, "validation_queries": validation_queries,
    }  # fmt: skip
    if max_minutes is not None or max_steps is not None:
        options["max_minutes"] = max_minutes
    if learning_rate is not None:
        options["learning_rate"] = learning_rate
    if temperature is not None:
        options["temperature"] = temperature
    config = default_config(network.value, **options)
    trainer = Trainer(
        store, run, config, pick_device(device), typer.echo, start_from, tensorboard=tensorboard
    )
    with _stopped_by_signals(trainer.stop):
        finished = trainer.train()
    if not finished:
        raise typer.Exit(130)


@train_app.command("curves", help=CURVES_HELP)
def curves(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs, going on or done.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Picture to write; .png, .svg or .pdf.")],
    over: Annotated[Over, typer.Option(help="What they are drawn over.")] = Over.step,
) -> None:
    """Draw runs over each other."""
    from earprint.train.curves import draw_curves

    draw_curves(runs, out, over.value)
    typer.echo(f"{out}: {len(runs)} runs")


@train_app.command("export", help=EXPORT_HELP)
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="The .onnx file to write; its .json comes beside it.")
    ],
    name: Annotated[
        str, typer.Option(metavar="NAME", help="The model's name, which libraries remember.")
    ] = "dense",
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
    from earprint.train.card import export_run

    report = export_run(run, out, name, threshold or [], int8_store=int8, reference_steps=reference_steps)
    typer.echo(
        f"{out}: {out.stat().st_size / 1e6:.2f} MB; onnxruntime differs from torch by "
        f"{report.difference:.1e}, rounding leaves cosines of {report.rounding_cosine:.7f} and more, "
        f"{report.mean_cosine:.7f} on average"
    )


@train_app.command("held-out", help=HELD_OUT_HELP)
def held_out(
    store: StoreArgument,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to make.")],
    percent: Annotated[
        int,
        typer.Option(metavar="PERCENT", min=0, max=100, help="Share of sources held out, as in training."),
    ] = 8,
) -> None:
    """Write what training held out as files."""
    from earprint.train.held_out import write_held_out

    for kind, count in write_held_out(store, out, percent).items():
        typer.echo(f"{out / kind}: {count} files")


@contextmanager
def _stopped_by_signals(stop: "Callable[[], None]") -> Iterator[None]:
    """Have Ctrl-C and SIGTERM end the run after the step it is in; a second Ctrl-C ends it at once."""

    def handler(number: int, frame: object) -> None:
        stop()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    kept = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, previous in kept.items():
            signal.signal(number, previous)


def require_torch() -> None:
    """Raise a TrainingError that says what to install if torch is missing."""
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise TrainingError("training needs torch; `pip install 'earprint[train]'`") from error


def pick_device(name: str) -> "torch.device":
    """The torch device of a name; ``auto`` is CUDA if there is any."""
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise TrainingError(f"{name}: no CUDA device here; use --device cpu")
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise TrainingError(f"{name}: no such device; use cpu, cuda or cuda:N") from error
