"""MIT IR survey: impulse responses of places that seven people visited (Traer and McDermott, PNAS 2016).

The paper has one response for each of 271 places; the archive has 270 files (32 kHz, 24 bit, mono), named
like ``h001_Bedroom_65txts.wav``. No checksum is published. Each file is another place; a tenth is for tests.
"""

from pathlib import Path

from earprint.datasets.hash_split import hash_split
from earprint.datasets.recipe import Archive, Files, Part, Placement, Recipe, Split


def make_split(root: Path, files: Files) -> Split:
    """A tenth of the places is for tests."""
    split = Split()
    for path in files.get("responses", ()):
        group = f"mit-{Path(path).name.partition('_')[0]}"
        folder = f"rir/{hash_split(group, 'mit')}/room"
        split.placements.append(Placement(path, folder, group, convert=True))
    return split


RECIPE = Recipe(
    name="mit-ir",
    title="MIT Acoustical Reverberation Scene Statistics Survey",
    licence="not stated",
    source="https://mcdermottlab.mit.edu/Reverb/IR_Survey.html",
    layout="FOLDER/Audio/h001_Bedroom_65txts.wav ...",
    archives=(Archive("Audio.zip", "11.1 MiB"),),
    parts=(Part("responses", r"(?:Audio/)?h\d+_[^/]*\.wav", 270),),
    make_split=make_split,
)
