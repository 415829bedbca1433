"""Batches: both sides show the same moment, tracks are distinct, noise is as loud as asked."""

from dataclasses import replace

import numpy as np
import pytest

from earprint.audio.wav import write_wav
from earprint.dsp.reverberation import synthetic_rir
from earprint.training.hierarchical_sampler import HierarchicalSampler
from earprint.training.packed_audio import Pack
from earprint.training.packing import pack_rooms
from helpers.trainstore import pack_of

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'earprint[train]'")
from earprint.training.augmentation import Augmentations, base  # noqa: E402
from earprint.training.augmentation.responses import Room  # noqa: E402
from earprint.training.sampler import CONTEXT_S, CONTEXT_STEPS, Sampler  # noqa: E402

CPU = torch.device("cpu")
CONTEXT = round(CONTEXT_S * 16_000)
NONE = Augmentations.noise_only((200.0, 200.0), shift={"probability": 0.0}, level={"probability": 0.0})
ROOM = {"probability": 1.0, "simulated_share": 0.0}


def noises(count, n, seed=0, level=3_000):
    rng = np.random.default_rng(seed)
    return [level * rng.standard_normal(n) for _ in range(count)]


MUSIC = pack_of(noises(6, 80_000))
NOISE = pack_of(noises(4, 9_000, seed=1), names=["hum/a", "hum/b", "talk/c", "talk/d"])


def room(at, n=2_000):
    response = np.zeros(n, np.float32)
    response[at] = 1.0
    return response


ROOMS = pack_of([room(0), room(1_000)], np.float32, ["device/a", "room/b"])


def sampler(augmentations=NONE, seed=1, music=MUSIC, noise=NOISE, rooms=ROOMS, codec_queries=None, **options):
    return Sampler(music, noise, rooms, augmentations, CPU, seed, codec_queries, **options)


def middle(batch):
    return batch.clean[:, CONTEXT:-CONTEXT]


@pytest.mark.parametrize("length_s", [1.0, 1.4, 3.0])
def test_without_distortions_the_query_is_the_middle_of_the_reference(length_s):
    batch = sampler().draw(5, length_s)
    n = round(length_s * 16_000)
    assert batch.distorted.shape == (5, n)
    assert batch.clean.shape == (5, n + 2 * CONTEXT)
    assert batch.distorted.dtype == batch.clean.dtype == torch.float32
    # The filter's gain, set to pass everything, is 0.3 mdB off at most.
    np.testing.assert_allclose(batch.distorted, middle(batch), atol=2e-4)
    assert float(middle(batch).abs().max()) > 0.1


def test_context_is_whole_steps():
    assert round(CONTEXT_S / 0.04, 6) == CONTEXT_STEPS


@pytest.mark.parametrize("size", [2, 4, 6])
def test_tracks_of_a_batch_are_distinct(size):
    constant = pack_of([np.full(40_000, 1_000 * (i + 1)) for i in range(6)])
    drawing = sampler(music=constant)
    seen = []
    for _ in range(30):
        values = (middle(drawing.draw(size, 0.5))[:, 0] * 32_768 / 1_000).round().int().tolist()
        assert len(set(values)) == size
        seen += values
    counts = np.bincount(seen, minlength=7)[1:]
    assert counts.max() - counts.min() <= 2


def test_every_track_comes_before_any_comes_again():
    drawing = sampler()
    order = drawing.batch_sampler.distinct(4) + drawing.batch_sampler.distinct(2)
    assert sorted(order) == list(range(6))


def test_more_clips_than_tracks_repeat_tracks():
    assert sampler().draw(8, 0.5).clean.shape[0] == 8


def test_same_seed_same_batches():
    first, again, other = sampler(Augmentations()), sampler(Augmentations()), sampler(Augmentations(), seed=2)
    for _ in range(3):
        a, b, c = first.draw(4, 1.0), again.draw(4, 1.0), other.draw(4, 1.0)
        assert torch.equal(a.clean, b.clean)
        assert torch.equal(a.distorted, b.distorted)
        log_mel = torch.arange(4 * 5 * 64.0).reshape(4, 5, 64)
        assert torch.equal(a.augment_log_mel(log_mel), b.augment_log_mel(log_mel))
        assert not torch.equal(a.distorted, c.distorted)


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 12.0])
@pytest.mark.parametrize("second_noise", [0.0, 1.0])
def test_noise_level(snr_db, second_noise):
    batch = sampler(
        NONE.updated(noise={"snr_db": (snr_db, snr_db), "second_probability": second_noise})
    ).draw(6, 2.0)
    added = batch.distorted - middle(batch)
    measured = 10 * torch.log10(middle(batch).square().mean(1) / added.square().mean(1))
    np.testing.assert_allclose(measured, snr_db, atol=0.1)


def test_noise_shorter_than_the_clip_goes_round():
    batch = sampler(NONE.updated(noise={"snr_db": (-20.0, -20.0)})).draw(3, 2.0)
    added = batch.distorted - middle(batch)
    np.testing.assert_allclose(added[:, 9_000:18_000], added[:, :9_000], atol=0.02)


def test_silent_noise_is_harmless():
    silent = pack_of([np.zeros(5_000)], names=["hum/a"])
    batch = sampler(NONE.updated(noise={"snr_db": (0.0, 0.0)}), noise=silent).draw(3, 1.0)
    assert torch.isfinite(batch.distorted).all()
    np.testing.assert_allclose(batch.distorted, middle(batch), atol=1e-3)


def test_a_room_brings_in_the_real_past():
    batch = sampler(NONE.updated(room=ROOM)).draw(6, 1.0)
    late = batch.clean[:, CONTEXT - 1_000 : CONTEXT - 1_000 + 16_000]
    np.testing.assert_allclose(batch.distorted, late, atol=5e-4)


def test_noise_sounds_in_the_same_room():
    t = np.arange(16_000) / 16_000
    hum = pack_of([10_000 + 1_000 * np.sin(2 * np.pi * 1_000 * t)], names=["hum/a"])
    differences = pack_of([np.array([1.0, -1.0])], np.float32, ["room/a"])  # passes no constant
    loud = NONE.updated(room=ROOM, noise={"snr_db": (-20.0, -20.0)})
    batch = Sampler(MUSIC, hum, differences, loud, CPU, 1).draw(3, 1.0)
    added = batch.distorted - (middle(batch) - batch.clean[:, CONTEXT - 1 : -CONTEXT - 1])
    assert float((added.mean(1).abs() / added.square().mean(1).sqrt()).max()) < 0.01


def test_a_missing_category_is_no_response():
    batch = sampler(NONE.updated(room={"probability": 1.0, "simulated_share": 1.0})).draw(6, 1.0)
    np.testing.assert_allclose(batch.distorted, middle(batch), atol=5e-4)


def test_levels():
    batch = sampler(NONE.updated(level={"probability": 1.0, "gain_db": (-20.0, -20.0)})).draw(3, 1.0)
    np.testing.assert_allclose(batch.distorted, middle(batch) / 10, atol=1e-4)


def ramp():
    """Tracks whose samples say where they stand, from 4000 up."""
    return pack_of([np.arange(4_000, 32_000) for _ in range(6)])


def test_shift_stays_within_its_range():
    drawing = sampler(NONE.updated(shift={"probability": 1.0, "offset_s": (-0.022, 0.022)}), music=ramp())
    moved = []
    for _ in range(8):
        batch = drawing.draw(6, 0.25)
        moved += ((batch.distorted - middle(batch))[:, 2_000] * 32_768).tolist()
    assert np.abs(moved).max() <= 0.022 * 16_000 + 2
    assert min(moved) < -100
    assert max(moved) > 100


def test_speed_turns_about_the_middle():
    drawing = sampler(NONE.updated(query_speed={"probability": 1.0, "rate": (0.96, 1.04)}), music=ramp())
    batch = drawing.draw(6, 0.25)
    n = batch.distorted.shape[1]
    got, plain = batch.distorted.double() * 32_768, middle(batch).double() * 32_768
    np.testing.assert_allclose(got[:, n // 2], plain[:, n // 2], atol=3)
    slope = ((got[:, -500] - got[:, 500]) / (n - 1_000)).numpy()
    assert (np.abs(slope - 1) < 0.042).all()
    assert np.ptp(slope) > 0.01


def test_masks_are_as_frequent_and_wide_as_set():
    batch = sampler(NONE.updated(spec_mask={"probability": 1.0})).draw(60, 0.1)
    log_mel = torch.arange(60 * 64.0).reshape(60, 1, 64)
    hidden = (batch.augment_log_mel(log_mel) != log_mel)[:, 0]
    assert int(hidden.sum(1).min()) >= 2  # the mean may be the value of a masked band
    assert int(hidden.sum(1).max()) <= 13
    edges = torch.diff(torch.nn.functional.pad(hidden.int(), (1, 1))).abs().sum(1)
    assert int(edges.max()) <= 4
    assert torch.equal(sampler().draw(20, 0.1).augment_log_mel(log_mel[:20]), log_mel[:20])


def test_clips_past_a_tracks_ends_are_silent():
    short = pack_of([np.full(8_000, 10_000) for _ in range(3)])
    batch = sampler(music=short).draw(3, 1.0)
    assert float(batch.clean[:, :CONTEXT].abs().max()) == 0
    assert float(middle(batch)[:, 8_000:].abs().max()) == 0
    np.testing.assert_allclose(middle(batch)[:, :8_000], 10_000 / 32_768, rtol=1e-6)


def test_default_distortions_are_finite_and_do_distort():
    batch = sampler(Augmentations()).draw(6, 1.0)
    assert torch.isfinite(batch.distorted).all()
    assert float((batch.distorted - middle(batch)).abs().mean()) > 1e-2


def drawn_twice(snr_db=0.0, *, seed=3, music=MUSIC, noise=NOISE, rooms=ROOMS, **changes):
    """The same batch with noise, and with noise too quiet to matter."""
    noisy, quiet = (NONE.updated(noise={"snr_db": (ratio, ratio)}, **changes) for ratio in (snr_db, 200.0))
    return [Sampler(music, noise, rooms, kind, CPU, seed).draw(6, 1.0) for kind in (noisy, quiet)]


def decaying(n, seed):
    rng = np.random.default_rng(seed)
    response = rng.standard_normal(n) * 10 ** (-3 * np.arange(n) / n)
    response[0] = 6.0
    return response


ECHOES = pack_of([decaying(3_000, 1), decaying(2_000, 2)], np.float32, ["room/a", "room/b"])


@pytest.mark.parametrize("snr_db", [-3.0, 0.0, 10.0])
@pytest.mark.parametrize("band_limit", [0.0, 1.0])
def test_the_ratio_is_that_of_what_is_heard_after_reverberation_and_filters(snr_db, band_limit):
    noisy, dry = drawn_twice(snr_db, rooms=ECHOES, room=ROOM, band_limit={"probability": band_limit})
    heard, added = dry.distorted, noisy.distorted - dry.distorted
    measured = 10 * torch.log10(heard.square().mean(1) / added.square().mean(1))
    np.testing.assert_allclose(measured, snr_db, atol=0.1)
    # The dry signal has another level, so that it matters which of the two is meant.
    level = 10 * torch.log10(heard.square().mean(1) / middle(dry).square().mean(1))
    assert float(level.abs().min()) > 1


def test_reverberation_is_a_slow_convolution_with_a_second_of_the_past():
    only = pack_of([decaying(16_000, 1)], np.float32, ["room/a"])
    track = noises(1, 80_000)[0]
    batch = Sampler(pack_of([track]), NOISE, only, NONE.updated(room=ROOM), CPU, 1).draw(1, 1.0)
    whole = np.trunc(track).astype(np.float64) / 32_768
    needle = middle(batch)[0].double().numpy()
    start = int(np.argmax(np.correlate(whole, needle, "valid")))
    np.testing.assert_allclose(whole[start : start + 16_000], needle, atol=1e-6)
    heard = np.concatenate([np.zeros(16_000), whole])[start : start + 32_000]  # from one second before
    expected = np.convolve(heard, only.samples.astype(np.float64))[16_000:32_000]
    np.testing.assert_allclose(batch.distorted[0], expected, atol=2e-3 * np.abs(expected).max())


def test_what_sounded_nearly_a_second_ago_is_still_heard():
    late = np.zeros(16_000)
    late[0], late[15_900] = 1.0, 0.5
    batch = Sampler(
        MUSIC, NOISE, pack_of([late], np.float32, ["room/a"]), NONE.updated(room=ROOM), CPU, 1
    ).draw(6, 0.8)
    echo = batch.distorted - middle(batch)
    # 15 900 samples ago; the clean side holds the last 12 800 of them.
    known = batch.clean[:, : 12_800 - 3_100]
    np.testing.assert_allclose(echo[:, 3_100:12_800], 0.5 * known, atol=1e-3)
    assert float(echo[:, :3_100].square().mean()) > 1e-5


def test_reverberation_does_not_delay(tmp_path):
    folder = tmp_path / "rooms" / "room"
    folder.mkdir(parents=True)
    for seed in (1, 2):
        before = np.zeros(200 * seed, np.float32)  # a recorded response begins before the sound arrives
        response = np.concatenate([before, synthetic_rir(0.4, seed)])
        write_wav(folder / f"{seed}.wav", 0.9 * response / np.abs(response).max())
    packed = pack_rooms([tmp_path / "rooms"], [], tmp_path / "store")
    batch = Sampler(MUSIC, NOISE, packed, NONE.updated(room=ROOM), CPU, 1).draw(6, 1.0)
    for heard, dry in zip(batch.distorted.numpy(), batch.clean.numpy(), strict=True):
        likeness = np.correlate(dry, heard, "valid")
        assert np.abs(likeness).argmax() == CONTEXT


def test_noise_goes_through_the_very_response_of_its_signal():
    # The noise clicks twice a second, so that what is added to the signal is the response itself.
    click = np.zeros(8_000)
    click[0] = 20_000
    noisy, dry = drawn_twice(noise=pack_of([click], names=["hum/a"]), rooms=ECHOES, room=ROOM)
    added = (noisy.distorted - dry.distorted).double().numpy()
    responses = [ECHOES.audio(item).astype(np.float64) for item in ECHOES.items]

    def nearest(heard, candidates):
        return int(np.argmax([abs(heard @ c) / np.linalg.norm(c) for c in candidates]))

    of_noise, of_signal = [], []
    for row in range(6):
        clicks = [
            np.roll(np.pad(response, (0, 13_000 - len(response) + 3_000)), shift)[:16_000]
            for response in responses
            for shift in [int(np.argmax(np.abs(np.correlate(added[row], response, "valid"))))]
        ]
        of_noise.append(nearest(added[row], clicks))
        music = dry.clean[row, : CONTEXT + 6_000].double().numpy()
        rebuilt = [np.convolve(music, response)[CONTEXT : CONTEXT + 6_000] for response in responses]
        of_signal.append(nearest(dry.distorted[row, :6_000].double().numpy(), rebuilt))
    assert of_noise == of_signal
    assert set(of_noise) == {0, 1}


@pytest.mark.parametrize("gain", [-30.0, 3.0])
def test_levels_in_decibels(gain):
    batch = sampler(NONE.updated(level={"probability": 1.0, "gain_db": (gain, gain)})).draw(3, 1.0)
    change = 10 * torch.log10(batch.distorted.square().mean(1) / middle(batch).square().mean(1))
    np.testing.assert_allclose(change, gain, atol=0.01)


@pytest.mark.parametrize("shift_s", [0.01, 0.04])
def test_offsets_fill_their_range_on_both_sides(shift_s):
    drawing = sampler(NONE.updated(shift={"probability": 1.0, "offset_s": (-shift_s, shift_s)}), music=ramp())
    moved = torch.cat(
        [(batch.distorted - middle(batch))[:, 2_000] for batch in (drawing.draw(6, 0.25) for _ in range(40))]
    )
    moved_s = (moved * 32_768).numpy() / 16_000
    assert np.abs(moved_s).max() <= shift_s + 2 / 16_000
    assert moved_s.min() < -0.95 * shift_s
    assert moved_s.max() > 0.95 * shift_s
    assert abs(moved_s.mean()) < 0.2 * shift_s


def places(batch):
    """Track and first sample of the middle of each clip of `numbered` tracks."""
    first = (middle(batch)[:, 0] * 32_768).round().int().numpy()
    return list(zip((first - 100) // 10_000, (first - 100) % 10_000 * 16, strict=True))


def numbered(seconds):
    """Tracks whose samples say which track it is and, to 1 ms, where."""
    return pack_of([100 + 10_000 * t + np.arange(s * 16_000) // 16 for t, s in enumerate(seconds)])


def test_clips_of_a_track_are_apart():
    drawing = sampler(music=numbered([9, 9, 9]))
    for _ in range(20):
        where = places(drawing.draw(6, 1.0, clips_per_track=2))
        assert len(where) == 6
        for (a, at), (b, later) in zip(where[::2], where[1::2], strict=True):
            assert a == b
            assert later - at >= 16_000 + CONTEXT - 16  # no clip's music is in the context of another
        assert {track for track, _ in where} == {0, 1, 2}


def test_their_places_are_anywhere_in_the_track():
    drawing = sampler(music=numbered([9, 9]))
    starts = [at for _ in range(60) for _, at in places(drawing.draw(4, 1.0, clips_per_track=2))]
    counts, _ = np.histogram(starts, bins=4, range=(0, 8 * 16_000))
    assert counts.min() > 0.5 * counts.mean()


def test_short_tracks_give_fewer_clips_and_others_fill_up():
    drawing = sampler(music=numbered([2, 9, 2]))
    seen = []
    for _ in range(12):
        where = places(drawing.draw(4, 1.0, clips_per_track=3))
        seen += [track for track, _ in where]
        assert len(where) in (4, 5)
        counts = np.bincount([track for track, _ in where], minlength=3)
        assert (counts <= (1, 3, 1)).all()
    assert set(seen) == {0, 1, 2}
    assert len(drawing.draw(20, 1.0, clips_per_track=3).clean) == 5  # there is no room for more


def test_tracks_that_were_not_needed_come_first_in_the_next_batch():
    drawing = sampler(music=numbered([9] * 3))
    first = {track for track, _ in places(drawing.draw(3, 1.0, clips_per_track=2))}
    second = [track for track, _ in places(drawing.draw(2, 1.0, clips_per_track=2))]
    assert first | set(second) == {0, 1, 2}


def test_quiet_clips_of_a_track_are_drawn_again_together():
    quiet = pack_of([np.concatenate([np.zeros(80_000), 9_000 * np.ones(80_000)]) for _ in range(2)])
    drawing = sampler(music=quiet, min_power=0.01)
    loud = [
        (middle(drawing.draw(2, 1.0, clips_per_track=1)).square().mean(1) > 0.01).float().mean()
        for _ in range(20)
    ]
    assert np.mean(loud) > 0.85
    for _ in range(10):
        batch = middle(drawing.draw(4, 1.0, clips_per_track=2))
        assert len(batch) == 4


def coded_music():
    """Tracks of ones whose twins are of twos."""
    pack = pack_of([np.repeat([1_000, 2_000], 30_000) for _ in range(4)])
    items = [replace(item, length=30_000, twin=item.start + 30_000) for item in pack.items]
    return Pack(pack.samples, items)


def test_the_query_may_be_the_coded_twin_and_the_reference_never():
    drawing = sampler(NONE.updated(codec_twin={"probability": 0.5}), music=coded_music())
    heard = []
    for _ in range(30):
        batch = drawing.draw(4, 0.5)
        assert (middle(batch) * 32_768 - 1_000).abs().max() < 1
        heard += (batch.distorted[:, 4_000] * 32.768).round().int().tolist()
    assert set(heard) == {1, 2}
    assert heard.count(2) == pytest.approx(60, abs=25)
    always = sampler(NONE.updated(codec_twin={"probability": 1.0}), music=coded_music()).draw(4, 0.5)
    np.testing.assert_allclose(always.distorted[:, 1_000:7_000], 2_000 / 32_768, rtol=1e-3)


def test_a_store_without_twins_draws_the_same_at_every_probability():
    a = sampler(Augmentations().updated(codec_twin={"probability": 1.0})).draw(4, 1.0)
    b = sampler(Augmentations().updated(codec_twin={"probability": 0.1})).draw(4, 1.0)
    assert torch.equal(a.distorted, b.distorted)


@pytest.mark.parametrize("augmentation", list(Augmentations().disabled()), ids=lambda each: each.name)
def test_at_probability_0_nothing_is_drawn(augmentation):
    rng = np.random.default_rng(0)
    before = rng.bit_generator.state
    clips = sampler().batch_sampler.draw(4, 16_000, 1).clips
    assert len(augmentation.choose(rng, clips)) == 0
    assert rng.bit_generator.state == before


def test_at_probability_0_coded_twins_are_not_read():
    without_sources = [None, None]
    rows = Augmentations().disabled()["codec_twin"].choose(np.random.default_rng(0), without_sources)
    assert len(rows) == 0


def test_an_added_augmentation_at_probability_0_does_not_change_batches(monkeypatch):
    before = sampler(Augmentations()).draw(4, 1.0)
    monkeypatch.setattr(base, "_registry", dict(base._registry))
    base.register("off")(type("Off", (base.ReadingAugmentation,), {"draw_order": 0}))
    augmentations = Augmentations()
    assert augmentations["off"].probability == 0.0
    after = sampler(augmentations).draw(4, 1.0)
    assert torch.equal(before.distorted, after.distorted)


def test_both_sides_are_played_at_one_rate():
    t = np.arange(160_000)
    tones = pack_of([20_000 * np.sin(2 * np.pi * 500 * t / 16_000) for _ in range(6)])
    drawing = sampler(NONE.updated(playback_rate={"probability": 1.0, "rate": (0.8, 1.2)}), music=tones)
    seen = []
    for _ in range(6):
        batch = drawing.draw(6, 1.0)
        # The filters' edges are left out.
        np.testing.assert_allclose(batch.distorted[:, 99:-99], middle(batch)[:, 99:-99], atol=2e-3)
        spectrum = torch.fft.rfft(middle(batch) * torch.hann_window(16_000), dim=1).abs()
        seen += spectrum.argmax(dim=1).tolist()
    assert min(seen) < 0.85 * 500
    assert max(seen) > 1.15 * 500
    assert min(seen) >= 0.79 * 500
    assert max(seen) <= 1.21 * 500


def test_interpolation_is_close_between_samples():
    t = np.arange(8_000)
    pack = pack_of([20_000 * np.sin(2 * np.pi * 1_000 * t / 16_000)])
    at = torch.linspace(100, 7_000, 999, dtype=torch.float64)[None]
    device_pack = sampler(music=pack).music
    got = device_pack.interpolate(torch.tensor([0]), torch.tensor([8_000]), at)
    expected = 20_000 / 32_768 * np.sin(2 * np.pi * 1_000 * at.numpy() / 16_000)
    np.testing.assert_allclose(got, expected, atol=3e-3)


def test_power_is_that_of_the_samples():
    rng = np.random.default_rng(0)
    loud = np.repeat(rng.uniform(0, 9_000, 50), 1_600)
    pack = pack_of([loud * rng.standard_normal(80_000), np.zeros(3_000)])
    known = sampler(music=pack).music
    expected = np.mean((np.trunc(pack.samples[16_000:32_000]) / 32_768) ** 2)
    np.testing.assert_allclose(known.power(np.array([0]), np.array([16_000]), 16_000), expected, rtol=1e-6)
    assert known.power(np.array([1]), np.array([0]), 16_000) == 0


def test_a_device_is_heard_through_after_a_room():
    first, second = np.zeros(2_000), np.zeros(2_000)
    first[300], second[100] = 1.0, 0.5
    rooms = pack_of([first, second], np.float32, ["room/a", "device/b"])
    batch = sampler(NONE.updated(room=ROOM, device={"probability": 1.0}), rooms=rooms).draw(6, 1.0)
    late = batch.clean[:, CONTEXT - 400 : CONTEXT - 400 + 16_000]
    np.testing.assert_allclose(batch.distorted, 0.5 * late, atol=5e-4)


def codec_queries_of(music, count=3, length=20_000):
    """Codec queries that are their recordings at a tenth of the level."""
    places = [(item, 9_000 * (k + 1)) for item in music.items for k in range(count)]
    queries = pack_of(
        [music.samples[i.start + at : i.start + at + length] / 10 for i, at in places],
        names=[i.name for i, _ in places],
    )
    items = [replace(query, at=at) for query, (_, at) in zip(queries.items, places, strict=True)]
    return Pack(queries.samples, items)


@pytest.mark.parametrize("shift_s", [0.0, 0.02])
def test_a_codec_query_is_aligned_with_its_recording(shift_s):
    queries = codec_queries_of(MUSIC)
    always = {"probability": 1.0}
    options = NONE.updated(
        codec_query=always, shift={**always, "offset_s": (-shift_s, shift_s)}, room={"probability": 0.5},
        query_speed=always, playback_rate=always, clipping=always, noise={"snr_db": (0.0, 0.0)},
    )  # fmt: skip
    for _ in range(3):
        batch = sampler(options, codec_queries=queries).draw(6, 1.0)
        for clean, heard in zip(batch.clean.numpy(), batch.distorted.numpy(), strict=True):
            likeness = np.correlate(clean, heard, "valid")
            place = int(likeness.argmax())
            assert abs(place - CONTEXT) <= shift_s * 16_000 + 1
            np.testing.assert_allclose(heard, clean[place : place + 16_000] / 10, atol=1e-3)


def test_codec_queries_are_as_frequent_as_set_and_only_where_there_are_any():
    queries = codec_queries_of(MUSIC)
    only_first = Pack(queries.samples, queries.items[:3])
    options = NONE.updated(codec_query={"probability": 0.5})
    for some, expected in ((queries, 0.5), (only_first, 0.5 / 6), (None, 0.0)):
        drawing = sampler(options, codec_queries=some).batch_sampler
        replaced = [drawing.draw(6, 16_000, 1).clips.is_codec_query.mean() for _ in range(200)]
        assert np.mean(replaced) == pytest.approx(expected, abs=0.06)
    too_short = sampler(options, codec_queries=codec_queries_of(MUSIC, length=15_000)).batch_sampler
    assert not too_short.draw(6, 16_000, 1).clips.is_codec_query.any()


def tones(frequencies, n=80_000, level=8_000):
    t = np.arange(n) / 16_000
    return [level * np.sin(2 * np.pi * hz * t) for hz in frequencies]


def peaks(audio, count=1):
    """The strongest frequencies of each row, in Hz."""
    spectrum = torch.fft.rfft(audio * torch.hann_window(audio.shape[1]), 64_000).abs()
    found = []
    for row in spectrum:
        mine = []
        for _ in range(count):
            peak = int(row.argmax())
            mine.append(peak / 4)
            row[max(0, peak - 40) : peak + 41] = 0
        found.append(mine)
    return found


def test_other_music_sounds_on_both_sides_alike():
    frequencies = [500, 900, 1_400, 2_000, 2_700, 3_500]
    music = pack_of(tones(frequencies))
    batch = sampler(
        NONE.updated(background_music={"probability": 1.0, "gain_db": (-6.0, 0.0)}), music=music
    ).draw(6, 1.0)
    np.testing.assert_allclose(batch.distorted, middle(batch), atol=5e-4)
    for track, (first, second) in zip(batch.tracks, peaks(middle(batch), 2), strict=True):
        assert {round(first), round(second)} <= set(frequencies)
        assert frequencies[track] in (round(first), round(second))
    alone = sampler(NONE, music=music).draw(6, 1.0)
    assert all(round(second) not in frequencies for _, second in peaks(middle(alone), 2))


def test_other_music_is_shifted_and_played_as_the_first():
    moved = NONE.updated(
        background_music={"probability": 1.0}, shift={"probability": 1.0, "offset_s": (-0.02, 0.02)}
    )
    batch = sampler(moved).draw(6, 1.0)
    for clean, heard in zip(batch.clean, batch.distorted, strict=True):
        windows = clean[CONTEXT - 320 :].unfold(0, 16_000, 1)[:641]
        assert float((windows - heard).abs().amax(dim=1).min()) < 1e-3
    faster = NONE.updated(
        background_music={"probability": 1.0, "gain_db": (-6.0, 0.0)},
        query_speed={"probability": 1.0, "rate": (0.96, 1.04)},
    )
    music = pack_of(tones([1_000, 1_000]))
    batch = sampler(faster, music=music).draw(2, 1.0)
    for clean, heard in zip(batch.clean, batch.distorted, strict=True):
        # Were one of the two at another speed, there would be two tones, and a beat.
        envelope = heard.square().unfold(0, 1_600, 800).mean(dim=1)
        assert float(envelope.max() / envelope.min()) < 1.05
        assert clean.abs().max() > 0.01


def test_noises_at_another_rate():
    hum = pack_of(tones([1_000], 9_000), names=["hum/a"])
    changed = {"snr_db": (-30.0, -30.0), "rate_probability": 1.0, "rate": (0.7, 1.3)}
    loud = NONE.updated(noise=changed)
    batch = sampler(loud, noise=hum).draw(6, 1.0)
    found = [hz for (hz,) in peaks(batch.distorted - middle(batch))]
    assert all(690 < hz < 1_310 for hz in found)
    assert np.ptp(found) > 50
    same = sampler(loud.updated(noise={"rate_probability": 0.0}), noise=hum).draw(6, 1.0)
    assert all(abs(hz - 1_000) < 2 for (hz,) in peaks(same.distorted - middle(same)))


def test_noises_are_tilted_and_music_is_not():
    both = pack_of([sum(tones([500, 4_000], 16_000))], names=["hum/a"])
    tilted = NONE.updated(
        noise={"snr_db": (0.0, 0.0)}, noise_tilt={"probability": 1.0, "db_per_octave": (-4.0, 4.0)}
    )
    batch = sampler(tilted, noise=both).draw(6, 1.0)
    spectrum = torch.fft.rfft((batch.distorted - middle(batch)) * torch.hann_window(16_000)).abs()
    low, high = spectrum[:, 490:511].amax(dim=1), spectrum[:, 3_990:4_011].amax(dim=1)
    tilts_db = 20 * torch.log10(high / low) / 3
    assert float(tilts_db.abs().max()) < 4.05
    assert float(tilts_db.max() - tilts_db.min()) > 1
    # The ratio of signal to noise is that of the tilted noise.
    ratio = 10 * torch.log10(
        middle(batch).square().mean(1) / (batch.distorted - middle(batch)).square().mean(1)
    )
    np.testing.assert_allclose(ratio, 0.0, atol=0.1)
    quiet = sampler(tilted.updated(noise={"snr_db": (200.0, 200.0)}), noise=both).draw(6, 1.0)
    np.testing.assert_allclose(quiet.distorted, middle(quiet), atol=2e-4)


def test_rooms_at_another_rate_are_smaller_or_larger():
    echo = pack_of([room(0) + room(1_000)], np.float32, ["room/b"])
    scaled = {**ROOM, "scale_probability": 1.0, "scale_rate": (0.8, 1.2)}
    batch = sampler(NONE.updated(room=scaled), rooms=echo).draw(6, 1.0)
    delays = []
    for clean, heard in zip(batch.clean, batch.distorted, strict=True):
        later = torch.stack([clean[CONTEXT - d : CONTEXT - d + 16_000] for d in range(800, 1_300)])
        left = heard - clean[CONTEXT : CONTEXT + 16_000]  # the direct sound is where it was
        delays.append(800 + int((later @ left).argmax()))
    assert all(830 <= delay <= 1_255 for delay in delays)
    assert np.ptp(delays) > 20


def test_no_source_is_drawn_more_often_for_being_large():
    names = ["a/x__1", "a/x__2", "a/x__3", "a/y__1", "b/z__1"]
    pack = pack_of(noises(5, 100), names=names)
    items = [replace(item, group=item.name.partition("__")[0]) for item in pack.items]
    drawn = HierarchicalSampler(items).draw(np.random.default_rng(1), 6_000)
    shares = np.bincount(drawn, minlength=5) / 6_000
    np.testing.assert_allclose(shares, [1 / 12, 1 / 12, 1 / 12, 1 / 4, 1 / 2], atol=0.02)
    assert len(HierarchicalSampler(items, ["b"])) == 1
    assert len(HierarchicalSampler(items, ["c"])) == 0


def spectrum_change_db(changed, plain, hz):
    """How much louder each row of ``changed`` is than ``plain``'s about some frequencies, in dB."""
    bins = torch.fft.rfftfreq(plain.shape[1], 1 / 16_000)
    heard, before = (torch.fft.rfft(audio.double()).abs().square() for audio in (changed, plain))
    levels = [
        10 * torch.log10(heard[:, near].sum(1) / before[:, near].sum(1))
        for near in ((bins > centre / 1.1) & (bins < centre * 1.1) for centre in hz)
    ]
    return torch.stack(levels, dim=1)


def test_all_that_is_heard_may_be_coloured():
    noise_of_all_pitches = pack_of(noises(6, 60_000, 5))
    drawing = sampler(
        NONE.updated(equalizer={"probability": 0.5, "terms_db": (-4.0, 4.0)}), music=noise_of_all_pitches
    )
    changes = []
    for _ in range(6):
        batch = drawing.draw(6, 1.0)
        changes.append(spectrum_change_db(batch.distorted, middle(batch), (100, 400, 1_000, 3_000, 7_000)))
    changes = torch.cat(changes)
    coloured = changes.abs().amax(1) > 0.3
    assert 0.2 < float(coloured.double().mean()) < 0.8
    assert float(changes.abs().max()) <= 16
    assert float(changes[coloured].std(0).min()) > 1


def test_the_noises_colour_is_theirs_alone():
    hum = pack_of(noises(1, 60_000, 8), names=["hum/a"])
    added = []
    for colour in (0.0, 1.0):
        noisy, dry = drawn_twice(noise=hum, noise_equalizer={"probability": colour})
        np.testing.assert_allclose(dry.distorted, middle(dry), atol=5e-4)
        added.append(noisy.distorted - dry.distorted)
    # Drawing colours moves what is drawn after them, so levels are compared, not samples.
    change = spectrum_change_db(added[1], added[0], (100, 400, 1_000, 3_000, 7_000))
    assert float(change.std(1).min()) > 0.5


def test_rooms_are_reshaped_but_their_direct_sound_stays():
    click = np.zeros(60_000)
    click[30_000] = 20_000
    only = pack_of([decaying(8_000, 1) + 0.01], np.float32, ["room/a"])
    shape = {
        "decay_probability": 1.0,
        "decay_db_per_s": (-40.0, 15.0),
        "tail_probability": 1.0,
        "tail_db": (-6.0, 6.0),
    }
    plain, shaped = (
        Sampler(pack_of([click]), NOISE, only, NONE.updated(room=room), CPU, 1)
        for room in (ROOM, {**ROOM, **shape})
    )

    def responses(of):
        (drawn,) = (
            each for each in of.batch_sampler.draw(1, 16_000, 1).augmentations
            if isinstance(each.augmentation, Room)
        )  # fmt: skip
        return drawn.augmentation.responses(drawn.tensors(CPU), of.sources)

    tails = []
    for _ in range(12):
        dry, wet = responses(plain), responses(shaped)
        assert torch.equal(dry[:, :80], wet[:, :80])
        tails.append(20 * torch.log10(wet[0, [100, 4_000]].abs() / dry[0, [100, 4_000]].abs()))
    early, late = torch.stack(tails).T
    assert float(early.abs().max()) <= 6.1
    assert float(early.std()) > 1
    assert float((late - early).min()) >= -10  # 40 dB a second for a quarter of one
    assert float((late - early).max()) <= 4
    assert float((late - early).std()) > 1


def test_noise_is_as_frequent_as_set_with_and_without_a_response():
    rare = {"probability": 1.0, "probability_with_response": 0.25}
    drawing = sampler(
        NONE.updated(room={"probability": 0.5, "simulated_share": 0.0}, noise=rare)
    ).batch_sampler
    with_response, with_noise = [], []
    for _ in range(150):
        drawn = drawing.draw(6, 8_000, 1)
        noisy = np.zeros(6, bool)
        for each in drawn.augmentations:
            if each.augmentation.name == "noise":
                noisy[each.rows] = True
        with_response.append(drawn.clips.has_response)
        with_noise.append(noisy)
    response, noisy = np.concatenate(with_response), np.concatenate(with_noise)
    assert response.mean() == pytest.approx(0.5, abs=0.06)
    assert noisy[~response].all()
    assert noisy[response].mean() == pytest.approx(0.25, abs=0.07)
