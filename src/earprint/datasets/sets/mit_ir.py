"""MIT IR survey: responses of places that seven people were in (Traer and McDermott, PNAS 2016).

One response each of 271 places by the paper; the archive holds 270 files, as those who unpacked it count
(32 kHz, 24 bit, mono), named ``h001_Bedroom_65txts.wav``. No sum is published. Every file is another place,
so a tenth of the files is for tests.
"""

from pathlib import Path

from earprint.datasets.hash_split import side
from earprint.datasets.recipe import Archive, Division, Files, Part, Placed, Recipe


def divide(root: Path, files: Files) -> Division:
    """A tenth of the places for tests."""
    division = Division()
    for path in files.get("responses", ()):
        group = f"mit-{Path(path).name.partition('_')[0]}"
        folder = f"rir/{side(group, 'mit')}/room"
        division.placed.append(Placed(path, folder, group, convert=True))
    return division


RECIPE = Recipe(
    name="mit-ir",
    title="MIT Acoustical Reverberation Scene Statistics Survey",
    licence="not stated",
    source="https://mcdermottlab.mit.edu/Reverb/IR_Survey.html",
    layout="FOLDER/Audio/h001_Bedroom_65txts.wav ...",
    archives=(Archive("Audio.zip", "11.1 MiB"),),
    parts=(Part("responses", r"(?:Audio/)?h\d+_[^/]*\.wav", 270),),
    divide=divide,
)
