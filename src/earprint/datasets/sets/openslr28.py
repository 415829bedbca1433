"""OpenSLR 28, RIRS_NOISES: the paper's training noises and rooms (Ko et al., ICASSP 2017).

The set's README gives 843 point-source noises and 325 real responses. The archive has 92 isotropic noises and
61,260 wav files in all; there are 200 simulated rooms of each size with 100 responses each. The MD5 checksum
is OpenSLR's (resources/28/checksum.md5), as quoted in lists/augment.txt of
github.com/clovaai/voxceleb_trainer.

The real responses include the Aachen database, the paper's test rooms: those files (``air_*``) are for tests.
Real rooms go to ``rir/train``, and simulated rooms to ``rir/train-simulated``, which the paper did not use.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from earprint.datasets.recipe import Archive, Files, Part, Placement, Recipe, Split
from earprint.datasets.sets.air import room_of as aachen_room_of

ROOMS, RESPONSES = 200, 100
"""Simulated rooms of each size, and responses in each."""


def simulated_names(size: str) -> Iterator[str]:
    """Paths of all responses in simulated rooms of a size."""
    for room in range(1, ROOMS + 1):
        for number in range(1, RESPONSES + 1):
            yield f"simulated_rirs/{size}room/Room{room:03d}/Room{room:03d}-{number:05d}.wav"


def point_names() -> Iterator[str]:
    """Paths of the point-source noises."""
    return (f"pointsource_noises/noise-free-sound-{number:04d}.wav" for number in range(843))


def room_of(path: str) -> str:
    """Room of a real response or isotropic noise, by the naming of its database.

    ``RVB2014_type1_rir_largeroom1_far_angla`` and ``RVB2014_type1_noise_largeroom1_1``: largeroom1;
    ``RWCP_type1_rir_cirline_e2a_imp010``: e2a; ``RWCP_type4_rir_p10l`` has no room's name.
    """
    stem = path.rpartition("/")[2].rpartition(".")[0]
    reverb = re.match(r"RVB2014_type\d+_(?:rir|noise)_([a-z]+room\d+)", stem)
    if reverb:
        return f"reverb-{reverb[1]}"
    rwcp = re.match(r"RWCP_type(\d+)_(?:rir|noise)_(?:cir(?:cle|line)_)?([a-z][a-z0-9]*?)(?:_|$)", stem)
    if rwcp and rwcp[1] != "4":
        return f"rwcp-{rwcp[2]}"
    return f"rwcp-type{rwcp[1]}" if rwcp else stem.partition("_rir")[0].partition("_noise")[0].lower()


def make_split(root: Path, files: Files) -> Split:
    """All files are for training, except the Aachen rooms."""
    split = Split()

    def place(path: str, folder: str, group: str) -> None:
        split.placements.append(Placement(path, folder, group, convert=True))

    for path in files.get("pointsource_noises", ()):
        place(path, "noise/train/pointsource", path.rpartition("/")[2].rpartition(".")[0])
    for path in files.get("isotropic noises", ()):
        place(path, "noise/train/isotropic", room_of(path))
    for path in files.get("real responses", ()):
        stem = path.rpartition("/")[2]
        if "air_" in stem:
            kind = "device" if "air_phone" in stem else "room"
            place(path, f"rir/test/{kind}", aachen_room_of(stem[stem.index("air_", 1) :]))
        else:
            place(path, "rir/train/room", room_of(path))
    for size in ("small", "medium", "large"):
        for path in files.get(f"simulated {size} rooms", ()):
            place(path, "rir/train-simulated/room", f"{size}-{path.split('/')[-2]}")
    if any(item.folder.startswith("rir/test") for item in split.placements):
        split.notes.append("responses of the Aachen database are test data, as in the paper")
    return split


def _simulated(size: str) -> Part:
    match = rf"simulated_rirs/{size}room/Room\d+/Room\d+-\d+\.wav"
    return Part(f"simulated {size} rooms", match, names=lambda: simulated_names(size))


RECIPE = Recipe(
    name="openslr28",
    title="OpenSLR 28, Room Impulse Response and Noise Database",
    licence="Apache 2.0",
    source="https://www.openslr.org/28/",
    layout="""\
FOLDER/RIRS_NOISES/pointsource_noises/noise-free-sound-0000.wav ...
FOLDER/RIRS_NOISES/real_rirs_isotropic_noises/*.wav
FOLDER/RIRS_NOISES/simulated_rirs/{small,medium,large}room/Room001/Room001-00001.wav ...""",
    archives=(Archive("rirs_noises.zip", "1.3 GB", "md5", "e6f48e257286e05de56413b4779d8ffb"),),
    parts=(
        Part("pointsource_noises", r"pointsource_noises/.*\.wav", names=point_names),
        Part("isotropic noises", r"real_rirs_isotropic_noises/[^/]*_noise_[^/]*\.wav", 92),
        Part("real responses", r"real_rirs_isotropic_noises/[^/]*\.wav", 325),
        _simulated("small"),
        _simulated("medium"),
        _simulated("large"),
    ),
    make_split=make_split,
    roots=("RIRS_NOISES",),
)
