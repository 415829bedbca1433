"""FMA, the Free Music Archive's clips: the paper's music (Defferrard et al. 2017, arXiv:1612.01840).

The names, counts and checksums of archives are from the README of github.com/mdeff/fma. Each folder has a
file ``checksums`` with the SHA-1 checksum of every clip. The paper trains on fma_large without the clips of
fma_medium. Its references are the 25,000 clips of fma_medium, and 10,000 of them each give a query.

In the paper's split, artists and albums are in both training and test data. If ``fma_metadata`` is present,
training clips of an artist or album of the references go to ``music/train-same-artist``. Without that folder
the split is strict; with it, it is the paper's. Copies of references are not used for training.
"""

import csv
from pathlib import Path

from earprint.datasets.checksums import read_listing
from earprint.datasets.hash_split import hash_sample
from earprint.datasets.recipe import Archive, Files, Part, Placement, Recipe, Split
from earprint.errors import TrainingError

QUERIES = 10_000
"""Number of the paper's queries, each from another clip of fma_medium (section 3.4)."""

SHORT_CLIPS = frozenset(
    {
        1486, 5574, 65753, 80391, 98558, 98559, 98560, 98565, 98566, 98567, 98568, 98569, 98571, 99134,
        105247, 108924, 108925, 126981, 127336, 133297, 143992,
    }
)  # fmt: skip
"""Tracks whose clips are empty or short, because their published length is wrong (issue 8 of
github.com/mdeff/fma, by the set's author)."""


def track_id(path: str) -> int:
    """Track number of a clip: ``fma_large/012/012345.mp3`` is 12345."""
    return int(path.rpartition("/")[2].partition(".")[0])


def read_tracks(path: Path) -> dict[int, tuple[str, str, str]]:
    """Read subset, artist and album of every track from ``tracks.csv``.

    Its first two lines are a header of two levels; the third names the index.

    Returns
    -------
    dict of int to (subset, artist, album)
        Subset is small, medium or large; each subset contains the smaller ones.

    Raises
    ------
    TrainingError
        If the file is not that table.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.reader(file)
            columns = list(zip(next(rows), next(rows), strict=True))
            places = [columns.index(name) for name in (("set", "subset"), ("artist", "id"), ("album", "id"))]
            tracks = {}
            for row in rows:
                if row and row[0].isdigit():
                    subset, artist, album = (row[place] for place in places)
                    tracks[int(row[0])] = (subset, artist, album)
    except (OSError, ValueError, IndexError, StopIteration, csv.Error) as error:
        raise TrainingError(
            f"{path}: not FMA's table of tracks ({error}); unpack fma_metadata.zip again"
        ) from error
    return tracks


def make_split(root: Path, files: Files) -> Split:
    """References are the clips of fma_medium, training clips the others of fma_large."""
    split = Split()
    tracks = read_tracks(root / "fma_metadata/tracks.csv") if files.get("fma_metadata") else {}
    medium = {track_id(path): path for path in files.get("fma_medium", ())}
    in_medium = set(medium) or {t for t, (subset, _, _) in tracks.items() if subset in {"small", "medium"}}
    large = {track_id(path): path for path in files.get("fma_large", ())}
    clips = large | medium
    short = SHORT_CLIPS & set(clips)
    if short:
        split.notes.append(f"{len(short)} clips left out that are empty or short as published")
    if not in_medium:
        split.notes.append("no split: fma_medium or fma_metadata is needed to know the references")
        return split
    references = sorted((in_medium & set(clips)) - short)
    training = sorted(set(large) - in_medium - short)
    training = _without_copies(root, large, references, training, split)
    artists = {tracks[t][1] for t in references if t in tracks}
    albums = {tracks[t][2] for t in references if t in tracks}

    def place(track: int, folder: str, group: str) -> None:
        split.placements.append(Placement(clips[track], folder, group))

    for track in references:
        place(
            track, "music/references", f"fma-artist-{tracks[track][1]}" if track in tracks else f"fma-{track}"
        )
    for track in training:
        if track not in tracks:
            place(track, "music/train", f"fma-{track}")
            continue
        _, artist, album = tracks[track]
        shared = artist in artists or album in albums
        place(track, "music/train-same-artist" if shared else "music/train", f"fma-artist-{artist}")
    if not tracks:
        split.notes.append(
            "without fma_metadata, artists may be in both training and test data, as in the paper"
        )
    placed = {item.source: item.target for item in split.placements}
    queries = hash_sample([placed[clips[track]] for track in references], QUERIES, "fma queries")
    split.lists["queries"] = queries
    return split


def _without_copies(
    root: Path, large: dict[int, str], references: list[int], training: list[int], split: Split
) -> list[int]:
    """Remove training clips with the checksum of a reference."""
    listing = root / "fma_large/checksums"
    if not listing.is_file():
        return training
    sums = {track_id(name): digest for name, digest in read_listing(listing).items() if name.endswith(".mp3")}
    known = {sums.get(track) for track in references} - {None}
    copies = {track for track in training if sums.get(track) in known}
    if copies:
        split.notes.append(f"{len(copies)} training clips left out that are copies of references")
    return [track for track in training if track not in copies]


def _clips(name: str, count: int, *, optional: bool = False, unless: tuple[str, ...] = ()) -> Part:
    match = rf"{name}/\d{{3}}/\d{{6}}\.mp3"
    return Part(name, match, count, listing=f"{name}/checksums", optional=optional, unless=unless)


RECIPE = Recipe(
    name="fma",
    title="FMA: A Dataset For Music Analysis",
    licence="audio: per track, Creative Commons as the artist chose; metadata: CC BY 4.0",
    source="https://github.com/mdeff/fma",
    layout="""\
FOLDER/fma_large/000/000002.mp3 ... and fma_large/checksums
FOLDER/fma_medium/...               (not needed if fma_metadata is there)
FOLDER/fma_metadata/tracks.csv      (not needed if fma_medium is there)
FOLDER/fma_small, FOLDER/fma_full   (checked if there, not used)""",
    archives=tuple(
        Archive(f"{part}.zip", size, "sha1", digest, part)
        for part, size, digest in (
            ("fma_large", "93 GiB", "497109f4dd721066b5ce5e5f250ec604dc78939e"),
            ("fma_medium", "22 GiB", "c67b69ea232021025fca9231fc1c7c1a063ab50b"),
            ("fma_metadata", "342 MiB", "f0df49ffe5f2a6008d7dc83c6915b31835dfe733"),
            ("fma_small", "7.2 GiB", "ade154f733639d52e35e32f5593efe5be76c6d70"),
            ("fma_full", "879 GiB", "0f0ace23fbe9ba30ecb7e95f763e435ea802b8ab"),
        )
    ),
    parts=(
        _clips("fma_large", 106_574),
        _clips("fma_medium", 25_000, unless=("fma_metadata",)),
        Part(
            "fma_metadata", r"fma_metadata/tracks\.csv", 1, listing="fma_metadata/checksums",
            unless=("fma_medium",),
        ),
        _clips("fma_small", 8_000, optional=True),
        _clips("fma_full", 106_574, optional=True),
    ),
    make_split=make_split,
)  # fmt: skip
