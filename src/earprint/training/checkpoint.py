"""Checkpoints of a run: written whole or not at all, and read back with a clear word if they do not fit."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from earprint.errors import TrainingError
from earprint.training.networks import DistilledNetwork, QueryNetwork

CHECKPOINT = "checkpoint.pt"
"""Name of a run's checkpoint."""

SUMMARY = "run.json"
"""Name of the file that tells, beside the weights of a finished run, how they were trained."""

SAME_COSINE = 0.98
"""Mean cosine of their fingerprints from which two networks have the same weights, rounded perhaps."""


def write_checkpoint(run: Path, state: dict[str, Any]) -> None:
    """Write the checkpoint; an interrupted write leaves the old one."""
    temporary = run / "checkpoint.tmp"
    torch.save(state, temporary)
    temporary.replace(run / CHECKPOINT)


def read_checkpoint(run: Path, device: torch.device) -> dict[str, Any] | None:
    """The state of a run's last checkpoint, None if it has none.

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
    except Exception as error:  # the unpickler raises anything on a file that is none
        reason = str(error).partition("\n")[0]
        raise TrainingError(f"{file}: cannot be read ({reason}); use another folder for the run") from error
    return state


def save_weights(network: nn.Module, file: Path) -> None:
    """Write a network's weights in half precision: a small file for a later run to begin with."""
    weights = network.state_dict()
    halved = {
        key: (value.half() if value.is_floating_point() else value).cpu() for key, value in weights.items()
    }
    torch.save(halved, file)


def load_weights(network: nn.Module, name: str, file: Path, device: torch.device) -> None:
    """Load what `save_weights` wrote into the network called ``name``.

    A network for queries also takes the weights of the references' network that it is to find, or narrower
    ones of its own.

    Raises
    ------
    TrainingError
        If the file holds no weights of such a network.
    """
    try:
        weights = torch.load(file, map_location=device, weights_only=True)
        if isinstance(network, DistilledNetwork | QueryNetwork):
            network.begin_with(weights)
        else:
            network.load_state_dict(weights)
    except Exception as error:  # the unpickler raises anything on a file that is none
        reason = str(error).partition("\n")[0]
        raise TrainingError(
            f"{file}: no weights of a {name} network ({reason}); name another file"
        ) from error
