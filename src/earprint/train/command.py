"""``earprint train``: pack audio, train a network, export it. Needs the ``train`` extra."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from earprint.errors import TrainingError

if TYPE_CHECKING:
    import torch

HELP = "Train an encoder on your own music, noises and rooms (needs `pip install 'earprint[train]'`)."

train_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@train_app.command("pack")
def pack(
    store: Annotated[Path, typer.Argument(help="Folder to make.")],
    music: Annotated[list[Path], typer.Option(help="Folder of music.")],
    noise: Annotated[list[Path], typer.Option(help="Folder of noises, one subfolder per kind.")],
    rooms: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of impulse responses, in subfolders room and device."),
    ] = None,
    simulate: Annotated[int, typer.Option(help="Rooms to simulate besides.")] = 400,
    seed: Annotated[int, typer.Option(help="Random seed of the simulated rooms.")] = 1,
) -> None:
    """Decode audio once into a store that training reads.

    Example: earprint train pack store --music songs/ --noise noise/ --rooms rooms/
    """
    from earprint.train.rooms import simulate_rooms
    from earprint.train.store import Pack, pack_audio, pack_rooms

    def tell(path: Path, problem: str | None) -> None:
        if problem is not None:
            typer.echo(f"left out: {problem}", err=True)

    def count(kind: str, packed: Pack) -> None:
        hours = len(packed.samples) / 16_000 / 3600
        typer.echo(f"{kind}: {len(packed.items)} items, {hours:.2f} h")

    count("music", pack_audio(music, store, "music", on_file=tell))
    count("noise", pack_audio(noise, store, "noise", on_file=tell))
    simulated = simulate_rooms(simulate, seed) if simulate else ()
    count("rooms", pack_rooms(rooms or [], simulated, store, on_file=tell))


@train_app.command("fit")
def fit(
    store: Annotated[Path, typer.Argument(help="Made by `earprint train pack`.")],
    run: Annotated[Path, typer.Argument(help="Folder of the run; an interrupted one is resumed.")],
    network: Annotated[str, typer.Option(help="dense, attention, plain or nafp.")] = "dense",
    dim: Annotated[int, typer.Option(help="Components of a fingerprint.")] = 128,
    max_minutes: Annotated[float, typer.Option(help="Training time of all resumed runs together.")] = 90.0,
    max_steps: Annotated[int | None, typer.Option(help="Stop after so many steps.")] = None,
    audio_per_step: Annotated[
        float, typer.Option(help="Distorted audio per step, s: the batch size.")
    ] = 120.0,
    learning_rate: Annotated[float | None, typer.Option(help="Highest rate.")] = None,
    start_from: Annotated[
        Path | None, typer.Option(help="weights.pt of an earlier run, for a new run to begin with.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    threads: Annotated[int, typer.Option(help="CPU threads; 0 for all.")] = 0,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 1,
) -> None:
    """Train, with checkpoints; run it again to resume.

    Example: earprint train fit store runs/mine --max-minutes 90
    """
    require_torch()
    from earprint.train.loop import Trainer, default_config

    options: dict[str, Any] = {
        "dim": dim, "max_minutes": max_minutes, "max_steps": max_steps, "audio_per_step_s": audio_per_step,
        "threads": threads, "seed": seed,
    }  # fmt: skip
    if learning_rate is not None:
        options["learning_rate"] = learning_rate
    config = default_config(network, **options)
    Trainer(store, run, config, pick_device(device), typer.echo, start_from).train()


@train_app.command("export")
def export(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    out: Annotated[Path, typer.Argument(help="The .onnx file to write; its .json comes beside it.")],
    name: Annotated[str, typer.Option(help="The model's name.")] = "dense",
    threshold: Annotated[
        list[str] | None,
        typer.Option(help="SECONDS=SCORE of a match; repeat for several query lengths."),
    ] = None,
) -> None:
    """Write a run's averaged weights as a model that `--model out.onnx` takes.

    Example: earprint train export runs/mine mine.onnx --name mine --threshold 1=0.7 --threshold 5=0.5
    """
    require_torch()
    from earprint.train.card import export_run

    report = export_run(run, out, name, threshold or [])
    typer.echo(
        f"{out}: {out.stat().st_size / 1e6:.2f} MB; onnxruntime differs from torch by "
        f"{report.difference:.1e}, rounding the weights to half precision leaves cosines of "
        f"{report.rounding_cosine:.7f} and more"
    )


@train_app.command("held-out")
def held_out(
    store: Annotated[Path, typer.Argument(help="Made by `earprint train pack`.")],
    out: Annotated[Path, typer.Argument(help="Folder to make.")],
    percent: Annotated[int, typer.Option(help="Share held out, as in training.")] = 8,
) -> None:
    """Write what training held out as WAV files, to choose thresholds with `earprint evaluate`.

    Makes OUT/references, OUT/absent (every second source of music), OUT/noise and OUT/rir.
    """
    from earprint.train.held_out import write_held_out

    for kind, count in write_held_out(store, out, percent).items():
        typer.echo(f"{out / kind}: {count} files")


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
    return torch.device(name)
