"""MUSAN, music, speech and noise (Snyder, Chen, Povey 2015, arXiv:1510.08484), OpenSLR 17.

660 pieces of music, 426 of speech and 930 noises (843 from freesound.org, 87 from Sound Bible), 16 kHz mono.
The MD5 checksum is OpenSLR's, as quoted in lists/augment.txt of github.com/clovaai/voxceleb_trainer. Only the
number of files is checked. The 843 noises from freesound.org are also the point-source noises of OpenSLR 28:
use one of the two sets. A tenth of the recordings of noise and speech is for tests; music is for training,
grouped by artist where ``ANNOTATIONS`` names one.
"""

from pathlib import Path

from earprint.datasets.hash_split import hash_split
from earprint.datasets.recipe import Archive, Files, Part, Placement, Recipe, Split


def read_artists(root: Path) -> dict[str, str]:
    """Artist of each piece: ``ANNOTATIONS`` holds name, genres, vocals and artist on a line."""
    artists = {}
    for path in sorted((root / "music").glob("*/ANNOTATIONS")):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            words = line.split(maxsplit=3)
            if len(words) == 4:
                artists[words[0]] = "-".join(
                    "".join(c if c.isalnum() else " " for c in words[3].lower()).split()
                )
    return artists


def make_split(root: Path, files: Files) -> Split:
    """A tenth of the recordings of noise and speech is for tests."""
    split = Split()
    artists = read_artists(root)
    for path in files.get("music", ()):
        stem = Path(path).stem
        group = f"musan-{artists.get(stem) or stem}"
        split.placements.append(Placement(path, "music/train", group, convert=False))
    for part in ("speech", "noise"):
        for path in files.get(part, ()):
            kind = "speech" if part == "speech" else path.split("/")[1]
            group = f"musan-{Path(path).stem}"
            folder = f"noise/{hash_split(group, 'musan')}/{kind}"
            split.placements.append(Placement(path, folder, group, convert=True))
    split.notes.append("its noises from freesound.org are also in OpenSLR 28: use one of the two")
    return split


RECIPE = Recipe(
    name="musan",
    title="MUSAN, a Music, Speech, and Noise Corpus",
    licence="CC BY 4.0 and public domain, by file (LICENSE in each folder)",
    source="https://www.openslr.org/17/",
    layout="""\
FOLDER/musan/music/{fma,fma-western-art,hd-classical,jamendo,rfm}/*.wav
FOLDER/musan/speech/{librivox,us-gov}/*.wav
FOLDER/musan/noise/{free-sound,sound-bible}/*.wav""",
    archives=(Archive("musan.tar.gz", "11 GB", "md5", "0c472d4fc0c5141eca47ad1ffeb2a7df"),),
    parts=(
        Part("music", r"music/[^/]+/[^/]+\.wav", 660),
        Part("speech", r"speech/[^/]+/[^/]+\.wav", 426),
        Part("noise", r"noise/[^/]+/[^/]+\.wav", 930),
    ),
    make_split=make_split,
    roots=("musan",),
)
