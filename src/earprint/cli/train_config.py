"""``earprint train config``: the default configuration of a network as a commented TOML file."""

from typing import Annotated

import typer

from earprint.cli.train_fit import require_torch

HELP = """\
Print the default configuration of a network as TOML with comments.

It holds every setting of `earprint train fit`: clip lengths, loss, schedule, seed, and a table
[augmentation.NAME] with the probability and the ranges of each distortion of the queries. Delete the lines
that you do not change, and give the file to `earprint train fit --config`. The config.toml of a run is
complete instead: it has "complete = true", and distortions without a table are off. So it repeats the run.

\b
Example:
  earprint train config --network dense > run.toml
"""


def config(
    network: Annotated[
        str, typer.Option(metavar="NAME", help="Network whose defaults are printed, see `train networks`.")
    ] = "dense",
) -> None:
    """Print the default configuration of a network."""
    require_torch()
    from earprint.training.config import default_config
    from earprint.training.config_file import config_toml

    typer.echo(config_toml(default_config(network), comments=True, complete=False), nl=False)
