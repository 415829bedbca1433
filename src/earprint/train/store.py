"""The packed store: audio decoded once, read as memory-mapped samples while training.

A store is a folder with one int16 file of samples and one JSON index for each of music, noise and rooms
(room responses are float32: their tails lie far below their peak). Every item carries its group, the
source it comes from; training and validation are divided by group, never inside one, so that nothing of
a validation track's album, noise's recordist or room was heard in training.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from earprint.audio import find_audio_files, load_audio
from earprint.constants import SAMPLE_RATE
from earprint.demo.degrade import align_direct_sound
from earprint.errors import AudioError, TrainingError

PEAK = 32_000
"""What the loudest sample of a packed recording becomes, of int16's 32,767."""

GROUP_MARK = "__"
"""``source__name.ext`` belongs to the group ``source``."""

SPLIT_SALT = 29
"""Picks one of many possible divisions: here the one whose held-out part has several of every kind."""


@dataclass(frozen=True)
class Item:
    """One packed recording: ``samples[start : start + length]`` of its kind's file.

    ``name`` is its path under the folder it was packed from; ``group`` is what splits keep together.
    """

    name: str
    group: str
    start: int
    length: int

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


def group_of(path: Path, folder: Path) -> str:
    """Group of a file: the part of its name before ``__``, else its subfolder, else the file itself."""
    source, mark, _ = path.name.partition(GROUP_MARK)
    if mark:
        return source
    parent = path.parent.relative_to(folder).as_posix() if path.parent.is_relative_to(folder) else "."
    return path.stem if parent == "." else parent


def pack_audio(
    folders: Iterable[Path],
    out: Path,
    kind: str,
    *,
    on_file: Callable[[Path, str | None], None] = lambda path, problem: None,
) -> Pack:
    """Decode every audio file under some folders into the store.

    Parameters
    ----------
    folders : iterable of Path
    out : Path
        The store's folder; created if need be.
    kind : str
        Name of the pack in the store, ``music`` or ``noise``.
    on_file : callable
        Told of every file, with the reason if it was left out.

    Returns
    -------
    Pack

    Raises
    ------
    TrainingError
        If no file could be decoded.
    """
    decoded = _decode_all(folders, on_file)
    packed = (
        (name, group, np.round(audio * (PEAK / np.abs(audio).max())).astype(np.int16))
        for name, group, audio in decoded
    )
    return _write_pack(packed, out, kind, "int16")


def pack_rooms(
    folders: Iterable[Path],
    simulated: Iterable[NDArray[np.float32]],
    out: Path,
    *,
    on_file: Callable[[Path, str | None], None] = lambda path, problem: None,
) -> Pack:
    """Pack measured and simulated responses as the store's ``rooms``, peak 1, direct sound at 0.

    Parameters
    ----------
    folders : iterable of Path
        With subfolders ``room`` and ``device``.
    simulated : iterable of ndarray
        Become the category ``simulated``, each a group of its own.
    out : Path
    on_file : callable
        As in `pack_audio`.

    Raises
    ------
    TrainingError
        If there is no response at all.
    """

    def responses() -> Iterator[tuple[str, str, NDArray[np.float32]]]:
        for name, group, audio in _decode_all(folders, on_file):
            yield name, group, align_direct_sound(audio / np.abs(audio).max())
        for number, response in enumerate(simulated):
            yield f"simulated/{number:05d}", f"simulated-{number:05d}", response

    return _write_pack(responses(), out, "rooms", "float32")


def _decode_all(
    folders: Iterable[Path], on_file: Callable[[Path, str | None], None]
) -> Iterator[tuple[str, str, NDArray[np.float32]]]:
    for folder in folders:
        for path in find_audio_files([folder]):
            try:
                audio = load_audio(path)
            except AudioError as error:
                on_file(path, str(error))
                continue
            if not audio.any():
                on_file(path, f"{path}: silent throughout; left out")
                continue
            name = path.relative_to(folder).as_posix() if path != folder else path.name
            yield name, group_of(path, folder), audio
            on_file(path, None)


def _write_pack(
    recordings: Iterable[tuple[str, str, NDArray[np.generic]]], out: Path, kind: str, dtype: str
) -> Pack:
    out.mkdir(parents=True, exist_ok=True)
    items: list[Item] = []
    position = 0
    with (out / f"{kind}.raw").open("wb") as sink:
        for name, group, samples in recordings:
            samples.astype(dtype).tofile(sink)
            items.append(Item(name, group, position, len(samples)))
            position += len(samples)
    if not items:
        raise TrainingError(f"{kind}: no usable audio in the folders given; check their paths")
    index = {
        "dtype": dtype,
        "sample_rate_hz": SAMPLE_RATE,
        "items": [asdict(item) for item in items],
    }
    (out / f"{kind}.json").write_text(json.dumps(index), encoding="utf-8")
    return open_pack(out, kind)


def open_pack(store: Path, kind: str) -> Pack:
    """Open one kind of a store.

    Raises
    ------
    TrainingError
        If the store has no such pack.
    """
    index_file = store / f"{kind}.json"
    if not index_file.exists():
        raise TrainingError(f"{store}: no {kind} in this store; make it with `earprint train pack`")
    index = json.loads(index_file.read_text(encoding="utf-8"))
    items = [Item(**item) for item in index["items"]]
    samples = np.memmap(store / f"{kind}.raw", dtype=index["dtype"], mode="r")
    return Pack(samples, items)
