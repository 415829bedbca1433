"""The clock of `FrameJoiner`, on frames with timestamps of our choosing."""

from fractions import Fraction

import av
import numpy as np
import pytest
from av.audio.plane import AudioPlane

from earprint.audio.decoder_frames import Damage, FrameJoiner

RATE = 1000
FRAME = 20  # ms and samples alike


def frame(time_ms, value=1.0, samples=FRAME, rate=RATE):
    made = av.AudioFrame.from_ndarray(np.full((1, samples), value, np.float32), format="fltp", layout="mono")
    made.sample_rate = rate
    made.pts = time_ms
    made.time_base = Fraction(1, 1000)
    return made


def join(times_ms, start_s=None, damage=None):
    damage = damage or Damage()
    joiner = FrameJoiner(damage, start_s)
    chunks = [c for t in times_ms for c in joiner.push(frame(t))] + list(joiner.flush())
    return np.concatenate([c.samples for c in chunks]), damage


def test_steady_clock_adds_nothing():
    for first in (-7, 0, 1234):
        samples, damage = join(range(first, first + 2000, FRAME))
        assert len(samples) == 2000
        assert damage == Damage(frames=100)
        assert damage.describe() is None


def test_hole_is_filled():
    samples, damage = join([0, 20, 100, 120])
    np.testing.assert_array_equal(samples, [1] * 40 + [0] * 60 + [1] * 40)
    assert damage.filled_s == pytest.approx(0.06)
    assert damage.describe() == "0.06 s of missing audio replaced by silence"


def test_rounding_drift_and_absent_timestamps_add_nothing():
    jitter = [round(i * FRAME + 4 * (-1) ** i) for i in range(100)]
    drift = [round(i * FRAME * 1.05) for i in range(200)]
    absent = [0, *[None] * 98, 99 * FRAME]
    for times in (jitter, drift, absent):
        samples, damage = join(times)
        assert len(samples) == FRAME * len(times)
        assert damage.filled_s == 0


def test_strong_jitter_adds_its_width_at_most_once():
    samples, _ = join([i * FRAME + 30 * (i % 2) for i in range(100)])
    assert len(samples) <= 100 * FRAME + 30


def test_clock_that_starts_again():
    samples, damage = join([5000, 5020, 0, 20, 40, 100])
    np.testing.assert_array_equal(samples, [1] * 100 + [0] * 40 + [1] * 20)
    assert damage.jumps == 0


def test_jump_is_closed_and_reported():
    samples, damage = join([0, 20, 10_000_000, 10_000_020])
    assert len(samples) == 4 * FRAME
    assert "1 jump of its clock closed" in damage.describe()


def test_mad_clock_cannot_fill_without_end():
    samples, damage = join([i * 50_000 for i in range(100)])
    assert damage.filled_s <= 600
    assert len(samples) <= 601_000 + 100 * FRAME
    assert damage.jumps > 80


def test_stated_start_counts_only_after_errors():
    assert len(join([100], start_s=0.0)[0]) == FRAME
    damage = Damage()
    damage.note_error(ValueError("bad"))
    assert len(join([100], start_s=0.0, damage=damage)[0]) == 100 + FRAME
    assert damage.describe().startswith("1 damaged piece skipped (bad), 0.10 s of missing")


def test_packed_and_planar_frames_of_several_channels():
    values = np.array([[0.1, 0.2], [0.3, 0.4], [0.5, -0.6]], np.float32)  # (n, channels)
    whole = np.round(values * 2**15).astype(np.int16)
    for array, name in [
        (values.T, "fltp"),
        (values.reshape(1, -1), "flt"),
        (values.T.astype(np.float64), "dblp"),
        (whole.T, "s16p"),
        (whole.reshape(1, -1), "s16"),
    ]:
        made = av.AudioFrame.from_ndarray(np.ascontiguousarray(array), name, "stereo")
        made.sample_rate = RATE
        joiner = FrameJoiner(Damage(), None)
        (chunk,) = [*joiner.push(made), *joiner.flush()]
        np.testing.assert_allclose(chunk.samples, values.mean(axis=1), atol=2e-5)


def test_eight_planar_channels():
    rows = np.arange(8 * FRAME, dtype=np.float32).reshape(8, FRAME) / 1000
    made = av.AudioFrame(format="fltp", layout="7.1", samples=FRAME)
    for number, row in enumerate(rows):
        AudioPlane(made, number).update(row)
    made.sample_rate = RATE
    joiner = FrameJoiner(Damage(), None)
    (chunk,) = [*joiner.push(made), *joiner.flush()]
    np.testing.assert_allclose(chunk.samples, rows.mean(axis=0), atol=1e-6)


def test_order_is_kept_over_many_chunks_and_a_hole():
    damage = Damage()
    joiner = FrameJoiner(damage, None)
    chunks = []
    for i in range(200):
        chunks += joiner.push(frame(FRAME * i + (500 if i >= 130 else 0), value=i / 100))
    chunks += joiner.flush()
    expected = np.repeat(np.arange(200) / 100, FRAME).astype(np.float32)
    expected = np.insert(expected, 130 * FRAME, np.zeros(500))
    np.testing.assert_array_equal(np.concatenate([c.samples for c in chunks]), expected)
    assert max(len(c.samples) for c in chunks) <= RATE + FRAME
    assert (damage.frames, damage.jumps) == (200, 0)


def test_garbage_silences_its_frame_only():
    damage = Damage()
    joiner = FrameJoiner(damage, None)
    frames = [frame(0), frame(20, 77.0), frame(40, np.nan), frame(60, -1.5)]
    chunks = [c for f in frames for c in joiner.push(f)] + list(joiner.flush())
    samples = np.concatenate([c.samples for c in chunks])
    np.testing.assert_array_equal(samples, [1] * 20 + [0] * 40 + [-1.5] * 20)
    assert (damage.garbage_frames, damage.frames) == (2, 4)


def test_change_of_rate_begins_a_new_chunk():
    joiner = FrameJoiner(Damage(), None)
    chunks = [*joiner.push(frame(0)), *joiner.push(frame(20, rate=2000, samples=40))]
    chunks += joiner.flush()
    assert [(c.sample_rate, len(c.samples)) for c in chunks] == [(1000, 20), (2000, 40)]
