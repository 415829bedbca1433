"""Every recipe on a tiny folder laid out as its set is: complete, with faults, split, and split again."""

import re
from pathlib import Path

import pytest

from earprint.datasets.recipe import split_of_folder
from earprint.datasets.sets import RECIPES
from earprint.datasets.sets.air import room_of as aachen_room_of
from earprint.datasets.sets.openslr28 import point_names, room_of, simulated_names
from earprint.datasets.split_writer import write_split
from earprint.datasets.survey import survey
from earprint.errors import TrainingError
from helpers import tinysets

SETS = list(RECIPES)


@pytest.fixture(params=SETS)
def tiny(request, tmp_path):
    folder = tmp_path / "set"
    files = tinysets.make(request.param, folder)
    return tinysets.tiny_recipe(request.param), folder, files


def snapshot(out):
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


def test_a_whole_set_is_complete(tiny):
    recipe, folder, files = tiny
    found = survey(recipe, folder, deep=True)
    assert found.complete
    assert not any(finding.unexpected for finding in found.findings)
    assert sum(len(finding.found) for finding in found.findings) == len(files)


def test_a_missing_file_is_missed(tiny):
    recipe, folder, files = tiny
    (folder / files[0]).unlink()
    found = survey(recipe, folder)
    assert not found.complete
    assert sum(finding.n_missing for finding in found.findings) == 1
    (line,) = [line for finding in found.findings for line in finding.missing]
    if recipe.name in {"fma", "openslr28"}:  # their names are known
        assert files[0].endswith(line)


@pytest.mark.parametrize("damage", ["cut to nothing", "other bytes"])
def test_a_corrupt_file_is_found(tiny, damage):
    recipe, folder, files = tiny
    (folder / files[0]).write_bytes(b"" if damage == "cut to nothing" else b"these are other bytes")
    found = survey(recipe, folder, deep=True)
    (line,) = [line for finding in found.findings for line in finding.corrupt]
    assert line.partition(":")[0] in files[0]
    assert not any(finding.missing for finding in found.findings)
    usable = [path for finding in found.findings for path in finding.found]
    assert len(usable) == len(files) - 1


def test_an_unexpected_file_is_named_and_does_no_harm(tiny):
    recipe, folder, _ = tiny
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere/holiday.ogg").write_bytes(b"x")
    found = survey(recipe, folder)
    if not (recipe.roots and (folder / recipe.roots[0]).is_dir()):  # else it lies outside the set's root
        assert any("holiday.ogg" in line for finding in found.findings for line in finding.unexpected)
    assert found.complete


def test_a_wrong_folder_is_an_error(tiny, tmp_path):
    recipe, folder, _ = tiny
    (tmp_path / "wrong").mkdir()
    (tmp_path / "wrong/song.mp3").write_bytes(b"x")
    with pytest.raises(TrainingError, match=re.escape(f"earprint data {recipe.name}")):
        survey(recipe, tmp_path / "wrong")
    with pytest.raises(TrainingError, match="no such folder"):
        survey(recipe, folder / "nowhere")


def test_the_folder_may_be_the_root_or_above_it(tiny):
    recipe, folder, files = tiny
    roots = {path.partition("/")[0] for path in files}
    for root in roots:
        found = survey(recipe, folder / root)
        assert found.complete
        assert sum(len(finding.found) for finding in found.findings) == len(files)


def test_the_split_is_disjoint_and_the_same_again(tiny, tmp_path):
    recipe, folder, _ = tiny
    found = survey(recipe, folder)
    counts, _, faults = write_split(recipe, found, tmp_path / "one")
    assert faults == []
    assert sum(counts.values()) == sum(1 for path in (tmp_path / "one").rglob("*__*") if path.is_file())
    groups = {"train": set(), "test": set()}
    for folder_name in counts:
        side = split_of_folder(folder_name)
        if side is not None and folder_name != "rir/paper":
            kind = folder_name.partition("/")[0]
            names = [path.name for path in (tmp_path / "one" / folder_name).iterdir()]
            groups[side] |= {(kind, name.partition("__")[0]) for name in names}
    assert not groups["train"] & groups["test"]
    write_split(recipe, found, tmp_path / "two")
    assert snapshot(tmp_path / "one") == snapshot(tmp_path / "two")


def test_an_interrupted_split_is_resumed(tiny, tmp_path):
    recipe, folder, _ = tiny
    found = survey(recipe, folder)
    out = tmp_path / "out"
    counts, _, _ = write_split(recipe, found, out)
    whole = snapshot(out)
    victims = sorted(path for path in out.rglob("*__*") if path.is_file() and "paper" not in path.parts)[::2]
    for victim in victims:
        victim.unlink()
    for extra in (out / "lists" / recipe.name).glob("r*.txt"):
        extra.unlink()
    written = []
    again, _, _ = write_split(recipe, found, out, on_file=written.append)
    assert again == counts
    assert sorted(written) == sorted(victim.relative_to(out).as_posix() for victim in victims)
    assert snapshot(out) == whole


def test_lists_name_what_lies_there(tiny, tmp_path):
    recipe, folder, _ = tiny
    counts, _, _ = write_split(recipe, survey(recipe, folder), tmp_path / "out")
    for written, count in counts.items():
        lines = (
            (tmp_path / "out/lists" / recipe.name / f"{written.replace('/', '-')}.txt")
            .read_text()
            .splitlines()
        )
        assert len(lines) == count
        assert all((tmp_path / "out" / line).is_file() and line.startswith(f"{written}/") for line in lines)


@pytest.mark.parametrize("name", SETS)
def test_published_sums_have_the_right_length(name):
    digits = {"md5": 32, "sha1": 40, "sha256": 64, "": 0}
    for archive in RECIPES[name].archives:
        assert re.fullmatch(rf"[0-9a-f]{{{digits[archive.algorithm]}}}", archive.digest)


def test_openslr28_has_as_many_files_as_were_counted_in_its_archive():
    sizes = ("small", "medium", "large")
    simulated = [name for size in sizes for name in simulated_names(size)]
    assert len(set(simulated)) == 60_000
    others = sum(part.count for part in RECIPES["openslr28"].parts if part.count is not None)
    assert len(simulated) + len(list(point_names())) + others == 61_260
    for part in RECIPES["openslr28"].parts:
        if part.names is not None:
            assert all(re.fullmatch(part.match, name) for name in part.names())


@pytest.mark.parametrize(
    ("name", "room"),
    [
        ("RVB2014_type1_rir_largeroom1_far_angla.wav", "reverb-largeroom1"),
        ("RVB2014_type1_noise_largeroom1_1.wav", "reverb-largeroom1"),
        ("RVB2014_type2_rir_simroom3_near_anglb.wav", "reverb-simroom3"),
        ("RWCP_type1_rir_circle_ane_imp020.wav", "rwcp-ane"),
        ("RWCP_type1_rir_circle_e1a_imp090.wav", "rwcp-e1a"),
        ("RWCP_type2_rir_cirline_e2a_imp090.wav", "rwcp-e2a"),
        ("RWCP_type3_rir_cirline_ofc_imp_rev.wav", "rwcp-ofc"),
        ("RWCP_type4_rir_m10l.wav", "rwcp-type4"),
        ("RWCP_type4_rir_p90r.wav", "rwcp-type4"),
    ],
)
def test_rooms_of_openslr28(name, room):
    assert room_of(f"real_rirs_isotropic_noises/{name}") == room


@pytest.mark.parametrize(
    ("name", "room"),
    [
        ("air_binaural_booth_0_0_1.mat", "air-booth"),
        ("air_binaural_aula_carolina_0_1_3_90_3.mat", "air-aula_carolina"),
        ("air_binaural_stairway_1_1_2_75.mat", "air-stairway"),
        ("air_binaural_booth_0_3.wav", "air-booth"),
        ("air_phone_bt_corridor_hhp_0.mat", "air-corridor"),
        ("air_phone_stairway1_hfrp_1.mat", "air-stairway"),
        ("air_phone_lecture1_hfrp.wav", "air-lecture"),
    ],
)
def test_rooms_of_aachen(name, room):
    assert aachen_room_of(name) == room


def placed(name, tmp_path):
    folder = tmp_path / "set"
    tinysets.make(name, folder)
    recipe = tinysets.tiny_recipe(name)
    counts, notes, _ = write_split(recipe, survey(recipe, folder), tmp_path / "out")
    return dict(counts), notes, tmp_path / "out"


def test_openslr28_keeps_the_papers_test_rooms_out_of_training(tmp_path):
    counts, notes, out = placed("openslr28", tmp_path)
    assert counts == {
        "noise/train/pointsource": 3, "noise/train/isotropic": 1, "rir/train/room": 2,
        "rir/train-simulated/room": 6, "rir/test/room": 1, "rir/test/device": 1,
    }  # fmt: skip
    assert not list((out / "rir/train").rglob("*air_*"))
    assert any("Aachen" in note for note in notes)
    assert (out / "rir/train-simulated/room/small-Room001__Room001-00001.wav").is_symlink()


def test_etsi_kinds(tmp_path):
    counts, _, _ = placed("etsi", tmp_path)
    kinds = {"babble", "living-room", "cafeteria", "car", "workplace", "traffic", "train-station", "other"}
    assert counts == {f"noise/test/{kind}": 1 for kind in kinds}


def test_etsi_says_which_kind_is_missing(tmp_path):
    folder = tmp_path / "set"
    tinysets.make("etsi", folder)
    (folder / "Binaural_Signals/Living_Room_binaural ( 0.00-30.00 s).wav").unlink()
    found = survey(RECIPES["etsi"], folder)
    assert [line for finding in found.findings for line in finding.missing] == [
        "living-room: every file of it"
    ]


def test_aachen_lists_times_and_picks_those_of_the_paper(tmp_path):
    counts, _, out = placed("air", tmp_path)
    assert counts == {"rir/test/room": 3, "rir/test/device": 1, "rir/paper": 6}
    lines = (out / "lists/air/rooms.tsv").read_text().splitlines()
    assert lines[0] == "file\troom\tRT60_s"
    for line in lines[1:]:
        path, room, rt60_s = line.split("\t")
        assert (out / path).is_file()
        assert room in {"air-booth", "air-aula_carolina"}
        assert float(rt60_s) == pytest.approx(0.4, abs=0.06)  # as the tiny files decay
    assert len(list((out / "rir/paper").glob("rt60-0.5s__air-*"))) == 1


def test_aachen_takes_wav_files_where_there_are_no_others(tmp_path):
    (tmp_path / "set").mkdir()
    tinysets.write(tmp_path / "set/air_binaural_office_0_2.wav", 48_000, 2, 1)
    found = survey(RECIPES["air"], tmp_path / "set", deep=True)
    assert found.complete
    counts, _, _ = write_split(RECIPES["air"], found, tmp_path / "out")
    assert counts["rir/test/room"] == 1


def test_musan_and_mit_hold_some_groups_out(tmp_path):
    counts, _, out = placed("musan", tmp_path / "musan")
    assert counts["music/train"] == 3
    assert counts["noise/test/free-sound"] + counts["noise/train/free-sound"] == 8
    assert 1 <= counts["noise/test/free-sound"] <= 3
    names = {path.name for path in (out / "music/train").iterdir()}
    assert {"musan-the-band__music-fma-0000.wav", "musan-the-band__music-fma-0001.wav"} <= names
    counts, _, _ = placed("mit-ir", tmp_path / "mit")
    assert 1 <= counts["rir/test/room"] <= 3
    assert sum(counts.values()) == 8


def test_nafp_keeps_its_own_split(tmp_path):
    counts, _, _ = placed("nafp", tmp_path)
    assert counts == {
        "music/train": 2, "music/references": 1, "music/queries": 1, "music/absent": 1,
        "music/distractors": 1,
        "noise/train/cafe": 1, "noise/test/cafe": 1, "rir/train/room": 1, "rir/train/device": 1,
        "rir/test/room": 1,
    }  # fmt: skip


def test_names_in_the_output_carry_the_group_that_training_splits_by(tmp_path):
    from earprint.training.packing import group_of

    _, _, out = placed("openslr28", tmp_path)
    path = out / "rir/train/room/rwcp-e2a__RWCP_type2_rir_cirline_e2a_imp090.wav"
    assert path.is_file()
    assert group_of(path, out / "rir/train") == "rwcp-e2a"
    assert Path(path).resolve() == (tmp_path / "set" / tinysets.FILES["openslr28"][5]).resolve()
