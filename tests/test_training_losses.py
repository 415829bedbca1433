"""The losses against a slow loop, and on embeddings whose order is known."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'earprint[train]'")
from earprint.errors import TrainingError  # noqa: E402
from earprint.training.config import default_config  # noqa: E402
from earprint.training.losses import (  # noqa: E402
    LOSSES,
    NEGATIVES,
    loss_named,
    sequence_nt_xent,
    sequence_triplet,
)


def unit(*shape, seed=0):
    values = np.random.default_rng(seed).standard_normal(shape)
    return torch.from_numpy(values / np.linalg.norm(values, axis=-1, keepdims=True))


def slow_loss(distorted, clean, context, stride, temperature, weights=None, negatives="cross"):
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
        far = [q for q in queries if not near(q, (b, i))]
        wrong = sum(like(distorted[q], clean[place]) for q in far)
        if negatives == "all":
            wrong += sum(like(clean[c, j + context], clean[place]) for c, j in far)
        backward.append(-math.log(right / (right + wrong)))
    shares = None if weights is None else [float(weights[i]) for _, i in queries]
    return (np.average(forward, weights=shares) + np.average(backward, weights=shares)) / 2


@pytest.mark.parametrize(
    ("n", "context", "stride", "temperature"),
    [(1, 0, 1, 0.1), (2, 20, 1, 0.07), (7, 4, 1, 0.07), (7, 4, 2, 0.07), (12, 20, 2, 0.5)],
)
@pytest.mark.parametrize("negatives", NEGATIVES)
def test_equals_a_slow_loop(n, context, stride, temperature, negatives):
    distorted, clean = unit(3, n, 16), unit(3, n + 2 * context, 16, seed=1)
    got = sequence_nt_xent(distorted, clean, context, stride, temperature=temperature, negatives=negatives)
    expected = slow_loss(distorted, clean, context, stride, temperature, negatives=negatives)
    assert float(got) == pytest.approx(expected, rel=1e-9)


def simclr_loss(distorted, clean, temperature):
    """The loss of N pairs as Chen et al. 2020, algorithm 1, has it: every anchor has 2 N - 2 negatives."""
    views = [view for pair in zip(distorted, clean, strict=True) for view in pair]
    losses = []
    for i, anchor in enumerate(views):
        positive = i ^ 1
        likes = [math.exp(float(anchor @ view) / temperature) for view in views]
        negatives = [like for k, like in enumerate(likes) if k not in (i, positive)]
        assert len(negatives) == len(views) - 2
        losses.append(-math.log(likes[positive] / (likes[positive] + sum(negatives))))
    return np.mean(losses)


def test_with_all_negatives_pairs_of_segments_have_the_loss_of_simclr():
    distorted, clean = unit(5, 1, 16), unit(5, 1, 16, seed=1)
    expected = simclr_loss(distorted[:, 0], clean[:, 0], 0.1)
    got = sequence_nt_xent(distorted, clean, 0, 1, temperature=0.1, negatives="all")
    assert float(got) == pytest.approx(expected, rel=1e-9)
    cross = sequence_nt_xent(distorted, clean, 0, 1, temperature=0.1, negatives="cross")
    assert float(cross) < float(got) - 0.01


@pytest.mark.parametrize("network", ["attention", "plain", "nafp"])
def test_the_papers_networks_have_the_papers_negatives(network):
    assert default_config(network).negatives == "all"
    assert default_config(network, negatives="cross").negatives == "cross"
    assert default_config("dense").negatives == "cross"


@pytest.mark.parametrize("stride", [1, 2])
def test_rows_count_by_their_weights(stride):
    distorted, clean = unit(3, 7, 16), unit(3, 15, 16, seed=1)
    weights = torch.tensor([0.1, 0.4, 1.0, 1.0, 1.0, 0.4, 0.0], dtype=torch.float64)
    got = sequence_nt_xent(distorted, clean, 4, stride, weights, temperature=0.07)
    expected = slow_loss(distorted, clean, 4, stride, 0.07, weights)
    assert float(got) == pytest.approx(expected, rel=1e-9)
    same = [sequence_triplet(distorted, clean, 4, stride, w, margin=0.5) for w in (None, torch.ones(7))]
    assert float(same[0]) == pytest.approx(float(same[1]), rel=1e-6)
    one = torch.eye(7, dtype=torch.float64)
    single = [float(sequence_triplet(distorted, clean, 4, stride, w, margin=0.5)) for w in one[::stride]]
    assert float(same[0]) == pytest.approx(np.mean(single), rel=1e-6)


def test_right_order_costs_less_than_wrong_order():
    clean = unit(4, 30, 32)
    distorted = clean[:, 10:20] + 0.05 * unit(4, 10, 32, seed=1)
    right = sequence_nt_xent(distorted, clean, 10, 1, temperature=0.1)
    assert float(right) < 0.1
    assert float(sequence_nt_xent(distorted.flip(0), clean, 10, 1, temperature=0.1)) > 3
    assert float(sequence_nt_xent(distorted.flip(1), clean, 10, 1, temperature=0.1)) > 3


def test_near_rows_of_the_same_clip_are_not_wrong():
    clean = unit(1, 11, 16)
    distorted = clean[:, 5:6].clone()
    before = sequence_nt_xent(distorted, clean, 5, 1, temperature=0.1)
    for row, counts in ((3, False), (4, False), (6, False), (7, False), (2, True), (8, True)):
        changed = clean.clone()
        changed[0, row] = distorted[0, 0]
        difference = float(sequence_nt_xent(distorted, changed, 5, 1, temperature=0.1) - before)
        assert (difference > 0.05) if counts else (abs(difference) < 1e-12)


def test_gradient_is_finite():
    distorted = unit(2, 3, 8).requires_grad_()
    sequence_nt_xent(distorted, unit(2, 7, 8, seed=1), 2, 1, temperature=0.07).backward()
    assert torch.isfinite(distorted.grad).all()
    assert float(distorted.grad.abs().sum()) > 0


def slow_triplets(distorted, clean, context, stride, margin):
    """Anchor by anchor, straight from the definition."""
    batch, n, _ = distorted.shape
    distorted, clean = distorted.numpy(), clean.numpy()
    queries = [(b, i) for b in range(batch) for i in range(0, n, stride)]
    references = [(b, i) for b in range(batch) for i in range(0, clean.shape[1], stride)]

    def near(one, other):
        return one[0] == other[0] and abs(one[1] - other[1]) <= 2

    def term(anchor, positive, wrong):
        own = float(((anchor - positive) ** 2).sum())
        distances = [float(((anchor - other) ** 2).sum()) for other in wrong]
        farther = [distance for distance in distances if distance > own]
        within = [distance for distance in farther if distance < own + margin]
        if within:
            return own - min(within) + margin
        return 0.0 if farther else own - max(distances) + margin

    forward, backward = [], []
    for b, i in queries:
        place = (b, i + context)
        wrong = [clean[r] for r in references if not near(r, place)]
        wrong += [distorted[q] for q in queries if not near(q, (b, i))]
        forward.append(term(distorted[b, i], clean[place], wrong))
        wrong = [distorted[q] for q in queries if not near(q, (b, i))]
        backward.append(term(clean[place], distorted[b, i], wrong))
    return (np.mean(forward) + np.mean(backward)) / 2


@pytest.mark.parametrize("margin", [0.02, 0.5, 5.0])
@pytest.mark.parametrize("likeness", [0.3, 3.0])
@pytest.mark.parametrize(("n", "context", "stride"), [(1, 0, 1), (1, 20, 1), (7, 4, 1), (7, 4, 2)])
def test_triplets_equal_a_slow_loop(n, context, stride, likeness, margin):
    clean = unit(3, n + 2 * context, 4)
    distorted = likeness * clean[:, context : context + n] + unit(3, n, 4, seed=1)
    distorted = distorted / distorted.norm(dim=2, keepdim=True)
    got = sequence_triplet(distorted, clean, context, stride, margin=margin)
    expected = slow_triplets(distorted, clean, context, stride, margin)
    assert float(got) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def points(*degrees):
    """Unit vectors in a plane, one clip of one position each."""
    angles = torch.tensor(degrees, dtype=torch.float64).deg2rad()
    return torch.stack([angles.cos(), angles.sin()], dim=1)[:, None]


def test_triplets_far_apart_cost_nothing():
    clean = points(0, 100, 220)
    assert float(sequence_triplet(clean, clean, 0, 1, margin=0.5)) == 0
    assert float(sequence_triplet(clean, clean.roll(1, 0), 0, 1, margin=0.5)) > 0.3


@pytest.mark.parametrize("name", LOSSES)
def test_losses_by_name_have_finite_gradients(name):
    distorted = unit(3, 4, 8).requires_grad_()
    loss = loss_named(name, temperature=0.1, margin=0.5)(distorted, unit(3, 8, 8, seed=1), 2, 1)
    loss.backward()
    assert torch.isfinite(distorted.grad).all()
    assert float(distorted.grad.abs().sum()) > 0


def test_settings_reach_their_loss():
    sides = unit(3, 1, 8), unit(3, 1, 8, seed=1)
    assert loss_named("nt-xent", 0.2, 9.0)(*sides, 0, 1) == sequence_nt_xent(*sides, 0, 1, temperature=0.2)
    assert loss_named("triplet", 9.0, 0.2)(*sides, 0, 1) == sequence_triplet(*sides, 0, 1, margin=0.2)
    with_all = loss_named("nt-xent", 0.2, 9.0, negatives="all")(*sides, 0, 1)
    assert with_all == sequence_nt_xent(*sides, 0, 1, temperature=0.2, negatives="all")
    with pytest.raises(TrainingError, match="hinge: unknown loss; use one of nt-xent, triplet"):
        loss_named("hinge", 0.1, 0.5)
    with pytest.raises(TrainingError, match="half: unknown negatives; use one of all, cross"):
        loss_named("nt-xent", 0.1, 0.5, negatives="half")
    with pytest.raises(TrainingError, match='negatives = "half": must be one of all, cross'):
        default_config("dense", negatives="half")
