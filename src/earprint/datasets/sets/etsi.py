"""ETSI background noise database: the paper's test noises (ETSI EG/ES 202 396-1, and TS 103 224).

Binaural wav files of 30 s at 48 kHz in ``Binaural_Signals``, such as
``Cafeteria_Noise_binaural ( 0.00-30.00 s).wav`` and ``Pub_Noise_Binaural_V2.wav``, at docbox.etsi.org.
No list with sums or a number of files could be found, so this looks for at least one recording of each of
the paper's seven kinds (babble, living room, cafeteria, car, workplace, traffic, train station), by words in
their names; ETSI's pub is what others use as babble. What the words do not find can be put in a
subfolder with the kind's name, such as ``babble``. Other recordings go to kind ``other``. All is for tests.
"""

from pathlib import Path

from earprint.datasets.recipe import Division, Files, Part, Placed, Recipe

KINDS = {
    "train-station": r"train[ _-]*station|railway|station[ _-]*hall|platform",
    "living-room": r"living[ _-]*room|home|kitchen",
    "cafeteria": r"cafeteria|mensa|canteen|cafe",
    "babble": r"babble|pub|schoolyard|talkers",
    "workplace": r"work|office|call[ _-]*cent|conference|jackhammer",
    "traffic": r"traffic|cross[ _-]*road|road|street",
    "car": r"car[ _\d-]|fullsize|midsize|compact[ _-]*car",
}
"""Words in the path of a recording of each of the paper's kinds, the rarer first; regular expressions."""


def divide(root: Path, files: Files) -> Division:
    """All for tests, each file a recording of its own."""
    division = Division()
    for kind, paths in files.items():
        for path in paths:
            recording = "-".join(Path(path).stem.split("(")[0].lower().replace("_", " ").split())
            folder = f"noise/test/{kind}"
            division.placed.append(Placed(path, folder, f"etsi-{recording}", convert=True))
    return division


def _kind(kind: str, words: str) -> Part:
    """Files in a subfolder of that name, or else with these words in their own."""
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
    + " says of what kind its files are",
    archives=(),
    parts=(
        *(_kind(kind, words) for kind, words in KINDS.items()),
        Part("other", r".*\.wav", optional=True, distinctive=False),
    ),
    divide=divide,
    roots=("Binaural_Signals",),
)
