"""The held-out part of a store as files, for choosing thresholds without test data."""

from pathlib import Path

from earprint.audio.wav import write_float_wav
from earprint.training.packed_audio import Item, Pack, open_pack


def write_held_out(store: Path, out: Path, percent: int) -> dict[str, int]:
    """Write held-out music, noise, rooms and devices as 32-bit float WAV files.

    Float samples keep the tails of impulse responses, which lie far below their peak. Sources of music
    alternate between ``references`` and ``absent``, the largest first, so that the two share no source.
    Responses of rooms go to ``rir``, those of devices to ``device``.

    Parameters
    ----------
    store : Path
    out : Path
    percent : int
        Percentage of sources held out, as in training.

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
    _, noise = open_pack(store, "noise").split(percent)
    counts["noise"] = _write(noise, noise.items, out / "noise")
    _, responses = open_pack(store, "rooms").split(percent)
    devices = [item for item in responses.items if item.category == "device"]
    rooms = [item for item in responses.items if item.category != "device"]
    counts["rir"] = _write(responses, rooms, out / "rir")
    counts["device"] = _write(responses, devices, out / "device")
    return counts


def _write(pack: Pack, items: list[Item], folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    for item in items:
        name = item.name.replace("/", "--").rpartition(".")[0] or item.name.replace("/", "--")
        write_float_wav(folder / f"{name}.wav", pack.audio(item))
    return len(items)
