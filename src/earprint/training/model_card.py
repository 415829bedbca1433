"""Model cards: the description of an exported model for people, in Markdown."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from earprint.training.config_file import COMPLETE_LINES, toml_value


def write_model_card(path: Path, card: Mapping[str, Any]) -> None:
    """Write the Markdown card of a model from its JSON description."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(model_card(card), encoding="utf-8")


def model_card(card: Mapping[str, Any]) -> str:
    """The Markdown card of a model.

    Parameters
    ----------
    card : mapping
        As in the model's JSON file, see `earprint.training.export_run.export_run`.

    Returns
    -------
    str
        Facts, data, validation, and the complete configuration as TOML.
    """
    training = card["training"]
    facts = {
        "Network": card["network"],
        "Components of a fingerprint": card["dim"],
        "Parameters": f"{card['parameters']:,}",
        "Precision": card.get("precision", "16-bit float"),
        "Exported": card["exported"],
        "Steps": training["steps"],
        "Training time": f"{training['minutes']} min",
        "Trained on": training["device"],
        "Started from": _shown(training["started_from"]),
    }
    thresholds = {f"{seconds} s": score for seconds, score in card["threshold"].items()}
    parts = [
        f"# {card['name']}",
        "A fingerprint encoder for earprint, which identifies recordings from a few noisy seconds.",
        _table(("", ""), facts.items()),
        "## Thresholds\n\nLowest score of a match, by length of the query.",
        _table(("Length", "Score"), thresholds.items()),
        "## Data\n\nItems of the training store. Held-out items were only validated with.",
        _table(
            ("Kind", "Items", "Held out"),
            ((k, v["items"], v["held_out"]) for k, v in training["store"].items()),
        ),
    ]
    if training["validation"]:
        parts += ["## Last validation", _table(("Measure", "Value"), training["validation"].items())]
    parts += ["## Configuration", f"```toml\n{_toml(training['config'])}```"]
    return "\n\n".join(parts) + "\n"


def _toml(config: Mapping[str, Any]) -> str:
    """Plain values as a complete configuration file; mappings become tables."""
    plain = {key: value for key, value in config.items() if not isinstance(value, Mapping)}
    lines = [*COMPLETE_LINES, *(f"{key} = {toml_value(value)}" for key, value in plain.items())]
    for key, value in config.items():
        if isinstance(value, Mapping):
            nested = any(isinstance(inner, Mapping) for inner in value.values())
            tables = {f"{key}.{name}": inner for name, inner in value.items()} if nested else {key: value}
            for name, table in tables.items():
                lines += [
                    "",
                    f"[{name}]",
                    *(f"{field} = {toml_value(each)}" for field, each in table.items()),
                ]
    return "\n".join(lines) + "\n"


def _table(header: tuple[str, ...], rows: Any) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def _shown(started_from: Mapping[str, str] | None) -> str:
    return "random weights" if not started_from else f"{started_from['weights']} ({started_from['digest']})"
