"""``earprint model``: describe models."""

from typing import Annotated

import typer

from earprint.cli import messages, output
from earprint.cli.options import JsonOption

model_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@model_app.callback()
def _models() -> None:
    """Make Typer keep ``info`` as a subcommand; without a callback, a single command replaces its group."""


@model_app.command("info", help=messages.MODEL_INFO_HELP)
def model_info(
    name: Annotated[str, typer.Argument(help=messages.MODEL_ARGUMENT)] = "dense",
    as_json: JsonOption = False,
) -> None:
    """Describe a model."""
    from earprint.encoders import describe_model

    described = describe_model(name)
    if as_json:
        output.print_json(described)
        return
    output.print_table(("", ""), output.described(described))
