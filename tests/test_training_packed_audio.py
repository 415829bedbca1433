"""The packed store: what goes in comes out, and what belongs together is never divided."""

import json
from dataclasses import replace

import numpy as np
import pytest

from earprint.audio import load_audio
from earprint.audio.codec_simulation import available_codec
from earprint.audio.wav import write_float_wav, write_wav
from earprint.dsp.reverberation import align_direct_sound
from earprint.errors import TrainingError
from earprint.synth.composer import compose
from earprint.training.held_out import write_held_out
from earprint.training.packed_audio import Item, in_validation, open_pack
from earprint.training.packing import count_files, group_of, pack_audio, pack_rooms
from helpers.trainstore import groups, make_store, pack_of


@pytest.fixture
def music(tmp_path):
    folder = tmp_path / "music"
    (folder / "album").mkdir(parents=True)
    write_wav(folder / "one.wav", compose(1, 2.0))
    write_wav(folder / "album" / "two.wav", 0.01 * compose(2, 1.5))
    write_wav(folder / "album" / "src__three.wav", compose(3, 1.0)[:12_345])
    return folder


def test_round_trip(music, tmp_path):
    packed = pack_audio([music], tmp_path / "store", "music")
    assert {item.name: item.length for item in packed.items} == {
        "one.wav": 32_000, "album/two.wav": 24_000, "album/src__three.wav": 12_345,
    }  # fmt: skip
    assert packed.samples.dtype == np.int16
    assert len(packed.samples) == 32_000 + 24_000 + 12_345
    for item in packed.items:
        samples, original = packed.audio(item), load_audio(music / item.name)
        assert samples.dtype == np.float32
        assert np.abs(samples).max() == pytest.approx(32_000 / 32_768, abs=1e-6)
        expected = original * (32_000 / 32_768 / np.abs(original).max())
        np.testing.assert_allclose(samples, expected, atol=0.51 / 32_768)
    again = open_pack(tmp_path / "store", "music")
    assert again.items == packed.items
    np.testing.assert_array_equal(again.samples, packed.samples)


def test_groups_and_categories(music, tmp_path):
    items = pack_audio([music], tmp_path / "store", "music").items
    assert {item.name: (item.group, item.category) for item in items} == {
        "one.wav": ("one", ""),
        "album/two.wav": ("album", "album"),
        "album/src__three.wav": ("src", "album"),
    }


def test_a_file_may_be_given_instead_of_a_folder(music, tmp_path):
    (item,) = pack_audio([music / "one.wav"], tmp_path / "store", "music").items
    assert item == Item("one.wav", "one", 0, 32_000)


def test_group_of_a_file_elsewhere(tmp_path):
    assert group_of(tmp_path / "x" / "song.wav", tmp_path / "y") == "song"


def test_bad_files_are_left_out_and_told(music, tmp_path):
    (music / "broken.mp3").write_bytes(b"nothing")
    write_wav(music / "silent.wav", np.zeros(16_000, np.float32))
    told = {}
    packed = pack_audio(
        [music], tmp_path / "store", "music", on_file=lambda p, why: told.update({p.name: why})
    )
    assert len(packed.items) == 3
    problems = {name: why for name, why in told.items() if why}
    assert set(problems) == {"broken.mp3", "silent.wav"}
    assert "silent throughout" in problems["silent.wav"]
    assert str(music / "broken.mp3") in problems["broken.mp3"]


def test_the_same_store_whatever_the_jobs(music, tmp_path):
    (music / "album" / "broken.mp3").write_bytes(b"nothing")
    write_wav(music / "silent.wav", np.zeros(16_000, np.float32))
    told = [[], []]
    one, two = (
        pack_audio(
            [music, music / "one.wav"], tmp_path / str(jobs), "music", jobs=jobs, files_per_process=1,
            on_file=lambda path, why, jobs=jobs: told[jobs - 1].append((path, why)),
        )
        for jobs in (1, 2)
    )  # fmt: skip
    assert told[0] == told[1]
    assert one.items == two.items
    np.testing.assert_array_equal(one.samples, two.samples)


def test_rooms_are_the_same_whatever_the_jobs(music, tmp_path):
    one, two = (
        pack_rooms([music], [], tmp_path / str(jobs), jobs=jobs, files_per_process=1) for jobs in (1, 2)
    )
    assert one.items == two.items
    np.testing.assert_array_equal(one.samples, two.samples)


def test_nothing_usable_is_an_error(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(TrainingError, match="music: no usable audio"):
        pack_audio([tmp_path / "empty"], tmp_path / "store", "music")
    with pytest.raises(TrainingError, match=r"other: no such folder; make a store with `earprint train pack"):
        open_pack(tmp_path / "other", "noise")
    (tmp_path / "other").mkdir()
    with pytest.raises(TrainingError, match=r"other: no noise in this store.*earprint train pack"):
        open_pack(tmp_path / "other", "noise")


def test_rooms_keep_their_tails(tmp_path):
    (tmp_path / "rooms" / "device").mkdir(parents=True)
    response = np.zeros(4_000, np.float32)
    response[100], response[101], response[3_000] = 0.01, -0.5, 0.0005
    write_wav(tmp_path / "rooms" / "device" / "phone.wav", response)
    simulated = np.array([1.0, 1e-7, 0.5], np.float32)
    packed = pack_rooms([tmp_path / "rooms"], [simulated, simulated], tmp_path / "store")
    device, *others = packed.items
    assert (device.category, device.length) == ("device", 4_000 - 101)
    audio = packed.audio(device)
    assert audio[0] == -1.0
    assert audio[3_000 - 101] == pytest.approx(0.001, rel=0.05)
    assert [item.category for item in others] == ["simulated"] * 2
    assert others[0].group != others[1].group
    np.testing.assert_array_equal(packed.audio(others[1]), simulated)


def test_direct_sound():
    response = np.zeros(50, np.float32)
    response[[3, 10, 20]] = 0.1, 0.4, -1.0
    np.testing.assert_array_equal(align_direct_sound(response), response[10:])
    response[10] = 0.3  # more than 10 dB below the peak
    np.testing.assert_array_equal(align_direct_sound(response), response[20:])


@pytest.mark.parametrize("percent", [0, 8, 50, 100])
def test_split_never_divides_a_group(percent):
    names = [f"group{number % 200}" for number in range(1_000)]
    train, held_out = pack_of([np.zeros(1)] * 1_000, names=names).split(percent)
    assert len(train.items) + len(held_out.items) == 1_000
    assert {i.group for i in train.items}.isdisjoint(i.group for i in held_out.items)
    assert len(held_out.items) / 10 == pytest.approx(percent, abs=7)


def test_split_is_the_same_everywhere():
    held = [name for name in map(str, range(60)) if in_validation(name, 8)]
    assert held == ["6", "9", "10", "13", "31", "43", "50", "59"]


def test_held_out_files(tmp_path):
    store = make_store(tmp_path, tracks=3, held_out=3, duration_s=1.0)
    counts = write_held_out(store, tmp_path / "out", 8)
    assert counts == {"references": 2, "absent": 1, "noise": 6, "rir": 3, "device": 3}
    sources = [
        {path.name.partition("__")[0] for path in (tmp_path / "out" / folder).iterdir()}
        for folder in ("references", "absent")
    ]
    assert sources[0].isdisjoint(sources[1])
    assert sources[0] | sources[1] == set(groups(3, 8, held_out=True))
    _, music = open_pack(store, "music").split(8)
    item = music.items[0]
    (file,) = (tmp_path / "out").rglob(f"{item.group}__piece.wav")
    np.testing.assert_array_equal(load_audio(file), music.audio(item))


def test_held_out_responses_keep_their_tails(tmp_path):
    (tmp_path / "files" / "device").mkdir(parents=True)
    (tmp_path / "files" / "room").mkdir()
    rng = np.random.default_rng(1)
    (group,) = groups(1, 8, held_out=True)
    response = (rng.standard_normal(8_000) * 10 ** (-6 * np.arange(8_000) / 8_000)).astype(np.float32)
    response[0] = 8.0
    for kind in ("room", "device"):
        write_float_wav(tmp_path / "files" / kind / f"{group}__{kind}.wav", response / 8)
    store = make_store(tmp_path, tracks=2, held_out=2, duration_s=1.0)
    packed = pack_rooms([tmp_path / "files"], [], store)
    assert write_held_out(store, tmp_path / "out", 8)["device"] >= 1
    for kind, folder in (("room", "rir"), ("device", "device")):
        (item,) = (item for item in packed.items if item.name == f"{kind}/{group}__{kind}.wav")
        kept = packed.audio(item)
        (file,) = (tmp_path / "out" / folder).glob(f"*{group}__{kind}.wav")
        np.testing.assert_array_equal(load_audio(file), kept)
        assert 0 < np.abs(kept[-500:]).max() < 1 / 65_536  # 16 bits would hold nothing of it


def test_float_wav_files(tmp_path):
    samples = np.array([0.0, 1.5, -2.0, 1e-7, 1 / 3], np.float32)
    write_float_wav(tmp_path / "a.wav", samples)
    data = (tmp_path / "a.wav").read_bytes()
    assert data[:4] == b"RIFF"
    assert int.from_bytes(data[4:8], "little") == len(data) - 8
    np.testing.assert_array_equal(np.frombuffer(data[-20:], "<f4"), samples)
    np.testing.assert_array_equal(load_audio(tmp_path / "a.wav"), samples)


def test_coded_twins_are_in_step_and_less(music, tmp_path):
    if available_codec() is None:
        pytest.skip("FFmpeg has no low-rate encoder here")
    packed = pack_audio([music], tmp_path / "store", "music", coded_share=1.0)
    plain = pack_audio([music], tmp_path / "plain", "music")
    assert len(packed.samples) == 2 * len(plain.samples)
    for item, alone in zip(packed.items, plain.items, strict=True):
        samples = packed.audio(item)
        np.testing.assert_array_equal(samples, plain.audio(alone))
        twin = packed.audio(replace(item, start=item.twin))
        assert len(twin) == item.length
        assert not np.array_equal(twin, samples)
        # Most likely at 0, give or take 1 ms; the twin's level is its own.
        middle = twin[2_000:-2_000].astype(np.float64)
        likeness = np.correlate(samples[1_000:-1_000], middle, "valid")
        assert abs(int(likeness.argmax()) - 1_000) <= 16
        assert likeness.max() > 0.7 * np.linalg.norm(middle) * np.linalg.norm(samples[2_000:-2_000])
    assert open_pack(tmp_path / "store", "music").items == packed.items


def test_a_share_is_coded_and_the_seed_picks_it(music, tmp_path):
    if available_codec() is None:
        pytest.skip("FFmpeg has no low-rate encoder here")
    for seed in range(12):
        write_wav(music / f"more{seed}.wav", compose(1, 0.3))
    chosen = [
        [
            item.twin is not None
            for item in pack_audio([music], tmp_path, "music", coded_share=0.5, seed=s).items
        ]
        for s in (1, 1, 2)
    ]
    assert chosen[0] == chosen[1]
    assert chosen[0] != chosen[2]
    assert 2 < sum(chosen[0]) < 13


def test_indexes_without_twins_are_read(music, tmp_path):
    packed = pack_audio([music], tmp_path / "store", "music")
    index = tmp_path / "store" / "music.json"
    described = json.loads(index.read_text(encoding="utf-8"))
    for item in described["items"]:
        del item["twin"], item["at"]  # as the first version wrote them
    index.write_text(json.dumps(described), encoding="utf-8")
    assert open_pack(tmp_path / "store", "music").items == packed.items


def test_what_breaks_off_leaves_the_old_store(music, tmp_path):
    packed = pack_audio([music / "one.wav"], tmp_path / "store", "music")
    before = packed.audio(packed.items[0])

    def interrupted(path, problem):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack_audio([music], tmp_path / "store", "music", on_file=interrupted)
    again = open_pack(tmp_path / "store", "music")
    assert again.items == packed.items
    np.testing.assert_array_equal(again.audio(again.items[0]), before)


def test_files_are_counted_before_they_are_decoded(music, tmp_path):
    assert count_files([music], "music") == 3
    assert count_files([], "rooms") == 0
    (tmp_path / "empty").mkdir()
    with pytest.raises(TrainingError, match=r"noise: no audio files in .*empty; name another folder"):
        count_files([tmp_path / "empty"], "noise")
    with pytest.raises(TrainingError, match=r"noise: .*nowhere: no such file or folder"):
        count_files([tmp_path / "nowhere"], "noise")
