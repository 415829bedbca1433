"""``earprint train codebook``: learn a model's codebook, or set its thresholds."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from earprint.cli.progress import progress_bar
from earprint.errors import TrainingError

HELP = """\
Learn a model's codebook, which compact libraries need.

With a codebook, a library stores SUBQUANTIZERS + 2 bytes for each fingerprint instead of two bytes for each
component. Short and noisy queries lose some accuracy. The codebook is learned from the training part of a
store, in some minutes, and is written beside the model as MODEL.codebook.npz. Libraries that were made with
another codebook need `earprint rebuild`.

Without STORE, only the thresholds of an existing codebook are set. Compact libraries have thresholds of their
own, since their scores differ a little; `earprint evaluate --storage compact --absent` suggests them.

\b
Examples:
  earprint train codebook mine.onnx store --subquantizers 24
  earprint train codebook mine.onnx --threshold 1=0.6 --threshold 5=0.42
"""


def codebook(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="The .onnx file.")],
    store: Annotated[
        Path | None, typer.Argument(metavar="STORE", help="Made by `earprint train pack`.")
    ] = None,
    subquantizers: Annotated[
        int, typer.Option(metavar="N", min=1, help="Bytes of a fingerprint, besides two for its list.")
    ] = 24,
    threshold: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SECONDS=SCORE",
            help="Least score of a match for queries of that length, in a compact library; repeat for "
            "several lengths [default: the model's].",
            show_default=False,
        ),
    ] = None,
    validation_percent: Annotated[
        int,
        typer.Option(
            "--validation-percent",
            "--percent",
            metavar="PERCENT",
            min=0,
            max=99,
            help="Percentage of sources held out, as in training.",
        ),
    ] = 8,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Seed of random numbers.")] = 1,
) -> None:
    """Learn a codebook, or set its thresholds."""
    from earprint.encoders.registry import find_model, load_encoder
    from earprint.quantization.codebook import read_codebook, write_codebook
    from earprint.training.codebook import fingerprint_pack, learn_codebook, measure_reconstruction
    from earprint.training.packed_audio import open_pack
    from earprint.training.thresholds import parse_thresholds

    name = str(model)
    file = find_model(name).codebook_path
    thresholds = {float(length): score for length, score in parse_thresholds(threshold or []).items()}
    if store is None:
        if not thresholds:
            raise TrainingError("nothing to do: name a store to learn from, or a --threshold to set")
        write_codebook(file, replace(read_codebook(file), thresholds=thresholds))
        typer.echo(f"{file}: thresholds set")
        return
    learned, held_out = open_pack(store, "music").split(validation_percent)
    encoder = load_encoder(name)
    total = len(learned.items) + len(held_out.items)
    with progress_bar() as progress:
        task = progress.add_task("fingerprinting", total=total, detail="")
        rows = fingerprint_pack(learned, encoder, lambda done: progress.update(task, completed=done))
        first = len(learned.items)
        others = fingerprint_pack(
            held_out, encoder, lambda done: progress.update(task, completed=first + done)
        )
        progress.update(task, description="learning", total=None)
        made = learn_codebook(rows, encoder.model_id, subquantizers, seed=seed)
    made = write_codebook(file, replace(made, thresholds=thresholds))
    measured = measure_reconstruction(made, others)
    typer.echo(
        f"{file}: {made.width} bytes per fingerprint, {file.stat().st_size / 1e6:.2f} MB; mean cosine of "
        f"{measured.rows:,} held-out fingerprints with their decoded codes: {measured.cosine:.3f}"
    )
