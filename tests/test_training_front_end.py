"""The torch front end is the numpy front end, in batches."""

import numpy as np
import pytest

from earprint.features import DENSE_FRONT_END, PAPER_FRONT_END, normalise
from earprint.synth.composer import compose

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'earprint[train]'")
from earprint.training.front_end import TorchFrontEnd, normalise_batch  # noqa: E402


@pytest.fixture(scope="module")
def clips():
    """Two clips of three seconds, shape (2, 48000)."""
    return np.stack([compose(seed, 5.0)[8_000:56_000] for seed in (1, 2)])


@pytest.mark.parametrize("front_end", [PAPER_FRONT_END, DENSE_FRONT_END])
def test_log_mel_equals_numpys(clips, front_end):
    got = TorchFrontEnd(front_end)(torch.from_numpy(clips)).numpy()
    assert got.shape == (2, 300, 64)
    for clip, frames in zip(clips, got, strict=True):
        # A quiet band next to a loud one: what single precision of the loud one leaves of it.
        np.testing.assert_allclose(frames, front_end.log_mel(clip), atol=3e-3)


def test_nothing_is_learned_or_saved():
    front_end = TorchFrontEnd(DENSE_FRONT_END)
    assert list(front_end.parameters()) == []
    assert front_end.state_dict() == {}


def test_normalise_batch_equals_numpys(clips):
    log_mel = np.stack([DENSE_FRONT_END.log_mel(clip) for clip in clips])
    got = normalise_batch(torch.from_numpy(log_mel)).numpy()
    for frames, clip in zip(got, log_mel, strict=True):
        np.testing.assert_allclose(frames, normalise(clip), atol=1e-3)


@pytest.mark.parametrize("n", [1, 30, 51, 100, 102, 300])
def test_normalise_batch_at_the_ends(n):
    log_mel = np.random.default_rng(n).normal(-3, 2, (1, n, 64)).astype(np.float32)
    got = normalise_batch(torch.from_numpy(log_mel)).numpy()[0]
    np.testing.assert_allclose(got, normalise(log_mel[0]), atol=1e-4)


def test_both_together(clips):
    got = normalise_batch(TorchFrontEnd(DENSE_FRONT_END)(torch.from_numpy(clips))).numpy()
    expected = np.stack([normalise(DENSE_FRONT_END.log_mel(clip)) for clip in clips])
    np.testing.assert_allclose(got, expected, atol=1e-3)
