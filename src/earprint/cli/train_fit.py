"""``earprint train fit``: train a network."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from earprint.errors import TrainingError

HELP = """\
Train a network, with checkpoints; give the same command again to resume.

Settings come from the defaults of the network, then from the TOML file of --config, then from the options;
the last one counts. `earprint train config` prints all settings with their defaults and explanations, the
distortions of queries included. A file may hold only the lines that differ, such as:

\b
  max_minutes = 240
  lengths_s = [1.0, 2.0, 5.0]
  [augmentation.noise]
  snr_db = [-6.0, 20.0]
  [augmentation.clipping]
  probability = 0.0

The folder RUN gets config.toml (the complete settings), checkpoint.pt (every 3 minutes and at the end),
log.csv, validation.jsonl and curves.png (with matplotlib). A finished run also has weights.pt and run.json,
which are all that `export` needs. An interrupted run (Ctrl-C, a crash) resumes from its checkpoint when the
same command is given again: batches, learning rates and losses are those of an uninterrupted run. The
learning rate falls to zero at the limit of minutes or steps, so set the limit before you start. A larger
limit on a finished run raises the learning rate again.

The line of progress shows the loss, segments per second (pairs of 960 ms windows that the loss compares),
and the share of the time in which the network waited for a batch.

\b
Examples:
  earprint train fit store runs/mine --max-minutes 90
  earprint train fit store runs/mine --config run.toml --seed 2
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
    context: typer.Context,
    store: Annotated[Path, typer.Argument(metavar="STORE", help="Made by `earprint train pack`.")],
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="Folder of the run; an interrupted one is resumed.")
    ],
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="TOML file of settings; options given here override it."),
    ] = None,
    network: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Name of a network; `earprint train networks` describes all of them.",
        ),
    ] = "dense",
    dim: Annotated[int, typer.Option(metavar="N", min=1, help="Components of a fingerprint.")] = 128,
    max_minutes: Annotated[
        float | None,
        typer.Option(
            metavar="MINUTES",
            min=0.0,
            help="Training time of all resumed runs together, and the length of the schedule.  "
            "[default: 90, or none with --max-steps]",
        ),
    ] = None,
    max_steps: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Number of steps; with --max-minutes the nearer limit counts."),
    ] = None,
    audio_per_step: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            min=0.1,
            help="Distorted audio per step: the batch size, independent of the length of the clips. Each "
            "clip is compared with all others of its batch, so more is better and slower.",
        ),
    ] = 120.0,
    chunk: Annotated[
        int,
        typer.Option(
            metavar="CLIPS",
            min=0,
            help="Clips that pass through the network at a time; 0 is all. For batches that do not fit into "
            "memory: the gradient is that of the whole batch, but each clip is computed twice.",
        ),
    ] = 0,
    clips_per_track: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            help="Clips of the same track in a batch, at distinct positions: hard negatives of each other, "
            "which improves the position within a track.",
        ),
    ] = 1,
    loss: Annotated[
        LossName,
        typer.Option(
            help="nt-xent: cross-entropy over all clips of the batch (that of the paper). triplet: one "
            "semi-hard negative for each clip."
        ),
    ] = LossName.nt_xent,
    negatives: Annotated[
        Negatives | None,
        typer.Option(
            help="Of nt-xent: the negatives of clean anchors. all: every other row (as in the paper and "
            "SimCLR). cross: the distorted rows alone.  [default: cross for dense networks, else all]",
        ),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(
            metavar="T",
            min=1e-3,
            help="Of nt-xent; lower gives the hardest negatives more weight.  "
            "[default: 0.05 for dense networks, else 0.1]",
        ),
    ] = None,
    margin: Annotated[
        float,
        typer.Option(
            metavar="M",
            min=0.0,
            help="Of triplet: difference of squared distances to the negative and to the positive.",
        ),
    ] = 0.5,
    subquantizers: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            help="Product-quantise references with N subquantizers (bytes) before the loss compares them, as "
            "compact libraries do; 0 is without quantisation.",
        ),
    ] = 0,
    memory_bank: Annotated[
        int,
        typer.Option(
            metavar="ROWS",
            min=0,
            help="Size of the memory bank: reference rows of earlier steps that are additional negatives; "
            "0 is none.",
        ),
    ] = 0,
    alignment_weight: Annotated[
        float,
        typer.Option(
            metavar="WEIGHT",
            min=0.0,
            help="For dense networks: weight of a second loss, which compares whole queries with whole "
            "alignments as matching does.",
        ),
    ] = 0.0,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            metavar="RATE",
            min=0.0,
            help="Highest learning rate of the schedule (AdamW).  "
            "[default: 0.002 for dense networks, else 0.0005]",
        ),
    ] = None,
    start_from: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="weights.pt of an earlier run; a new run starts from it."),
    ] = None,
    validation_queries: Annotated[
        int, typer.Option(metavar="N", min=1, help="Held-out queries of each condition in a validation.")
    ] = 128,
    device: Annotated[
        str, typer.Option(metavar="NAME", help="cpu, cuda or cuda:N; auto is cuda if there is one.")
    ] = "auto",
    threads: Annotated[int, typer.Option(metavar="N", min=0, help="CPU threads; 0 is all.")] = 0,
    tensorboard: Annotated[
        bool,
        typer.Option(
            "--tensorboard", help="Also log for TensorBoard, in RUN/tensorboard (needs tensorboard)."
        ),
    ] = False,
    seed: Annotated[
        int,
        typer.Option(metavar="N", min=0, help="Seed of the first weights and of everything random."),
    ] = 1,
) -> None:
    """Train a network. An interrupted run writes a checkpoint and exits with code 130."""
    require_torch()
    from earprint.training.config_file import load_config
    from earprint.training.devices import pick_device
    from earprint.training.trainer import Trainer

    values: dict[str, Any] = {
        "network": network, "dim": dim, "max_minutes": max_minutes, "max_steps": max_steps,
        "audio_per_step_s": audio_per_step, "chunk": chunk, "clips_per_track": clips_per_track,
        "loss": loss.value, "negatives": negatives and negatives.value, "temperature": temperature,
        "margin": margin, "n_subquantizers": subquantizers, "memory_bank_size": memory_bank,
        "alignment_weight": alignment_weight, "learning_rate": learning_rate,
        "validation_queries": validation_queries, "threads": threads, "seed": seed,
    }  # fmt: skip
    options = {name: value for name, value in values.items() if _is_given(context, name)}
    if max_steps is not None and max_minutes is None:
        options["max_minutes"] = None
    settings = load_config(config, options)
    with _errors_named():
        trainer = Trainer(
            store, run, settings, pick_device(device), typer.echo, start_from, tensorboard=tensorboard
        )
        with _stopped_by_signals(trainer.stop):
            finished = trainer.train()
    if not finished:
        raise typer.Exit(130)


OPTIONS: Final = {
    "audio_per_step_s": "audio_per_step",
    "n_subquantizers": "subquantizers",
    "memory_bank_size": "memory_bank",
}
"""Parameters of `fit` whose name is not that of the setting, by setting."""


def _is_given(context: typer.Context, setting: str) -> bool:
    """Whether the option of a setting stands on the command line."""
    source = context.get_parameter_source(OPTIONS.get(setting, setting))
    return source is not None and source.name != "DEFAULT"


@contextmanager
def _stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the run after the current step; a second Ctrl-C ends it at once."""

    def handler(number: int, frame: object) -> None:
        stop()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    kept = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, previous in kept.items():
            signal.signal(number, previous)


@contextmanager
def _errors_named() -> Iterator[None]:
    """Raise a TrainingError if memory cannot be allocated, or a file of the run cannot be read or written."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # torch has a class of its own for this on CUDA, but not on the CPU.
        texts = "out of memory", "can't allocate memory"
        if not isinstance(error, MemoryError) and not any(text in str(error) for text in texts):
            raise
        raise TrainingError(
            "out of memory; lower audio_per_step_s, memory_bank_size or validation_queries, or set chunk"
        ) from error
    except OSError as error:
        if error.filename is None:
            raise  # of stdout or stderr
        raise TrainingError(f"{error.filename}: cannot be read or written: {error.strerror}") from error


def require_torch() -> None:
    """Raise a TrainingError that names the package to install if torch is missing."""
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise TrainingError("training needs torch; `pip install 'earprint[train]'`") from error
