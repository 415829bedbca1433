"""``earprint train fit``: train a network."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from earprint.errors import TrainingError

if TYPE_CHECKING:
    import torch

HELP = """\
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
  earprint train fit store runs/query --network dense-query --start-from runs/mine/weights.pt
  earprint train fit store runs/paper --network attention --audio-per-step 640 --chunk 64 --device cuda
"""


class LossName(StrEnum):
    """The losses by name; see `earprint.training.losses`."""

    nt_xent = "nt-xent"
    triplet = "triplet"


class Negatives(StrEnum):
    """The negatives of clean anchors; see `earprint.training.losses`."""

    all = "all"
    cross = "cross"


def fit(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="Made by `earprint train pack`.")],
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="Folder of the run; an interrupted one is resumed.")
    ],
    network: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="dense: fully convolutional, one pass over a track, the default model's. dense-attention: "
            "the same with attention over bands and steps. dense-distilled: dense, distilled from the query "
            "network of the pair in --start-from. dense-query: a larger query network, which learns to match the "
            "fingerprints of the dense network in --start-from. dense-pair: both of them, learning together. "
            "attention: the paper's. plain: the same without attention. nafp: the paper's baseline (Chang et "
            "al. 2021).",
        ),
    ] = "dense",
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
    negatives: Annotated[
        Negatives | None,
        typer.Option(
            help="Of nt-xent, the negatives of clean anchors. all: every other row (the paper's, and SimCLR's). "
            "cross: the distorted rows alone.  [default: cross for dense networks, else all]",
        ),
    ] = None,
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
    subquantizers: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            help="Pass references through product quantisation with so many subquantizers (bytes), so that the "
            "network learns what compact libraries keep; 0 compares exact references.",
        ),
    ] = 0,
    memory_bank: Annotated[
        int,
        typer.Option(
            metavar="ROWS",
            min=0,
            help="Cross-batch memory: so many reference rows of earlier steps are extra negatives; 0: none.",
        ),
    ] = 0,
    alignment_weight: Annotated[
        float,
        typer.Option(
            metavar="WEIGHT",
            min=0.0,
            help="For dense networks: weight of a second loss that aligns whole queries, as matching does.",
        ),
    ] = 0.0,
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
    from earprint.training.config import default_config
    from earprint.training.trainer import Trainer

    options: dict[str, Any] = {
        "dim": dim, "max_steps": max_steps, "audio_per_step_s": audio_per_step, "chunk": chunk,
        "clips_per_track": clips_per_track, "loss": loss.value, "margin": margin, "threads": threads,
        "seed": seed, "validation_queries": validation_queries, "n_subquantizers": subquantizers,
        "memory_bank_size": memory_bank, "alignment_weight": alignment_weight,
    }  # fmt: skip
    if max_minutes is not None or max_steps is not None:
        options["max_minutes"] = max_minutes
    if learning_rate is not None:
        options["learning_rate"] = learning_rate
    if temperature is not None:
        options["temperature"] = temperature
    if negatives is not None:
        options["negatives"] = negatives.value
    config = default_config(network, **options)
    trainer = Trainer(
        store, run, config, pick_device(device), typer.echo, start_from, tensorboard=tensorboard
    )
    with _stopped_by_signals(trainer.stop):
        finished = trainer.train()
    if not finished:
        raise typer.Exit(130)


@contextmanager
def _stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
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
