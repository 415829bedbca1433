"""AIR, the Aachen Impulse Response database 1.4: the paper's test rooms (Jeub, Schaefer, Vary, DSP 2009).

Responses are .mat files of one channel each, ``h_air`` at ``air_info.fs`` (48 kHz), named
``air_binaural_ROOM_CHANNEL_HEAD_...`` and ``air_phone_ROOM_MODE_CHANNEL``; some copies hold wav files of the
same names. The number, 214, is twice the 107 two-channel responses that OpenSLR 28 made of this release.
Aachen publishes no checksum; the one here is used by several independent projects (the mirror at
openslr.org/20 serves the same file).

Mean RT60s in the DSP 2009 paper: booth 0.12, meeting room 0.23, office 0.43, lecture room 0.78 s; the
stairway and the Aula Carolina were added later. RT60 is measured here for each response, because it depends
on the position as much as on the room. The paper "selected six with T60 from 0.1 s to 0.8 s" and does not say
which: `rir/paper` gets the nearest to 0.1 s and to each value of its Table 4. All responses are for tests.
"""

import re
from pathlib import Path

from earprint.datasets.recipe import Archive, Files, Part, Placement, Recipe, Split


def room_of(name: str) -> str:
    """Room of a response, from its file name.

    ``air_binaural_aula_carolina_0_1_3_90_3.mat``: aula_carolina; ``air_phone_bt_office_hhp_0.mat``: office;
    ``air_phone_stairway1_hfrp_1.mat``: stairway.
    """
    match = re.match(
        r"air_(?:binaural_|phone_(?:bt_)?)([a-z]+(?:_[a-z]+)*?)\d*_(?:\d|hfrp|hhp)", name.lower()
    )
    return f"air-{match[1]}" if match else f"air-{name.rpartition('.')[0]}"


def make_split(root: Path, files: Files) -> Split:
    """All files are for tests. The wav files are used if there are no .mat files."""
    split = Split()
    for part, folder in (("binaural", "rir/test/room"), ("phone", "rir/test/device")):
        for path in files.get(f"{part} .mat") or files.get(f"{part} .wav", ()):
            split.placements.append(Placement(path, folder, room_of(path.rpartition("/")[2]), convert=True))
    return split


RECIPE = Recipe(
    name="air",
    title="AIR, Aachen Impulse Response Database 1.4",
    licence="MIT by the files in the archive; its mirror at OpenSLR says: not stated",
    source="https://www.iks.rwth-aachen.de/en/research/tools-downloads/databases/"
    "aachen-impulse-response-database/, also https://www.openslr.org/20/",
    layout="""\
FOLDER/AIR_1_4/air_binaural_booth_0_0_1.mat ... (or .wav; .mat files need scipy)
FOLDER/AIR_1_4/air_phone_office_hhp_0.mat ...""",
    archives=(
        Archive(
            "air_database_release_1_4.zip", "203 MB", "sha256",
            "d2fd52767505c402e8aed9299dcd046493c8254cfab2f769fcf480dc7c616a5f",
        ),
    ),
    parts=(
        Part("binaural .mat", r"(?:.*/)?air_binaural_[^/]*\.mat", 166, unless=("binaural .wav",)),
        Part("phone .mat", r"(?:.*/)?air_phone_[^/]*\.mat", 48, unless=("binaural .wav",)),
        Part("binaural .wav", r"(?:.*/)?air_binaural_[^/]*\.wav", optional=True),
        Part("phone .wav", r"(?:.*/)?air_phone_[^/]*\.wav", optional=True),
    ),
    make_split=make_split,
    roots=("AIR_1_4", "air_database_release_1_4"),
    rt60_targets_s=(0.1, 0.2, 0.4, 0.5, 0.7, 0.8),
)  # fmt: skip
