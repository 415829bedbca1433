"""Sums, conversion, links, and the guard against leaks."""

import hashlib
import os
from dataclasses import replace

import numpy as np
import pytest

from earprint.audio import load_audio
from earprint.constants import SAMPLE_RATE
from earprint.datasets import split_writer as place
from earprint.datasets.checksums import digest_of, read_listing
from earprint.datasets.convert import first_channel, is_plain, write_response
from earprint.datasets.hash_split import TEST_PERCENT, hash_split
from earprint.datasets.recipe import Placement, Split, split_of_folder
from earprint.datasets.survey import survey
from earprint.errors import TrainingError
from helpers import audiofiles, tinysets


def test_held_out_shares():
    groups = [f"recording-{number}" for number in range(2000)]
    for salt in ("mit", "musan"):
        share = sum(hash_split(group, salt) == "test" for group in groups) / len(groups)
        assert share == pytest.approx(TEST_PERCENT / 100, abs=0.025)
    assert {group for group in groups if hash_split(group, "mit") != hash_split(group, "musan")}


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256"])
def test_sums_of_a_file(tmp_path, algorithm):
    (tmp_path / "x").write_bytes(b"abc" * 1000)
    assert digest_of(tmp_path / "x", algorithm) == hashlib.new(algorithm, b"abc" * 1000).hexdigest()
    with pytest.raises(TrainingError, match="cannot be read"):
        digest_of(tmp_path / "y", algorithm)


def test_a_listing_in_every_form_that_sha1sum_writes(tmp_path):
    (tmp_path / "checksums").write_text(f"{'A' * 40}  a b.mp3\n{'b' * 40} *c.mp3\n{'c' * 40}  ./d/e.mp3\n")
    assert read_listing(tmp_path / "checksums") == {
        "a b.mp3": "a" * 40,
        "c.mp3": "b" * 40,
        "d/e.mp3": "c" * 40,
    }
    (tmp_path / "checksums").write_text("hello\n")
    with pytest.raises(TrainingError, match="line 1 is not"):
        read_listing(tmp_path / "checksums")


def decay(rt60_s, rate=SAMPLE_RATE, seconds=1.2, seed=3):
    t = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(seed).standard_normal(len(t))
    return (noise * 10 ** (-3 * t / rt60_s)).astype(np.float32)


def test_the_first_channel_is_taken_and_not_the_mean(tmp_path):
    tone = audiofiles.sine(duration_s=0.5, rate=48_000)
    path = audiofiles.wave_file(tmp_path / "x.wav", np.stack([tone, -tone, -tone], axis=1), 48_000)
    assert not is_plain(path)
    got = first_channel(path)
    assert len(got) == SAMPLE_RATE // 2
    np.testing.assert_allclose(got, audiofiles.sine(duration_s=0.5, rate=SAMPLE_RATE), atol=2e-3)
    flac = audiofiles.encode(tmp_path / "x.flac", np.stack([tone, 0 * tone], axis=1), 48_000)
    np.testing.assert_allclose(first_channel(flac), got, atol=1e-3)


def test_a_mat_file_gives_what_the_wav_gives(tmp_path):
    tinysets.write(tmp_path / "x.mat", 48_000, 1, 7)
    tinysets.write(tmp_path / "x.wav", 48_000, 1, 7)
    np.testing.assert_allclose(
        first_channel(tmp_path / "x.mat"), first_channel(tmp_path / "x.wav"), atol=1e-4
    )
    (tmp_path / "bad.mat").write_bytes(b"MATLAB 5.0 MAT-file, but no more than that")
    with pytest.raises(TrainingError, match=r"bad\.mat: cannot be read"):
        first_channel(tmp_path / "bad.mat")


def test_a_mat_file_without_scipy(tmp_path, monkeypatch):
    tinysets.write(tmp_path / "x.mat", 48_000, 1, 7)
    monkeypatch.setitem(__import__("sys").modules, "scipy.io", None)
    with pytest.raises(TrainingError, match="pip install scipy"):
        first_channel(tmp_path / "x.mat")


def test_a_float_wav_keeps_a_tail_far_below_its_peak(tmp_path):
    samples = decay(0.3)
    write_response(tmp_path / "x.wav", samples)
    assert is_plain(tmp_path / "x.wav")
    np.testing.assert_array_equal(load_audio(tmp_path / "x.wav"), samples)
    assert [path.name for path in tmp_path.iterdir()] == ["x.wav"]


def test_links_fall_back_to_hard_links_and_copies(tmp_path, monkeypatch):
    source = tmp_path / "source"
    source.write_bytes(b"clip")

    def refuse(*_args):
        raise OSError(1, "not permitted")

    place.link(source, tmp_path / "soft")
    assert (tmp_path / "soft").is_symlink()
    monkeypatch.setattr(os, "symlink", refuse)
    place.link(source, tmp_path / "hard")
    assert (tmp_path / "hard").samefile(source)
    assert not (tmp_path / "hard").is_symlink()
    monkeypatch.setattr(os, "link", refuse)
    place.link(source, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"clip"
    assert not (tmp_path / "copy").samefile(source)
    with pytest.raises(OSError, match="No such file"):
        place.link(tmp_path / "nowhere", tmp_path / "none")


@pytest.mark.parametrize(
    ("folder", "side"),
    [
        ("music/train", "train"), ("music/references", "test"), ("music/absent", "test"),
        ("music/distractors", "test"), ("music/queries", None), ("music/train-same-artist", None),
        ("noise/train/babble", "train"), ("noise/test/babble", "test"), ("rir/train-simulated/room", "train"),
        ("rir/test/device", "test"),
    ],
)  # fmt: skip
def test_sides(folder, side):
    assert split_of_folder(folder) == side


def test_a_group_on_both_sides_is_refused():
    room = Placement("a.wav", "rir/train/room", "hall")
    place.check_disjoint(
        [room, Placement("b.wav", "noise/test/hall", "hall")]
    )  # noises and rooms do not compare
    with pytest.raises(TrainingError, match="hall: is in training and in test data"):
        place.check_disjoint([room, Placement("b.wav", "rir/test/room", "hall")])


def tiny_rirs(tmp_path, make_split):
    folder = tmp_path / "set"
    tinysets.make("mit-ir", folder)
    recipe = replace(tinysets.tiny_recipe("mit-ir"), make_split=make_split)
    return recipe, survey(recipe, folder)


def test_two_files_never_become_one(tmp_path):
    def make_split(_root, files):
        return Split(
            [Placement(path, "rir/train/room", "g", convert=True) for path in files["responses"] * 2]
        )

    recipe, found = tiny_rirs(tmp_path, make_split)
    with pytest.raises(TrainingError, match="has the same output path"):
        place.write_split(recipe, found, tmp_path / "out")


def test_a_file_that_cannot_be_converted_is_named_and_the_rest_goes_on(tmp_path):
    recipe = tinysets.tiny_recipe("mit-ir")
    tinysets.make("mit-ir", tmp_path / "set")
    (tmp_path / "set" / tinysets.FILES["mit-ir"][3]).write_bytes(b"no audio")
    counts, _, faults = place.write_split(recipe, survey(recipe, tmp_path / "set"), tmp_path / "out")
    assert sum(counts.values()) == 7
    assert len(faults) == 1
    assert "h013" in faults[0]


def test_an_output_that_cannot_be_written(tmp_path):
    recipe = tinysets.tiny_recipe("mit-ir")
    tinysets.make("mit-ir", tmp_path / "set")
    (tmp_path / "out").write_bytes(b"a file, no folder")
    with pytest.raises(TrainingError, match="name another --out"):
        place.write_split(recipe, survey(recipe, tmp_path / "set"), tmp_path / "out")


def test_folders_that_link_to_each_other_end(tmp_path):
    tinysets.make("mit-ir", tmp_path / "set")
    (tmp_path / "set/Audio/again").symlink_to(tmp_path / "set", target_is_directory=True)
    assert survey(tinysets.tiny_recipe("mit-ir"), tmp_path / "set").complete


def test_more_files_than_published_are_unexpected(tmp_path):
    tinysets.make("mit-ir", tmp_path / "set")
    tinysets.write(tmp_path / "set/Audio/h999_Extra_1txts.wav", 32_000, 1, 1)
    found = survey(tinysets.tiny_recipe("mit-ir"), tmp_path / "set")
    assert found.complete
    assert found.findings[0].unexpected == ["responses: 1 files beyond the published 8"]
