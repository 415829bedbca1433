"""ETSI background noise database: the paper's test noises (ETSI EG/ES 202 396-1, and TS 103 224).

Binaural wav files of 30 s at 48 kHz in ``Binaural_Signals``, such as
``Cafeteria_Noise_binaural ( 0.00-30.00 s).wav`` and ``Pub_Noise_Binaural_V2.wav``, at docbox.etsi.org.
No list of checksums or number of files is published. So at least one recording of each of the paper's seven
kinds is expected (babble, living room, cafeteria, car, workplace, traffic, train station). Words in file
names show the kind; ETSI's pub counts as babble, as in other projects. A file in a subfolder with the name of
a kind, such as ``babble``, is of that kind. Other recordings are of kind ``other``. All files are for tests.
"""

from pathlib import Path

from earprint.datasets.recipe import Files, Part, Placement, Recipe, Split

KINDS = {
    "train-station": r"train[ _-]*station|railway|station[ _-]*hall|platform",
    "living-room": r"living[ _-]*room|home|kitchen",
    "cafeteria": r"cafeteria|mensa|canteen|cafe",
    "babble": r"babble|pub|schoolyard|talkers",
    "workplace": r"work|office|call[ _-]*cent|conference|jackhammer",
    "traffic": r"traffic|cross[ _-]*road|road|street",
    "car": r"car[ _\d-]|fullsize|midsize|compact[ _-]*car",
}
"""Regular expressions for the paths of each of the paper's kinds; the first that matches counts."""


def make_split(root: Path, files: Files) -> Split:
    """All files are for tests; each is a group of its own."""
    split = Split()
    for kind, paths in files.items():
        for path in paths:
            recording = "-".join(Path(path).stem.split("(")[0].lower().replace("_", " ").split())
            folder = f"noise/test/{kind}"
            split.placements.append(Placement(path, folder, f"etsi-{recording}", convert=True))
    return split


def _kind(kind: str, words: str) -> Part:
    """Files in a subfolder with the name of the kind, and files with its words in their names."""
    of_any_kind = "|".join(KINDS)
    in_subfolder = rf"(?:.*/)?{kind}/[^/]*\.wav"
    return Part(kind, rf"{in_subfolder}|(?!(?:.*/)?(?:{of_any_kind})/)(?:.*/)?[^/]*(?:{words})[^/]*\.wav")


RECIPE = Recipe(
    name="etsi",
    title="ETSI EG 202 396-1 background noise database",
    licence="(c) ETSI; see the notice on its site",
    source="https://docbox.etsi.org/stq/Open/EG%20202%20396-1%20Background%20noise%20database/Binaural_Signals/",
    layout="""\
FOLDER/Binaural_Signals/Cafeteria_Noise_binaural ( 0.00-30.00 s).wav
FOLDER/Binaural_Signals/Pub_Noise_Binaural_V2.wav ...
a subfolder named """
    + ", ".join(sorted(KINDS))
    + " gives the kind of its files",
    archives=(),
    parts=(
        *(_kind(kind, words) for kind, words in KINDS.items()),
        Part("other", r".*\.wav", optional=True, distinctive=False),
    ),
    make_split=make_split,
    roots=("Binaural_Signals",),
)
