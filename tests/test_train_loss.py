"""The contrastive loss against a slow loop, and on embeddings whose order is known."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'earprint[train]'")
from earprint.train.loss import sequence_nt_xent  # noqa: E402


def unit(*shape, seed=0):
    values = np.random.default_rng(seed).standard_normal(shape)
    return torch.from_numpy(values / np.linalg.norm(values, axis=-1, keepdims=True))


def slow_loss(distorted, clean, context, stride, temperature):
    """Row by row, straight from the definition, in float64."""
    batch, n, _ = distorted.shape
    queries = [(b, i) for b in range(batch) for i in range(0, n, stride)]
    references = [(b, i) for b in range(batch) for i in range(0, clean.shape[1], stride)]

    def like(a, b):
        return math.exp(float(a @ b) / temperature)

    def near(one, other):
        return one[0] == other[0] and abs(one[1] - other[1]) <= 2

    forward, backward = [], []
    for b, i in queries:
        here, place = distorted[b, i], (b, i + context)
        right = like(here, clean[place])
        wrong = sum(like(here, clean[r]) for r in references if not near(r, place))
        wrong += sum(like(here, distorted[q]) for q in queries if not near(q, (b, i)))
        forward.append(-math.log(right / (right + wrong)))
        wrong = sum(like(distorted[q], clean[place]) for q in queries if not near(q, (b, i)))
        backward.append(-math.log(right / (right + wrong)))
    return (np.mean(forward) + np.mean(backward)) / 2


@pytest.mark.parametrize(
    ("n", "context", "stride", "temperature"),
    [(1, 0, 1, 0.1), (2, 20, 1, 0.07), (7, 4, 1, 0.07), (7, 4, 2, 0.07), (12, 20, 2, 0.5)],
)
def test_equals_a_slow_loop(n, context, stride, temperature):
    distorted, clean = unit(3, n, 16), unit(3, n + 2 * context, 16, seed=1)
    got = sequence_nt_xent(distorted, clean, context, stride, temperature)
    assert float(got) == pytest.approx(slow_loss(distorted, clean, context, stride, temperature), rel=1e-9)


def test_right_order_costs_less_than_wrong_order():
    clean = unit(4, 30, 32)
    distorted = clean[:, 10:20] + 0.05 * unit(4, 10, 32, seed=1)
    right = sequence_nt_xent(distorted, clean, 10, 1, 0.1)
    assert float(right) < 0.1
    assert float(sequence_nt_xent(distorted.flip(0), clean, 10, 1, 0.1)) > 3
    assert float(sequence_nt_xent(distorted.flip(1), clean, 10, 1, 0.1)) > 3


def test_near_rows_of_the_same_clip_are_not_wrong():
    clean = unit(1, 11, 16)
    distorted = clean[:, 5:6].clone()
    before = sequence_nt_xent(distorted, clean, 5, 1, 0.1)
    for row, counts in ((3, False), (4, False), (6, False), (7, False), (2, True), (8, True)):
        changed = clean.clone()
        changed[0, row] = distorted[0, 0]
        difference = float(sequence_nt_xent(distorted, changed, 5, 1, 0.1) - before)
        assert (difference > 0.05) if counts else (abs(difference) < 1e-12)


def test_gradient_is_finite():
    distorted = unit(2, 3, 8).requires_grad_()
    sequence_nt_xent(distorted, unit(2, 7, 8, seed=1), 2, 1, 0.07).backward()
    assert torch.isfinite(distorted.grad).all()
    assert float(distorted.grad.abs().sum()) > 0
