"""The data set of neural-audio-fp, the paper's baseline (Chang et al., ICASSP 2021), mini and full.

The layout is from the README and ``model/dataset.py`` of github.com/mimbres/neural-audio-fp: 16-bit mono wav
at 8 kHz; 10,000 training clips, 500 clips each for validation and tests, and about 100,000 whole tracks as
distractors (the mini version has fewer; their number is not published). The README gives one checksum of the
full version, made by the tool ``checksumdir`` (MD5 aa90a8fbd3e6f938cac220d8aefdb134). It is not compared:
that would read 443 GB and would not show which file is corrupt.

The split is the set's own: folders ``tr`` and ``ts`` of noises (``bg``) and responses (``ir``; those in a
folder with "mic" in its name are of devices). Validation clips become recordings that are absent from the
library.
"""

from pathlib import Path

from earprint.datasets.recipe import Files, Part, Placement, Recipe, Split

FOLDERS = {
    "train": "music/train",
    "test db": "music/references",
    "test queries": "music/queries",
    "validation": "music/absent",
    "dummy": "music/distractors",
}
"""Output folders of the parts with music."""


def make_split(root: Path, files: Files) -> Split:
    """The set's own split."""
    split = Split()
    for part, folder in FOLDERS.items():
        for path in files.get(part, ()):
            split.placements.append(Placement(path, folder, _group(path)))
    for path in files.get("noise", ()):
        _, _, side, *below, _ = path.split("/")
        folder = f"noise/{_SIDES[side.lower()]}/{below[0] if below else 'background'}"
        split.placements.append(Placement(path, folder, _group(path)))
    for path in files.get("responses", ()):
        _, _, side, *below, _ = path.split("/")
        kind = "device" if any("mic" in folder.lower() for folder in below) else "room"
        split.placements.append(Placement(path, f"rir/{_SIDES[side.lower()]}/{kind}", _group(path)))
    split.notes.append("all audio is sampled at 8 kHz and holds nothing above 4 kHz")
    return split


def _group(path: str) -> str:
    """Group of a file: its path below ``music`` or ``aug``, as file names recur in several folders."""
    return "nafp-" + path.rpartition(".")[0].partition("/")[2].replace("/", "-")


_SIDES = {"tr": "train", "ts": "test"}

RECIPE = Recipe(
    name="nafp",
    title="Neural Audio Fingerprint Dataset, mini or full",
    licence="see LICENSE in the set; its music is from FMA",
    source="https://github.com/mimbres/neural-audio-fp (mini: Kaggle, full: IEEE DataPort)",
    layout="""\
FOLDER/neural-audio-fp-dataset/music/train-10k-30s/**/*.wav
FOLDER/neural-audio-fp-dataset/music/test-query-db-500-30s/{db,query}/**/*.wav
FOLDER/neural-audio-fp-dataset/music/val-query-db-500-30s/**/*.wav
FOLDER/neural-audio-fp-dataset/music/test-dummy-db-100k-full/**/*.wav
FOLDER/neural-audio-fp-dataset/aug/{bg,ir}/{tr,ts}/**/*.wav   (aug/speech is not used)""",
    archives=(),
    parts=(
        Part("train", r"music/train-10k-30s/.*\.wav", 10_000),
        Part("test db", r"music/test-query-db-500-30s/db/.*\.wav", 500),
        Part("test queries", r"music/test-query-db-500-30s/query/.*\.wav", 2_000, optional=True),
        Part("validation queries", r"music/val-query-db-500-30s/query/.*\.wav", optional=True),
        Part("validation", r"music/val-query-db-500-30s/.*\.wav", 500),
        Part("dummy", r"music/test-dummy-db-100k-full/.*\.wav"),
        Part("noise", r"aug/bg/t[rs]/.*\.wav"),
        Part("responses", r"aug/ir/t[rs]/.*\.wav"),
        Part("speech", r"aug/speech/.*\.wav", optional=True),
    ),
    make_split=make_split,
    roots=("neural-audio-fp-dataset",),
)
