"""``earprint model``: describe models."""

from typing import Annotated, Any

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
    output.print_table(("", ""), output.described(_with_named_thresholds(described)))


def _with_named_thresholds(described: dict[str, Any]) -> dict[str, Any]:
    """Name the thresholds by the library's storage. Those of compact storage are part of the codebook."""
    properties = {key: value for key, value in described.items() if key != "threshold"}
    if "threshold" not in described:
        return properties
    half = described["threshold"]
    for part in ("query", "codebook"):
        if part in properties:
            properties[part] = {key: value for key, value in properties[part].items() if key != "threshold"}
    by_storage = {"half": half}
    if "codebook" in described:
        by_storage["compact"] = described["codebook"].get("threshold") or half
    named = {
        messages.thresholds(storage): {
            messages.query_length(length): score for length, score in scores.items()
        }
        for storage, scores in by_storage.items()
    }
    first: dict[str, Any] = {
        key: properties.pop(key) for key in ("name", "network", "encoder", "dim") if key in properties
    }
    return {**first, **named, **properties}
