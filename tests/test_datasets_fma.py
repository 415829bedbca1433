"""The paper's split of FMA: what is a reference, what is for training, and what is left out."""

import hashlib

import pytest

from earprint.datasets.sets import RECIPES
from earprint.datasets.sets.fma import SHORT_CLIPS, read_tracks
from earprint.datasets.split_writer import write_split
from earprint.datasets.survey import survey
from earprint.errors import TrainingError
from helpers import tinysets

RECIPE = tinysets.tiny_recipe("fma")


def tracks_in(out, folder):
    return {int(path.name.partition("__")[2].partition(".")[0]) for path in (out / folder).glob("*.mp3")}


@pytest.fixture
def folder(tmp_path):
    tinysets.make_fma(tmp_path / "fma")
    return tmp_path / "fma"


def make_split(folder, out):
    return write_split(RECIPE, survey(RECIPE, folder), out)


def test_published_counts():
    counts = {part.name: part.count for part in RECIPES["fma"].parts}
    assert counts["fma_large"] == counts["fma_full"] == 106_574
    assert (counts["fma_medium"], counts["fma_small"]) == (25_000, 8_000)
    assert len(SHORT_CLIPS) == 21


def test_the_papers_split_with_shared_artists_apart(folder, tmp_path):
    counts, notes, _ = make_split(folder, tmp_path / "out")
    assert tracks_in(tmp_path / "out", "music/references") == {2, 3, 1004}
    assert tracks_in(tmp_path / "out", "music/train") == {7, 8}
    assert tracks_in(tmp_path / "out", "music/train-same-artist") == {5, 1006}
    assert sum(counts.values()) == 7  # 133297 is empty as published
    assert any(note.startswith("1 clips left out that are empty or short") for note in notes)


def test_medium_is_known_from_the_metadata_alone(folder, tmp_path):
    for path in sorted((folder / "fma_medium").rglob("*.mp3")):
        path.unlink()
    found = survey(RECIPE, folder)
    assert found.complete
    write_split(RECIPE, found, tmp_path / "out")
    assert tracks_in(tmp_path / "out", "music/references") == {2, 3, 1004}


def test_without_metadata_it_is_the_papers_split_and_says_so(folder, tmp_path):
    (folder / "fma_metadata/tracks.csv").unlink()
    found = survey(RECIPE, folder)
    assert found.complete
    _, notes, _ = write_split(RECIPE, found, tmp_path / "out")
    assert tracks_in(tmp_path / "out", "music/train") == {5, 7, 8, 1006}
    assert any("artists may be in both training and test data" in note for note in notes)


def test_metadata_that_comes_later_moves_tracks(folder, tmp_path):
    metadata = (folder / "fma_metadata/tracks.csv").read_bytes()
    (folder / "fma_metadata/tracks.csv").unlink()
    make_split(folder, tmp_path / "out")
    (folder / "fma_metadata/tracks.csv").write_bytes(metadata)
    make_split(folder, tmp_path / "out")
    assert tracks_in(tmp_path / "out", "music/train") == {7, 8}
    assert {path.name for path in (tmp_path / "out/music/train").iterdir()} == {
        "fma-artist-4__000007.mp3",
        "fma-artist-4__000008.mp3",
    }


def test_copies_of_references_are_not_for_training(folder, tmp_path):
    same = hashlib.sha1(b"clip 2").hexdigest()
    listing = folder / "fma_large/checksums"
    listing.write_text(listing.read_text().replace(hashlib.sha1(b"clip 7").hexdigest(), same))
    _, notes, _ = make_split(folder, tmp_path / "out")
    assert tracks_in(tmp_path / "out", "music/train") == {8}
    assert any("copies of references" in note for note in notes)


def test_queries_are_ten_thousand_different_references(tmp_path):
    tracks = {track: ("medium", str(track), str(track)) for track in range(300, 340)}
    tinysets.make_fma(tmp_path / "fma", tracks)
    from earprint.datasets.hash_split import hash_sample

    make_split(tmp_path / "fma", tmp_path / "out")
    lines = (tmp_path / "out/lists/fma/queries.txt").read_text().splitlines()
    assert len(lines) == len(set(lines)) == 40  # there are no more
    assert all((tmp_path / "out" / line).is_file() for line in lines)
    some = hash_sample(lines, 10, "fma queries")
    assert len(set(some)) == 10
    assert some == hash_sample(reversed(lines), 10, "fma queries") != sorted(lines)[:10]


def test_a_wrong_sum_is_corrupt_and_only_when_checked(folder):
    (folder / "fma_large/000/000007.mp3").write_bytes(b"clip 8")
    assert survey(RECIPE, folder).complete
    found = survey(RECIPE, folder, deep=True)
    (line,) = [line for finding in found.findings for line in finding.corrupt]
    assert line == "fma_large/000/000007.mp3: its SHA-1 checksum is wrong; unpack the archive again"


def test_a_clip_that_is_empty_as_published_is_whole(folder):
    clip, listing = folder / "fma_large/133/133297.mp3", folder / "fma_large/checksums"
    listing.write_text(
        listing.read_text().replace(hashlib.sha1(clip.read_bytes()).hexdigest(), hashlib.sha1().hexdigest())
    )
    assert not survey(RECIPE, folder, deep=True).complete
    clip.write_bytes(b"")
    assert survey(RECIPE, folder, deep=True).complete
    (folder / "fma_large/000/000007.mp3").write_bytes(b"")
    assert not survey(RECIPE, folder).complete


def test_clips_beyond_the_list_are_unexpected(folder):
    (folder / "fma_large/000/000999.mp3").write_bytes(b"x")
    found = survey(RECIPE, folder)
    assert found.complete
    assert found.findings[0].unexpected == ["fma_large/000/000999.mp3: not part of the set"]
    assert "fma_large/000/000999.mp3" not in found.files()["fma_large"]


def test_without_its_list_of_sums_the_clips_are_counted(folder):
    (folder / "fma_large/checksums").unlink()
    (folder / "fma_large/000/000007.mp3").unlink()
    found = survey(RECIPE, folder, deep=False)
    assert found.findings[0].missing == ["fma_large: 1 of 8 files"]


@pytest.mark.parametrize("text", ["", "not,a,table\n", "a,b\nc,d\n1,2\n"])
def test_a_table_that_is_something_else(tmp_path, text):
    path = tmp_path / "tracks.csv"
    path.write_text(text)
    with pytest.raises(TrainingError, match=r"tracks\.csv: not FMA's table"):
        read_tracks(path)


def test_archives_are_compared_with_the_published_sums(folder, tmp_path):
    zips = tmp_path / "zips"
    zips.mkdir()
    (zips / "fma_large.zip").write_bytes(b"not the archive")
    found = survey(RECIPE, folder, archives=zips)
    by_name = {finding.name: finding for finding in found.findings}
    assert by_name["archive fma_large.zip"].corrupt == [
        "fma_large.zip: its SHA1 checksum is wrong; download it again"
    ]
    assert by_name["archive fma_medium.zip"].n_missing == 1
    assert "archive fma_full.zip" not in by_name  # neither it nor its part is there
