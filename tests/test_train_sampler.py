"""Batches: both sides show the same moment, tracks are distinct, noise is as loud as asked."""

from dataclasses import replace

import numpy as np
import pytest

from trainstore import pack_of

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'earprint[train]'")
from earprint.train.sampler import CONTEXT_S, CONTEXT_STEPS, Distortions, Sampler  # noqa: E402

CPU = torch.device("cpu")
CONTEXT = round(CONTEXT_S * 16_000)
NONE = Distortions(
    snr_db=(200.0, 200.0), measured=0.0, simulated=0.0, device=0.0, second_noise=0.0, band_limit=0.0,
    clip=0.0, mask=0.0, speed=0.0, shift_s=0.0, gain_db=(0.0, 0.0),
)  # fmt: skip


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


def sampler(distortions=NONE, seed=1, music=MUSIC, noise=NOISE):
    return Sampler(music, noise, ROOMS, distortions, CPU, seed)


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
    order = drawing._distinct(4) + drawing._distinct(2)
    assert sorted(order) == list(range(6))


def test_more_clips_than_tracks_repeat_tracks():
    assert sampler().draw(8, 0.5).clean.shape[0] == 8


def test_same_seed_same_batches():
    first, again, other = sampler(Distortions()), sampler(Distortions()), sampler(Distortions(), seed=2)
    for _ in range(3):
        a, b, c = first.draw(4, 1.0), again.draw(4, 1.0), other.draw(4, 1.0)
        for name in ("clean", "distorted", "mask_first", "mask_width"):
            assert torch.equal(getattr(a, name), getattr(b, name))
        assert not torch.equal(a.distorted, c.distorted)


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 12.0])
@pytest.mark.parametrize("second_noise", [0.0, 1.0])
def test_noise_level(snr_db, second_noise):
    batch = sampler(replace(NONE, snr_db=(snr_db, snr_db), second_noise=second_noise)).draw(6, 2.0)
    added = batch.distorted - middle(batch)
    measured = 10 * torch.log10(middle(batch).square().mean(1) / added.square().mean(1))
    np.testing.assert_allclose(measured, snr_db, atol=0.1)


def test_noise_shorter_than_the_clip_goes_round():
    batch = sampler(replace(NONE, snr_db=(-20.0, -20.0))).draw(3, 2.0)
    added = batch.distorted - middle(batch)
    np.testing.assert_allclose(added[:, 9_000:18_000], added[:, :9_000], atol=0.02)


def test_silent_noise_is_harmless():
    silent = pack_of([np.zeros(5_000)], names=["hum/a"])
    batch = sampler(replace(NONE, snr_db=(0.0, 0.0)), noise=silent).draw(3, 1.0)
    assert torch.isfinite(batch.distorted).all()
    np.testing.assert_allclose(batch.distorted, middle(batch), atol=1e-3)


def test_a_room_brings_in_the_real_past():
    batch = sampler(replace(NONE, measured=1.0)).draw(6, 1.0)
    late = batch.clean[:, CONTEXT - 1_000 : CONTEXT - 1_000 + 16_000]
    np.testing.assert_allclose(batch.distorted, late, atol=5e-4)


def test_noise_sounds_in_the_same_room():
    t = np.arange(16_000) / 16_000
    hum = pack_of([10_000 + 1_000 * np.sin(2 * np.pi * 1_000 * t)], names=["hum/a"])
    differences = pack_of([np.array([1.0, -1.0])], np.float32, ["room/a"])  # passes no constant
    loud = replace(NONE, measured=1.0, snr_db=(-20.0, -20.0))
    batch = Sampler(MUSIC, hum, differences, loud, CPU, 1).draw(3, 1.0)
    added = batch.distorted - (middle(batch) - batch.clean[:, CONTEXT - 1 : -CONTEXT - 1])
    assert float((added.mean(1).abs() / added.square().mean(1).sqrt()).max()) < 0.01


def test_a_missing_category_is_no_response():
    batch = sampler(replace(NONE, simulated=1.0)).draw(6, 1.0)
    np.testing.assert_allclose(batch.distorted, middle(batch), atol=5e-4)


def test_levels():
    batch = sampler(replace(NONE, gain_db=(-20.0, -20.0))).draw(3, 1.0)
    np.testing.assert_allclose(batch.distorted, middle(batch) / 10, atol=1e-4)


def ramp():
    """Tracks whose samples say where they stand, from 4000 up."""
    return pack_of([np.arange(4_000, 32_000) for _ in range(6)])


def test_shift_stays_within_its_range():
    drawing = sampler(replace(NONE, shift_s=0.022), music=ramp())
    moved = []
    for _ in range(8):
        batch = drawing.draw(6, 0.25)
        moved += ((batch.distorted - middle(batch))[:, 2_000] * 32_768).tolist()
    assert np.abs(moved).max() <= 0.022 * 16_000 + 2
    assert min(moved) < -100
    assert max(moved) > 100


def test_speed_turns_about_the_middle():
    drawing = sampler(replace(NONE, speed=1.0, speed_range=0.04), music=ramp())
    batch = drawing.draw(6, 0.25)
    n = batch.distorted.shape[1]
    got, plain = batch.distorted.double() * 32_768, middle(batch).double() * 32_768
    np.testing.assert_allclose(got[:, n // 2], plain[:, n // 2], atol=3)
    slope = ((got[:, -500] - got[:, 500]) / (n - 1_000)).numpy()
    assert (np.abs(slope - 1) < 0.042).all()
    assert np.ptp(slope) > 0.01


def test_masks_are_asked_for_as_often_as_said():
    batch = sampler(replace(NONE, mask=1.0)).draw(60, 0.1)
    assert int(batch.mask_width.min()) >= 3
    assert int(batch.mask_width.max()) <= 14
    assert int((batch.mask_first + batch.mask_width).max()) <= 64
    assert int(sampler().draw(20, 0.1).mask_width.max()) == 0


def test_clips_past_a_tracks_ends_are_silent():
    short = pack_of([np.full(8_000, 10_000) for _ in range(3)])
    batch = sampler(music=short).draw(3, 1.0)
    assert float(batch.clean[:, :CONTEXT].abs().max()) == 0
    assert float(middle(batch)[:, 8_000:].abs().max()) == 0
    np.testing.assert_allclose(middle(batch)[:, :8_000], 10_000 / 32_768, rtol=1e-6)


def test_default_distortions_are_finite_and_do_distort():
    batch = sampler(Distortions()).draw(6, 1.0)
    assert torch.isfinite(batch.distorted).all()
    assert float((batch.distorted - middle(batch)).abs().mean()) > 1e-2
