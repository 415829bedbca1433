"""Checkpoints and weights of a run, written atomically, with clear errors for files that do not fit."""

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import nn

from earprint.errors import TrainingError
from earprint.training.networks import NetworkSpec

CHECKPOINT = "checkpoint.pt"
"""Name of a run's checkpoint."""

SUMMARY = "run.json"
"""Name of the file that describes how the weights of a finished run were trained."""

SAME_COSINE = 0.98
"""Two networks of at least this mean cosine of fingerprints have the same weights, up to rounding."""


def write_checkpoint(run: Path, state: dict[str, Any]) -> None:
    """Write the checkpoint; an interrupted write keeps the old one."""
    temporary = run / "checkpoint.tmp"
    torch.save(state, temporary)
    temporary.replace(run / CHECKPOINT)


def read_checkpoint(run: Path, device: torch.device) -> dict[str, Any] | None:
    """Return the state of a run's last checkpoint, None if it has none.

    Raises
    ------
    TrainingError
        If the file is damaged.
    """
    file = run / CHECKPOINT
    if not file.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(file, map_location=device, weights_only=True)
    except Exception as error:  # the unpickler raises exceptions of any class on a damaged file
        reason = str(error).partition("\n")[0]
        raise TrainingError(f"{file}: cannot be read ({reason}); use another folder for the run") from error
    return state


def save_weights(network: nn.Module, file: Path) -> None:
    """Write a network's weights in half precision, for export and for later runs to start from."""
    weights = network.state_dict()
    halved = {
        key: (value.half() if value.is_floating_point() else value).cpu() for key, value in weights.items()
    }
    torch.save(halved, file)


def load_weights(network: nn.Module, name: str, file: Path, device: torch.device) -> None:
    """Load a file of `save_weights` into the network called ``name``.

    A network that defines ``load_initial_weights`` may accept the weights of other networks too.

    Raises
    ------
    TrainingError
        If the file holds no weights that the network accepts.
    """
    try:
        weights = torch.load(file, map_location=device, weights_only=True)
        load = getattr(network, "load_initial_weights", network.load_state_dict)
        load(weights)
    except Exception as error:  # the unpickler raises exceptions of any class on a damaged file
        reason = str(error).partition("\n")[0]
        raise TrainingError(
            f"{file}: no weights of a {name} network ({reason}); name another file"
        ) from error


def load_initial_weights(
    network: nn.Module, spec: NetworkSpec, file: Path | None, run: Path, device: torch.device
) -> dict[str, str] | None:
    """Load the weights that a run starts from, if there are any.

    Returns
    -------
    dict or None
        Name and digest of the file, for the model card.

    Raises
    ------
    TrainingError
        If the network needs initial weights and a new run has none; or see `load_weights`.
    """
    if file is not None:
        load_weights(network, spec.name, file, device)
        digest = hashlib.blake2b(file.read_bytes(), digest_size=4).hexdigest()
        return {"weights": file.name, "digest": digest}
    if spec.initial_weights is not None and not (run / CHECKPOINT).exists():
        raise TrainingError(
            f"{run}: {spec.name} starts from the weights of {spec.initial_weights}; give its weights.pt with "
            "--start-from"
        )
    return None
