"""``earprint train calls``: training queries as a telephone call brings them, rendered into a store."""

from pathlib import Path
from typing import Annotated

import typer

from earprint.constants import SAMPLE_RATE

HELP = """\
Render calls into a store: queries as a telephone or a voice message brings them.

A call is an excerpt of the store's music after a room, noise, a device, a telephone's band and, last, a
low-rate codec (Opus, AMR or MP3), which cannot be had while training. Training hears calls now and then in
place of what it distorts itself. Only the part of the store that is trained on is used, so the share held out
must be that of the training. 1,000 calls of 3.6 s take 115 MB. Running it again makes the calls anew.

\b
Example:
  earprint train calls store --count 20000
"""


def calls(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="Made by `earprint train pack`.")],
    count: Annotated[int, typer.Option(metavar="N", min=1, help="Calls to render.")] = 20_000,
    seconds: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", min=1.0, max=60.0, help="Length of a call; training cuts its queries from it."
        ),
    ] = 3.6,
    validation_percent: Annotated[
        int,
        typer.Option(metavar="PERCENT", min=0, max=99, help="Share of sources held out, as in training."),
    ] = 8,
    jobs: Annotated[
        int,
        typer.Option(metavar="N", min=0, help="Processes; 0 for one per core. The calls are the same."),
    ] = 0,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Of all that is drawn at random.")] = 1,
) -> None:
    """Render calls into a store."""
    from earprint.cli.train_pack import Progress
    from earprint.training.codec_queries_packing import make_calls
    from earprint.training.store import calls_by_recording

    with Progress() as progress:
        progress.start("calls", count)
        written = make_calls(
            store, count, seconds, validation_percent, seed=seed, jobs=jobs, on_calls=progress.advance
        )
    hours = sum(item.length for item in written.pack.items) / SAMPLE_RATE / 3600
    codecs = ", ".join(
        f"{number:,} {codec or 'without a codec'}" for codec, number in written.codecs.most_common()
    )
    recordings = len(calls_by_recording(written.pack))
    typer.echo(f"calls: {count:,} of {recordings:,} recordings, {hours:.2f} h: {codecs}")
