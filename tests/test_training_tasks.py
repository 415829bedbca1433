"""What the recipes feed their networks: which rows of the two sides stand for the same moment."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'earprint[train]'")
from earprint.errors import TrainingError  # noqa: E402
from earprint.training.sampler import CONTEXT_STEPS, Batch  # noqa: E402
from earprint.training.tasks import overlap_share, task_for  # noqa: E402

CONTEXT = CONTEXT_STEPS * 640


def undistorted(length_s):
    """A batch whose distorted side is the middle of the clean side."""
    n = round(length_s * 16_000)
    rng = np.random.default_rng(3)
    clean = torch.from_numpy(rng.standard_normal((2, n + 2 * CONTEXT))).float() / 10
    return Batch(clean, clean[:, CONTEXT : CONTEXT + n], np.arange(2))


@pytest.mark.parametrize("beyond", [0, 4, 12])
def test_dense_rows_line_up(beyond):
    task = task_for("dense", query_beyond_steps=beyond)
    clean, distorted = task.inputs(undistorted(3.0))
    seen = {}

    def criterion(distorted, clean, context, stride, weights):
        seen.update(context=context, weights=weights)
        return distorted.sum()

    rows = (distorted.shape[1] - 147) // 4 + 1
    assert rows == (300 - 96) // 4 + 1 + 2 * beyond
    task.loss(torch.zeros(2, rows, 8), torch.zeros(2, 1, 8), 3.0, criterion)
    # Row i of a side begins at frame 4 i; frames far from either end of the query are the same.
    shift = 4 * seen["context"]
    inner = slice(25 + 4 * beyond + 110, 25 + 4 * beyond + 190)
    torch.testing.assert_close(distorted[:, inner], clean[:, shift:][:, inner], atol=1e-4, rtol=0)
    assert len(seen["weights"]) == rows
    outside = distorted[:, : 25 + 4 * beyond]
    assert not outside.any()
    np.testing.assert_array_equal(seen["weights"][beyond : rows - beyond], 1.0)


def test_a_row_counts_for_what_it_heard():
    share = overlap_share(30, 12)
    np.testing.assert_allclose(share[:13], np.linspace(0.5, 1, 13), rtol=1e-6)
    np.testing.assert_allclose(share.flip(0), share)
    np.testing.assert_allclose(task_for("dense", query_beyond_steps=12).row_weights(30), share**2)
    np.testing.assert_allclose(task_for("dense").row_weights(5), 1.0)


@pytest.mark.parametrize("beyond", [-2, 3, 14])
def test_impossible_numbers_of_rows_beyond(beyond):
    with pytest.raises(TrainingError, match="rows beyond a query; give an even number from 0 to 12"):
        task_for("dense", query_beyond_steps=beyond)


def test_segments_are_cut_from_the_middle_of_the_clean_side():
    task = task_for("nafp")
    clean, distorted = task.inputs(undistorted(1.0))
    assert clean.shape == distorted.shape == (2, 96, 64)
    # Each query is brought to full scale by itself, in decibels a constant.
    difference = (distorted - clean)[:, 3:-3]
    level = difference.mean(dim=(1, 2), keepdim=True).expand_as(difference)
    np.testing.assert_allclose(difference, level, atol=0.02)
