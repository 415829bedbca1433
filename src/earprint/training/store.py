"""The packed store: audio decoded once, read as memory-mapped samples while training.

A store is a folder with one int16 file of samples and one JSON index for each of music, noise and rooms
(room responses are float32: their tails lie far below their peak), and of calls if they were made. Every
item carries its group, the source it comes from; training and validation are divided by group, never inside
one, so that nothing of a validation track's album, noise's recordist or room was heard in training.

`earprint.training.packing` makes a store, `earprint.training.codec_queries_packing` adds calls; this module reads it.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from earprint.errors import TrainingError

SPLIT_SALT = 29
"""Picks one of many possible divisions: here the one whose held-out part has several of every kind."""


@dataclass(frozen=True)
class Item:
    """One packed recording: ``samples[start : start + length]`` of its kind's file.

    Attributes
    ----------
    name : str
        Path under the folder it was packed from.
    group : str
        What splits keep together.
    start, length : int
        In samples.
    twin : int or None
        Start of the same recording after a low-rate codec, as long and in step, if there is one.
    at : int or None
        For a call: the sample of its recording at which it begins; its ``name`` and ``group`` are the
        recording's.
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
        Every recording's samples, one after the other; memory-mapped.
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
    """Whether a group is held out: a digest of its name decides, the same on every machine."""
    digest = hashlib.blake2b(f"{SPLIT_SALT}:{group}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") % 100 < percent


def calls_by_recording(pack: Pack) -> dict[str, list[Item]]:
    """The calls of a ``calls`` pack (`earprint.training.codec_queries`), by the name of the recording they are of."""
    calls: dict[str, list[Item]] = {}
    for item in pack.items:
        if item.at is not None:
            calls.setdefault(item.name, []).append(item)
    return calls


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
    if not has_pack(store, kind):
        raise TrainingError(f"{store}: no {kind} in this store; make it with `earprint train pack`")
    index = json.loads((store / f"{kind}.json").read_text(encoding="utf-8"))
    items = [Item(**item) for item in index["items"]]
    samples = np.memmap(store / f"{kind}.raw", dtype=index["dtype"], mode="r")
    return Pack(samples, items)
