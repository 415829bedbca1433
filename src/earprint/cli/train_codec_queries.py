"""``earprint train codec-queries``: queries as a phone call transmits them, rendered into a store."""

from pathlib import Path
from typing import Annotated

import typer

from earprint.constants import SAMPLE_RATE

HELP = """\
Render codec queries into a store: queries as a phone call or a voice message transmits them.

A codec query is an excerpt of the store's music after a room, noise, a device, a telephone's band and,
last, a low-rate codec (Opus, AMR or MP3). Codecs are too slow to run during training, so training takes some
of its queries from these. They are made from the training part of the store only, so give
--validation-percent the value of validation_percent in the run's configuration. 1,000 codec queries of 3.6 s
take 115 MB. Running it again replaces them.

\b
Example:
  earprint train codec-queries store --count 20000
"""


def codec_queries(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="Made by `earprint train pack`.")],
    count: Annotated[int, typer.Option(metavar="N", min=1, help="Codec queries to render.")] = 20_000,
    seconds: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", min=1.0, max=60.0, help="Length of each; training cuts its queries from it."
        ),
    ] = 3.6,
    validation_percent: Annotated[
        int,
        typer.Option(
            metavar="PERCENT", min=0, max=99, help="Percentage of sources held out, as in training."
        ),
    ] = 8,
    jobs: Annotated[
        int,
        typer.Option(
            metavar="N", min=0, help="Processes; 0 is one for each core. The result does not depend on it."
        ),
    ] = 0,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Seed of everything random.")] = 1,
) -> None:
    """Render codec queries into a store."""
    from earprint.cli.train_pack import Progress
    from earprint.training.codec_queries_packing import render_codec_queries
    from earprint.training.packed_audio import codec_queries_by_recording

    with Progress() as progress:
        progress.start("codec queries", count)
        rendered = render_codec_queries(
            store, count, seconds, validation_percent, seed=seed, jobs=jobs, on_queries=progress.advance
        )
    hours = sum(item.length for item in rendered.pack.items) / SAMPLE_RATE / 3600
    codecs = ", ".join(
        f"{number:,} {codec or 'without a codec'}" for codec, number in rendered.codecs.most_common()
    )
    recordings = len(codec_queries_by_recording(rendered.pack))
    typer.echo(f"codec queries: {count:,} of {recordings:,} recordings, {hours:.2f} h: {codecs}")
