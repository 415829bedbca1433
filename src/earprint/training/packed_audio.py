"""The packed store: audio that was decoded once, read as memory-mapped samples.

A store is a folder with one file of int16 samples and one JSON index for each of music, noise and rooms, and
for codec queries if they were rendered. Impulse responses are float32, because their tails lie far below
their peak. Every item has a group, the source it comes from. Training and validation never share a group: no
album, no recordist and no room is in both.

`earprint.training.packing` makes a store, `earprint.training.codec_queries_packing` adds codec queries, this
module reads it.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from earprint.errors import TrainingError

CODEC_QUERIES = "calls"
"""Name of the pack of codec queries (`earprint.training.codec_queries`) on disk."""

SPLIT_SALT = 29
"""Selects one of many divisions. With this one, the held-out part has several items of every kind."""


@dataclass(frozen=True)
class Item:
    """One packed recording: ``samples[start : start + length]`` of its kind's file.

    Attributes
    ----------
    name : str
        Path under the folder it was packed from.
    group : str
        Source of the recording; splits keep it together.
    start, length : int
        In samples.
    twin : int or None
        Start of a coded copy of the same length and alignment (low-rate codec), if there is one.
    at : int or None
        Of a codec query: the sample of its recording at which it begins. Its ``name`` and ``group`` are
        those of the recording.
    """

    name: str
    group: str
    start: int
    length: int
    twin: int | None = None
    at: int | None = None

    @property
    def category(self) -> str:
        """Subfolder the recording was packed from, such as ``speech``; "" if none."""
        return self.name.rpartition("/")[0]


@dataclass(frozen=True)
class Pack:
    """All recordings of one kind.

    Attributes
    ----------
    samples : ndarray of int16 or float32, shape (n,)
        Samples of all recordings, concatenated; memory-mapped.
    items : list of Item
    """

    samples: NDArray[np.generic]
    items: list[Item]

    def audio(self, item: Item) -> NDArray[np.float32]:
        """Samples of one recording as float32, full scale 1, shape (length,)."""
        part = self.samples[item.start : item.start + item.length]
        if part.dtype == np.int16:
            return np.asarray(part, dtype=np.float32) / np.float32(32_768)
        return part.astype(np.float32)

    def split(self, validation_percent: int) -> tuple["Pack", "Pack"]:
        """Divide into a training and a validation pack, by group."""
        chosen = [in_validation(item.group, validation_percent) for item in self.items]
        train = [item for item, held in zip(self.items, chosen, strict=True) if not held]
        held_out = [item for item, held in zip(self.items, chosen, strict=True) if held]
        return Pack(self.samples, train), Pack(self.samples, held_out)


def in_validation(group: str, percent: int) -> bool:
    """Whether a group is held out. Depends only on its name."""
    digest = hashlib.blake2b(f"{SPLIT_SALT}:{group}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") % 100 < percent


def codec_queries_by_recording(pack: Pack) -> dict[str, list[Item]]:
    """Codec queries of a pack, by the name of their recording."""
    queries: dict[str, list[Item]] = {}
    for item in pack.items:
        if item.at is not None:
            queries.setdefault(item.name, []).append(item)
    return queries


def has_pack(store: Path, kind: str) -> bool:
    """Whether a store has a pack of this kind."""
    return (store / f"{kind}.json").exists()


def open_pack(store: Path, kind: str) -> Pack:
    """Open one kind of a store.

    Raises
    ------
    TrainingError
        If the store has no such pack.
    """
    if not store.is_dir():
        raise TrainingError(f"{store}: no such folder; make a store with `earprint train pack`")
    if not has_pack(store, kind):
        raise TrainingError(f"{store}: no {kind} in this store; make it with `earprint train pack`")
    index = json.loads((store / f"{kind}.json").read_text(encoding="utf-8"))
    items = [Item(**item) for item in index["items"]]
    samples = np.memmap(store / f"{kind}.raw", dtype=index["dtype"], mode="r")
    return Pack(samples, items)
