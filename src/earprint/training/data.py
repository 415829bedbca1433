"""What a run draws from and what it is validated with: the parts of a store."""

from dataclasses import dataclass
from pathlib import Path

import torch

from earprint.errors import TrainingError
from earprint.training.config import TrainConfig
from earprint.training.sampler import Sampler
from earprint.training.store import Pack, has_pack, open_pack
from earprint.training.validate import Validation


@dataclass(frozen=True)
class TrainingData:
    """A store, divided for a run.

    Attributes
    ----------
    sampler : Sampler
        Draws from the training part.
    validation : Validation or None
        Asks the part that is held out; None if music, noise or rooms have none.
    described : dict
        By kind, how many items each part has.
    """

    sampler: Sampler
    validation: Validation | None
    described: dict[str, dict[str, int]]


def training_data(store: Path, config: TrainConfig, device: torch.device) -> TrainingData:
    """Open a store for a run.

    Raises
    ------
    TrainingError
        If a pack is missing or damaged, or the calls are of what the run holds out.
    """
    splits = {
        kind: open_pack(store, kind).split(config.validation_percent) for kind in ("music", "noise", "rooms")
    }
    described = {kind: {"items": len(a.items), "held_out": len(b.items)} for kind, (a, b) in splits.items()}
    (music, music_held), (noise, noise_held), (rooms, rooms_held) = splits.values()
    calls = _calls(store, music_held, config)
    if calls is not None:
        described["calls"] = {"items": len(calls.items), "held_out": 0}
    validation = None
    if music_held.items and noise_held.items and rooms_held.items:
        validation = Validation(music_held, noise_held, rooms_held, config.validation_queries)
    sampler = Sampler(music, noise, rooms, config.distortions, device, config.seed, calls)
    return TrainingData(sampler, validation, described)


def _calls(store: Path, held_out: Pack, config: TrainConfig) -> Pack | None:
    """The calls of a store, if it has any and the run wants them.

    Raises
    ------
    TrainingError
        If they are of recordings that this run holds out, and so with noises and rooms that it does.
    """
    if not config.distortions.call or not has_pack(store, "calls"):
        return None
    calls, names = open_pack(store, "calls"), {item.name for item in held_out.items}
    if any(call.name in names for call in calls.items):
        raise TrainingError(
            f"{store}: its calls are of recordings that this run holds out; make them again with "
            f"`earprint train calls --validation-percent {config.validation_percent}`"
        )
    return calls
