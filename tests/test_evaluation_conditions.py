"""Queries are what their records say (places, ratios, rooms) and can be rendered again."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from earprint.audio import load_audio
from earprint.dsp.reverberation import synthetic_rir
from earprint.dsp.synthetic_noise import babble_noise
from earprint.errors import AudioError, EvaluationError
from earprint.evaluation.condition_options import select_conditions
from earprint.evaluation.conditions import (
    CONDITIONS,
    Clean,
    Condition,
    Device,
    Noise,
    Phone,
    Room,
    RoomNoise,
    Speech,
    Speed,
    condition_class,
    register,
    snr_of,
)
from earprint.evaluation.excerpts import change_speed, cut, draw_excerpts
from earprint.evaluation.material import Material, load_noise, load_response
from earprint.evaluation.query import Query, read_manifest, write_manifest
from earprint.evaluation.rendering import render
from helpers.audiofiles import float_wave

RATE = 16_000
FILES = [(Path(f"/music/{i}.wav"), 20.0 + 7 * i) for i in range(5)]
NOISES = [Path("/noise/1.wav"), Path("/noise/2.wav")]
ROOMS = [Path("/room/1.wav"), Path("/room/2.wav")]
MATERIAL = Material((), noises=NOISES, rooms=ROOMS)


@pytest.fixture
def material(tmp_path):
    """Music (noise with a voice of its own for each second), a noise and a room 25 ms behind a wall."""
    rng = np.random.default_rng(0)
    music = 0.2 * rng.standard_normal(20 * RATE)
    float_wave(tmp_path / "music.wav", music)
    noise = babble_noise(3 * RATE, 1)
    float_wave(tmp_path / "noise.wav", 0.3 * noise)
    response = np.concatenate([np.zeros(400), 0.5 * synthetic_rir(0.4, 2)])
    float_wave(tmp_path / "room.wav", response)
    return tmp_path


def query(folder, **changes):
    made = Query(
        folder / "music.wav",
        7.123,
        2.0,
        "x",
        None,
        folder / "noise.wav",
        1.7,
        None,
        phone=False,
        present=True,
    )
    return replace(made, **changes)


def only(queries):
    ((_, audio),) = render(queries)
    return audio


def power_db(samples):
    return 10 * np.log10(np.mean(np.asarray(samples, np.float64) ** 2))


# drawing


def test_places_are_continuous_and_inside():
    drawn = draw_excerpts(FILES, 2000, 5.0, 3)
    durations = dict(FILES)
    relative = np.array([d.start_s / (durations[d.path] - 5.05) for d in drawn])
    assert relative.min() >= 0
    assert relative.max() <= 1
    # uniform: mean 1/2 with a deviation of 1/sqrt(12 n), both ends reached
    assert abs(relative.mean() - 0.5) < 4 / np.sqrt(12 * 2000)
    assert relative.min() < 0.01
    assert relative.max() > 0.99
    # on no grid: the paper's hop, ours, milliseconds
    for grid_s in (0.1, 0.04, 0.001):
        phase = np.array([d.start_s for d in drawn]) / grid_s % 1
        assert np.histogram(phase, 4, (0, 1))[0].min() > 400


def test_every_file_once_before_any_again():
    paths = [d.path for d in draw_excerpts(FILES, 23, 5.0, 3)]
    for i in range(0, 20, 5):
        assert len(set(paths[i : i + 5])) == 5
    assert max(Counter(paths).values()) == 5
    assert paths[:5] != paths[5:10]


def test_short_recordings_are_not_used():
    files = [(Path("short"), 5.05), (Path("long"), 5.2)]
    assert {d.path for d in draw_excerpts(files, 10, 5.0, 1)} == {Path("long")}
    assert draw_excerpts(files[:1], 10, 5.0, 1) == []


def test_seed():
    def drawn(seed):
        return draw_excerpts(FILES, 10, 5.0, seed, material=MATERIAL)

    assert drawn(1) == drawn(1)
    assert [d.start_s for d in drawn(1)] != [d.start_s for d in drawn(2)]


def test_conditions_follow_the_material():
    def names(snrs_db, **material):
        chosen = select_conditions(None, Material((), **material), {"--snr": snrs_db})
        return [condition.title for condition in chosen]

    assert names([0.0, 2.5]) == ["clean"]
    assert names([0.0, 2.5], noises=NOISES) == ["clean", "noise 0 dB", "noise 2.5 dB"]
    assert names([0.0], rooms=ROOMS) == ["clean", "room"]
    assert names([-5.0], noises=NOISES, rooms=ROOMS) == [
        "clean", "noise -5 dB", "room", "room + noise -5 dB", "phone",
    ]  # fmt: skip
    assert names([], devices=ROOMS) == ["clean", "device"]
    assert names([], speech=NOISES) == ["clean", "speech -6 dB"]


def test_same_excerpt_under_all_conditions():
    drawn = draw_excerpts(FILES, 8, 5.0, 1, material=MATERIAL)
    wanted = select_conditions(None, MATERIAL, {"--snr": [0.0, 10.0]})
    for one in drawn:
        asked = [condition.apply(one) for condition in wanted]
        assert len({(a.path, a.start_s, a.length_s, a.noise_start_s) for a in asked}) == 1
        assert {a.noise for a in asked} == {None, one.noise}
        assert {a.room for a in asked} == {None, one.room}
        for a, condition in zip(asked, wanted, strict=True):
            assert (a.noise is None) == (condition.name in ("clean", "room"))
            assert (a.room is None) == (condition.name in ("clean", "noise"))
            assert a.condition == condition.title


# rendering


def test_clean_excerpt_is_the_recording(material):
    music = load_audio(material / "music.wav")
    start = round(7.123 * RATE)
    np.testing.assert_array_equal(only([query(material)]), music[start : start + 2 * RATE])


@pytest.mark.parametrize("room", [False, True])
@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 12.5])
def test_signal_to_noise_ratio_is_exact(material, room, snr_db):
    where = material / "room.wav" if room else None
    signal = only([query(material, room=where)])
    both = only([query(material, room=where, snr_db=snr_db)])
    assert power_db(signal) - power_db(both.astype(np.float64) - signal) == pytest.approx(snr_db, abs=0.05)


def test_noise_starts_where_it_says_and_loops(material):
    noise = load_audio(material / "noise.wav")
    added = only([query(material, snr_db=0.0)]) - only([query(material)])
    past = RATE  # the noise, too, has a past
    at = (round(1.7 * RATE) + past + np.arange(2 * RATE)) % len(noise)
    assert np.corrcoef(added, noise[at])[0, 1] > 0.9999


def test_room_acts_on_both(material):
    """By the full convolution of numpy, of signal and noise with everything before them."""
    response = load_response(material / "room.wav")
    music, noise = load_audio(material / "music.wav"), load_audio(material / "noise.wav")
    start, n, past = round(7.123 * RATE), 2 * RATE, RATE
    heard = music[start - past : start + n]
    expected = np.convolve(heard, response)[past : past + n]
    wet = only([query(material, room=material / "room.wav")])
    np.testing.assert_allclose(wet, expected, atol=1e-4)
    looped = noise[(round(1.7 * RATE) + np.arange(past + n)) % len(noise)]
    echoed = np.convolve(looped, response)[past : past + n]
    added = only([query(material, room=material / "room.wav", snr_db=0.0)]) - wet
    assert np.corrcoef(added, echoed)[0, 1] > 0.9999
    assert np.corrcoef(added, looped[past:])[0, 1] < 0.99


def test_the_past_is_heard(tmp_path):
    """A burst that ends before the excerpt is heard in it through the room, and only through it."""
    music = np.full(10 * RATE, 0.003)
    music[round(4.8 * RATE) : 5 * RATE] += 0.5 * np.sin(np.arange(round(0.2 * RATE)))
    float_wave(tmp_path / "music.wav", music)
    float_wave(tmp_path / "room.wav", synthetic_rir(0.6, 1))
    dry = query(tmp_path, start_s=5.0, noise=None)
    wet = replace(dry, room=tmp_path / "room.wav")
    first = slice(0, RATE // 10)
    assert power_db(only([wet])[first]) > power_db(only([dry])[first]) + 10
    at_the_beginning = replace(wet, start_s=0.0)
    assert len(only([at_the_beginning])) == 2 * RATE


def test_direct_sound_of_a_response_is_at_0(material):
    response = load_response(material / "room.wav")
    assert response[0] == pytest.approx(1.0, abs=0.01)
    assert np.abs(response).max() == 1.0
    assert len(response) == round(0.4 * RATE)


def test_phone_band(material):
    freqs = np.fft.rfftfreq(2 * RATE, 1 / RATE)
    spectrum = np.abs(np.fft.rfft(only([query(material, phone=True)]))) ** 2
    inside = spectrum[(freqs > 400) & (freqs < 3000)].mean()
    assert spectrum[freqs > 5000].mean() < 1e-3 * inside
    assert spectrum[(freqs > 10) & (freqs < 150)].mean() < 1e-3 * inside


def test_manifest_round_trip(material):
    drawn = draw_excerpts(
        [(material / "music.wav", 20.0)], 3, 1.5, 5,
        material=Material((), noises=[material / "noise.wav"], rooms=[material / "room.wav"]),
    )  # fmt: skip
    asked = [
        condition.apply(one)
        for condition in (Clean(), Noise(3.3), Room(), RoomNoise(3.3), Phone())
        for one in drawn
    ]
    lines = "".join(json.dumps({**one.to_dict(), "score": 0.5}) + "\n" for one in asked)
    (material / "queries.jsonl").write_text(2 * lines)  # as by two systems
    again = read_manifest(material / "queries.jsonl")
    assert again == asked
    pairs = list(zip(render(asked), render(again), strict=True))
    assert len(pairs) == 15
    for (_, first), (_, second) in pairs:
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("line", ["{}", "[1]", "no json", '{"path": 1}'])
def test_manifest_of_something_else(tmp_path, line):
    (tmp_path / "queries.jsonl").write_text(line + "\n")
    with pytest.raises(EvaluationError, match=r"queries.jsonl: line 1 is not a query"):
        read_manifest(tmp_path / "queries.jsonl")


def test_manifests_of_before_devices_and_speeds_are_read(material):
    record = query(material).to_dict()
    for later in ("speed", "device", "codec", "t60_s"):
        del record[later]
    assert "parameters" not in record
    (material / "queries.jsonl").write_text(json.dumps(record) + "\n")
    assert read_manifest(material / "queries.jsonl") == [query(material)]


def test_manifests_that_cannot_be_read(tmp_path):
    with pytest.raises(EvaluationError, match="cannot be read"):
        read_manifest(tmp_path / "none.jsonl")
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(EvaluationError, match="holds no queries"):
        read_manifest(tmp_path / "empty.jsonl")
    asked = [query(tmp_path, rt60_s=0.5, device=Path("d.wav"), codec="opus", speed=1.03)]
    write_manifest(tmp_path / "m.jsonl", asked)
    assert json.loads((tmp_path / "m.jsonl").read_text())["t60_s"] == 0.5  # the key of older manifests
    assert read_manifest(tmp_path / "m.jsonl") == asked


# speed, device, codec


def test_conditions_that_are_wanted():
    material = replace(MATERIAL, devices=ROOMS, speech=NOISES)

    def titles(*requested, **options):
        levels = {"--snr": [0.0], "--speed": options.get("speeds", [])}
        return [one.title for one in select_conditions(requested or None, material, levels)]

    assert titles("phone", "clean") == ["clean", "phone"]
    assert titles("room-noise", "speed", speeds=[1.03, 0.975]) == [
        "room + noise 0 dB", "speed x 1.03", "speed x 0.975",
    ]  # fmt: skip
    assert titles("noise=-5,2.5", "noise=10", "speech=-3,-12") == [
        "noise -5 dB", "noise 2.5 dB", "noise 10 dB", "speech -3 dB", "speech -12 dB",
    ]  # fmt: skip
    everything = titles(speeds=[1.03])
    assert len(everything) == len(CONDITIONS)
    for title in everything:
        assert titles(condition_class(title).name, speeds=[1.03]) == [title]


def test_titles_name_their_conditions():
    assert condition_class("room, RT60 0.3-0.45 s") is Room
    assert condition_class("room + noise -5 dB") is RoomNoise
    assert condition_class("speed +3 %") is Speed  # as older manifests have it
    assert condition_class("speech -6 dB") is Speech
    assert condition_class("something else") is Condition
    assert snr_of("room + noise -2.5 dB") == -2.5


@pytest.mark.parametrize(
    ("requested", "said"),
    [
        ("nonsense", "no such condition; use one of clean, noise"),
        ("clean=3", "it takes no level"),
        ("speed=3", "its level is the factor from 0.5 to 2"),
        ("noise=loud", "its level is the SNR in dB"),
        ("noise=inf", "its level is the SNR in dB"),
        ("speed", r"needs levels \(factor\); give them with --speed"),
        ("device", "needs responses of devices; name a folder of them with --device"),
        ("speech=-3", "name a folder of recordings of it with --speech"),
    ],
)
def test_conditions_that_cannot_be(requested, said):
    with pytest.raises(EvaluationError, match=said):
        select_conditions([requested], MATERIAL)


def test_devices_do_not_move_the_places():
    plain = draw_excerpts(FILES, 10, 5.0, 1, material=MATERIAL)
    devices, voices = ([Path(f"/{kind}/1.wav"), Path(f"/{kind}/2.wav")] for kind in ("device", "voice"))
    heard = draw_excerpts(FILES, 10, 5.0, 1, material=replace(MATERIAL, devices=devices, speech=voices))
    starts_s = [one.speech_start_s for one in plain]
    assert [replace(one, device=None, speech=None) for one in plain] == plain
    assert [
        replace(one, device=None, speech=None, speech_start_s=start_s)
        for one, start_s in zip(heard, starts_s, strict=True)
    ] == plain
    assert {one.device for one in heard} == set(devices)
    assert {one.speech for one in heard} == set(voices)
    assert Phone().apply(heard[0]).device == Device().apply(heard[0]).device == heard[0].device
    assert Clean().apply(heard[0]).device is None


def test_a_room_brings_its_reverberation_time():
    material = Material((), noises=NOISES, rooms=ROOMS[:1])
    (drawn,) = draw_excerpts(FILES, 1, 5.0, 1, material=material, rt60s_s={ROOMS[0]: 0.47})
    assert Room().apply(drawn).rt60_s == RoomNoise(0.0).apply(drawn).rt60_s == 0.47
    assert Clean().apply(drawn).rt60_s is None


def test_faster_excerpts_stay_inside():
    fast = Speed(1.1)
    for one in draw_excerpts([(Path("a"), 6.0)], 50, 5.0, 2):
        start_s = fast.apply(one).start_s
        assert 0 <= start_s <= one.start_s
        assert start_s + 5.5 < 6.0
        if one.start_s + 5.55 <= 6.0:
            assert start_s == one.start_s


@pytest.mark.parametrize("speed", [0.97, 1.03, 1.1])
def test_speed_is_the_recording_read_faster(tmp_path, speed):
    """Against the sinc interpolation of numpy at the times that are played."""
    t = np.arange(12 * RATE) / RATE
    music = sum(0.1 * np.sin(2 * np.pi * f * t + f) for f in (220.0, 1234.5, 3210.0))
    music *= 1 + 0.5 * np.sin(2 * np.pi * 1.7 * t)
    float_wave(tmp_path / "music.wav", music)
    for start_s in (0.0, 7.123):
        audio = only([query(tmp_path, start_s=start_s, speed=speed)])
        assert len(audio) == 2 * RATE
        at = round(start_s * RATE) / RATE + np.arange(2 * RATE) / RATE * speed
        expected = sum(0.1 * np.sin(2 * np.pi * f * at + f) for f in (220.0, 1234.5, 3210.0))
        expected *= 1 + 0.5 * np.sin(2 * np.pi * 1.7 * at)
        middle = slice(200, -200)  # the filter runs in at the beginning of the recording
        np.testing.assert_allclose(audio[middle], expected[middle], atol=0.01)


def test_the_past_is_played_at_the_same_speed(material):
    music = load_audio(material / "music.wav")
    excerpt, past = cut(music, 7.123, 2.0, 1.05)
    assert len(past) == RATE
    assert len(excerpt) == 2 * RATE
    whole = change_speed(music, 1.05)
    at = round(7.123 * RATE / 1.05)
    both = np.concatenate([past, excerpt])
    shifts = [np.corrcoef(both, whole[at - RATE + s :][: 3 * RATE])[0, 1] for s in range(-2, 3)]
    assert max(shifts) > 0.9


def test_a_device_colours_signal_and_noise(material):
    response = np.zeros(200)
    response[[0, 40]] = 1.0, -0.5
    float_wave(material / "device.wav", response)
    plain = only([query(material, snr_db=5.0)])
    heard = only([query(material, snr_db=5.0, device=material / "device.wav")])
    expected = plain.copy()
    expected[40:] -= 0.5 * plain[:-40]
    np.testing.assert_allclose(heard, expected, atol=1e-3)


def test_the_codec_is_last(material):
    dry = query(material, phone=True)
    sent, heard = only([dry]), only([replace(dry, codec="opus")])
    assert heard.shape == sent.shape
    assert 0.2 < np.abs(heard).max() <= 1.0  # at a telephone's level, whatever the recording's
    spectra = [np.abs(np.fft.rfft(one)) ** 2 for one in (sent, heard)]
    freqs = np.fft.rfftfreq(2 * RATE, 1 / RATE)
    shares = [one[freqs > 4500].sum() / one.sum() for one in spectra]
    assert max(shares) < 0.02
    assert not np.allclose(heard / np.std(heard), sent / np.std(sent), atol=0.1)


# leaving out


def left_out_of(queries):
    told = []
    rendered = [one for one, _ in render(queries, lambda one, cause: told.append((one, cause)))]
    return rendered, told


def test_silent_excerpts_are_left_out_and_told(tmp_path):
    music = np.zeros(20 * RATE)
    music[10 * RATE :] = 0.1 * np.sin(np.arange(10 * RATE))
    float_wave(tmp_path / "music.wav", music)
    silent, loud = query(tmp_path, start_s=2.0, noise=None), query(tmp_path, start_s=12.0, noise=None)
    rendered, told = left_out_of([silent, loud])
    assert rendered == [loud]
    assert told == [(silent, "silent")]


def test_silent_noise_is_no_condition(material):
    float_wave(material / "noise.wav", np.zeros(RATE))
    load_noise.cache_clear()
    rendered, told = left_out_of([query(material), query(material, snr_db=0.0)])
    assert len(rendered) == 1
    assert "noise is silent" in told[0][1]


def test_recordings_that_went_away_or_shrank(material):
    float_wave(material / "short.wav", np.full(RATE, 0.1))
    gone, short = query(material, path=material / "gone.wav"), query(material, path=material / "short.wav")
    rendered, told = left_out_of([gone, short, query(material)])
    assert len(rendered) == 1
    assert [one for one, _ in told] == [gone, short]
    assert "gone.wav: no such file" in told[0][1]
    assert "short.wav: is shorter" in told[1][1]


def test_a_silent_response_is_an_error(tmp_path):
    float_wave(tmp_path / "room.wav", np.zeros(1000))
    with pytest.raises(AudioError, match=r"room.wav: a silent response"):
        load_response(tmp_path / "room.wav")


def test_long_noises_are_cut_off(material):
    assert len(load_noise(material / "music.wav", longest_s=5.0)) == 10 * RATE  # whole blocks


# more conditions


def test_responses_keep_float_precision(tmp_path):
    """A tail far below the steps of 16 bits is still there."""
    response = np.zeros(2000)
    response[0], response[1000] = 0.5, 1e-6
    float_wave(tmp_path / "room.wav", response)
    loaded = load_response(tmp_path / "room.wav")
    assert loaded[1000] == pytest.approx(2e-6, rel=1e-3)


def test_speech_is_mixed_at_its_ratio(material):
    voice = Material((), speech=[material / "noise.wav"])
    (excerpt,) = draw_excerpts([(material / "music.wav", 20.0)], 1, 2.0, 3, material=voice)
    clean, mixed = only([Clean().apply(excerpt)]), only([Speech(-12.0).apply(excerpt)])
    assert power_db(clean) - power_db(mixed.astype(np.float64) - clean) == pytest.approx(-12.0, abs=0.05)


def test_a_device_alone(material):
    response = np.zeros(200)
    response[[0, 40]] = 1.0, -0.5
    float_wave(material / "device.wav", response)
    devices = Material((), devices=[material / "device.wav"])
    (excerpt,) = draw_excerpts([(material / "music.wav", 20.0)], 1, 2.0, 3, material=devices)
    clean, heard = only([Clean().apply(excerpt)]), only([Device().apply(excerpt)])
    np.testing.assert_allclose(heard[40:], clean[40:] - 0.5 * clean[:-40], atol=1e-3)


def test_a_condition_of_ones_own(material):
    """A class is all that a new condition needs: it is chosen, drawn, kept in manifests, and rendered."""

    @register
    class Clipping(Condition):
        name = label = "clipping"
        level_name = "level in dB of full scale"
        default_levels = (-20.0,)

        def apply(self, excerpt):
            return replace(super().apply(excerpt), parameters=(("clip_at", 10 ** (self.level / 20)),))

        @classmethod
        def distort(cls, query, excerpt, past):
            clip_at = dict(query.parameters)["clip_at"]
            return np.clip(super().distort(query, excerpt, past), -clip_at, clip_at)

    try:
        (condition,) = select_conditions(["clipping=-26"], Material(()))
        (excerpt,) = draw_excerpts([(material / "music.wav", 20.0)], 1, 2.0, 3)
        asked = condition.apply(excerpt)
        assert asked.condition == "clipping -26 dB"
        write_manifest(material / "m.jsonl", [asked])
        assert read_manifest(material / "m.jsonl") == [asked]
        assert np.abs(only([asked])).max() == pytest.approx(10 ** (-26 / 20), rel=1e-4)
    finally:
        CONDITIONS.pop("clipping", None)
