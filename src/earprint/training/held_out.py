"""The held-out part of a store as files, for choosing thresholds without touching test data."""

from pathlib import Path

from earprint.audio.wav import write_wav
from earprint.training.store import Item, Pack, open_pack


def write_held_out(store: Path, out: Path, percent: int) -> dict[str, int]:
    """Write held-out music, noise and rooms as 16-bit WAV files.

    Music sources alternate between ``references`` and ``absent``, the largest first, so that the two
    share no source.

    Parameters
    ----------
    store : Path
    out : Path
    percent : int
        As in training.

    Returns
    -------
    dict of str to int
        Files written in each subfolder of ``out``.
    """
    counts: dict[str, int] = {}
    _, music = open_pack(store, "music").split(percent)
    by_group: dict[str, list[Item]] = {}
    for item in music.items:
        by_group.setdefault(item.group, []).append(item)
    for number, items in enumerate(sorted(by_group.values(), key=len, reverse=True)):
        folder = "absent" if number % 2 else "references"
        counts[folder] = counts.get(folder, 0) + _write(music, items, out / folder)
    for kind, folder in (("noise", "noise"), ("rooms", "rir")):
        _, pack = open_pack(store, kind).split(percent)
        items = [item for item in pack.items if not item.name.startswith("device/")]
        counts[folder] = _write(pack, items, out / folder)
    return counts


def _write(pack: Pack, items: list[Item], folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    for item in items:
        name = item.name.replace("/", "--").rpartition(".")[0] or item.name.replace("/", "--")
        write_wav(folder / f"{name}.wav", pack.audio(item))
    return len(items)
