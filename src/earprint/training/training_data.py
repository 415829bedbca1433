"""The data of a run: what it draws from and what it is validated with."""

from dataclasses import dataclass
from pathlib import Path

import torch

from earprint.errors import TrainingError
from earprint.training.config import TrainConfig
from earprint.training.packed_audio import CODEC_QUERIES, Pack, has_pack, open_pack
from earprint.training.sampler import Sampler
from earprint.training.validate import Validation


@dataclass(frozen=True)
class TrainingData:
    """A store, divided for a run.

    Attributes
    ----------
    sampler : Sampler
        Draws from the training part.
    validation : Validation or None
        Measures hits on the held-out part; None if music, noise or rooms have none.
    described : dict
        How many items each part has, by kind.
    """

    sampler: Sampler
    validation: Validation | None
    described: dict[str, dict[str, int]]


def training_data(store: Path, config: TrainConfig, device: torch.device) -> TrainingData:
    """Open a store for a run.

    Raises
    ------
    TrainingError
        If a pack is missing or damaged, or the codec queries are of recordings that the run holds out.
    """
    splits = {
        kind: open_pack(store, kind).split(config.validation_percent) for kind in ("music", "noise", "rooms")
    }
    described = {kind: {"items": len(a.items), "held_out": len(b.items)} for kind, (a, b) in splits.items()}
    (music, music_held), (noise, noise_held), (rooms, rooms_held) = splits.values()
    codec_queries = _codec_queries(store, music_held, config)
    if codec_queries is not None:
        described[CODEC_QUERIES] = {"items": len(codec_queries.items), "held_out": 0}
    validation = None
    if music_held.items and noise_held.items and rooms_held.items:
        validation = Validation(music_held, noise_held, rooms_held, config.validation_queries)
    sampler = Sampler(
        music, noise, rooms, config.augmentation, device, config.seed, codec_queries,
        min_power=config.min_clip_power,
    )  # fmt: skip
    return TrainingData(sampler, validation, described)


def _codec_queries(store: Path, held_out: Pack, config: TrainConfig) -> Pack | None:
    """The codec queries of a store, if it has any and the run uses them.

    Raises
    ------
    TrainingError
        If they are of recordings that this run holds out, and so with noises and rooms that it holds out.
    """
    if not config.augmentation["codec_query"].probability or not has_pack(store, CODEC_QUERIES):
        return None
    queries, names = open_pack(store, CODEC_QUERIES), {item.name for item in held_out.items}
    if any(query.name in names for query in queries.items):
        raise TrainingError(
            f"{store}: its codec queries are of recordings that this run holds out; make them again with "
            f"`earprint train codec-queries --validation-percent {config.validation_percent}`"
        )
    return queries
