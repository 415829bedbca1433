"""Configuration files: a run's settings as TOML, read with one clear error and written with comments."""

import textwrap
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from earprint.errors import TrainingError
from earprint.training.augmentation import Augmentation
from earprint.training.config import LIMITS, TrainConfig, default_config
from earprint.training.settings import NONE, descriptions, read_settings, summary, toml_key

CONFIG_FILE = "config.toml"
"""Name of the complete configuration in the folder of a run."""

COMPLETE = "complete"
"""Key of a file that has every setting: augmentations without a table are off, not at their defaults."""

COMPLETE_LINES = ("# Augmentations without a table in this file are off.", f"{COMPLETE} = true")
"""First lines of such a file."""

WIDTH = 100
"""Line length of comments."""


def load_config(file: Path | None, options: Mapping[str, Any]) -> TrainConfig:
    """Combine the defaults of a network, a configuration file and options, the last one winning.

    Parameters
    ----------
    file : Path or None
        TOML: fields of `TrainConfig` as keys, and a table ``[augmentation.<name>]`` for each augmentation
        that differs from the network's default. With ``complete = true``, which the file of a run has,
        augmentations without a table are off. So the file repeats the run, also in a later version of
        earprint that has more augmentations.
    options : mapping
        Fields of `TrainConfig`.

    Raises
    ------
    TrainingError
        If the file cannot be read, or a key or a value is not allowed. Names the file, the key and the
        allowed values.
    """
    if file is None:
        return config_from({}, options)
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise TrainingError(f"{file}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TrainingError(f"{file}: not UTF-8 text; save it as UTF-8") from error
    except (ValueError, RecursionError) as error:  # ValueError: also numbers of thousands of digits
        raise TrainingError(f"{file}: not a TOML file: {error}") from error
    try:
        return config_from(table, options)
    except TrainingError as error:
        raise TrainingError(f"{file}: {error}") from error


def config_from(table: Mapping[str, Any], options: Mapping[str, Any]) -> TrainConfig:
    """Combine the defaults of a network, parsed TOML and options, the last one winning.

    Raises
    ------
    TrainingError
        If a key or a value is not allowed.
    """
    tables = table.get("augmentation", {})
    complete = table.get(COMPLETE, False)
    if not isinstance(complete, bool):
        raise TrainingError(f"{COMPLETE} = {complete!r}: must be true or false")
    plain = {name: value for name, value in table.items() if name not in ("augmentation", COMPLETE)}
    known = {field.name for field in fields(TrainConfig)}
    for name in plain:
        if name not in known:
            names = ", ".join(sorted(known))
            raise TrainingError(
                f"{toml_key(name)}: unknown key; use one of {names}, or a table [augmentation.NAME]"
            )
    changes = {**read_settings(TrainConfig, plain, LIMITS), **options}
    network = changes.pop("network", TrainConfig.network)
    if not isinstance(tables, Mapping):
        raise TrainingError("augmentation: must be a table for each augmentation, [augmentation.NAME]")
    if tables or complete:
        defaults = default_config(network).augmentation
        changes["augmentation"] = (defaults.disabled() if complete else defaults).updated_from(tables)
    return default_config(network, **changes)


def config_toml(config: TrainConfig, *, comments: bool = False, complete: bool = True) -> str:
    """Write all settings as TOML that `load_config` reads.

    Parameters
    ----------
    config : TrainConfig
    comments : bool
        Explain every key in a comment.
    complete : bool
        Mark the file as complete, so that augmentations without a table are off when it is read. False for a
        template, from which people delete the tables that they do not change.
    """
    values = config.to_dict()
    augmentations = values.pop("augmentation")
    lines = [*COMPLETE_LINES] if complete else []
    lines += _key_lines(values, TrainConfig, comments=comments)
    for name, settings in augmentations.items():
        cls = type(config.augmentation[name])
        lines += ["", *_comment(summary(cls), comments=comments), f"[augmentation.{name}]"]
        lines += _key_lines(settings, cls, comments=comments)
    return "\n".join(lines) + "\n"


def _key_lines(values: Mapping[str, Any], cls: type, *, comments: bool) -> list[str]:
    described = descriptions(cls) if comments else {}
    shared = descriptions(Augmentation) if comments and cls is not TrainConfig else {}
    lines, last = [], None
    for name, value in values.items():
        text = described.get(name, shared.get(name, ""))
        if text != last:
            lines += _comment(text, comments=comments)
        last = text
        lines.append(f"{name} = {toml_value(value)}")
    return lines


def _comment(text: str, *, comments: bool) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, WIDTH - 2)] if comments else []


def toml_value(value: Any) -> str:
    """Write a value of a setting as TOML."""
    if value is None:
        return f'"{NONE}"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    return repr(value)
