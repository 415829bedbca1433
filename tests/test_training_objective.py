"""Rows of earlier steps among the wrong ones, and whole queries against whole alignments."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'earprint[train]'")
from torch.nn import functional  # noqa: E402

from earprint.errors import TrainingError  # noqa: E402
from earprint.training.alignment_loss import REFERENCE_STEPS, alignment_nt_xent  # noqa: E402
from earprint.training.losses import SAME_AUDIO_COSINE, loss_named, sequence_nt_xent, sequence_triplet  # noqa: E402
from earprint.training.memory_bank import MemoryBank  # noqa: E402
from earprint.training.trainer import Trainer, default_config  # noqa: E402
from helpers.thin_networks import use_thin_networks  # noqa: E402
from helpers.trainstore import make_store  # noqa: E402

CPU = torch.device("cpu")


def unit(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(*shape, generator=generator, dtype=torch.float64), dim=-1)


def test_a_bank_keeps_the_latest_rows():
    bank = MemoryBank(16, 4, CPU, 1, rows_per_step=6)
    assert bank.embeddings.shape == (0, 4)
    for step in range(1, 6):
        bank.add(torch.full((2, 5, 4), float(step)))
        assert len(bank.embeddings) == min(16, 6 * step)
    values, counts = bank.embeddings[:, 0].unique(return_counts=True)
    assert dict(zip(values.tolist(), counts.tolist(), strict=True)) == {3.0: 4, 4.0: 6, 5.0: 6}


def test_rows_once_taken_stay_as_they_were():
    bank = MemoryBank(8, 4, CPU, 1)
    bank.add(torch.ones(8, 4))
    taken = bank.embeddings
    bank.add(torch.zeros(8, 4))
    assert bool((taken == 1).all())
    assert not bank.embeddings.any()


def test_a_bank_takes_different_rows_of_a_step_and_goes_on_where_it_was():
    rows = torch.arange(100.0)[:, None]
    one, other = (MemoryBank(20, 1, CPU, seed, rows_per_step=10) for seed in (1, 7))
    one.add(rows)
    assert len(one.embeddings.unique()) == 10
    other.restore({**one.state(), "rows": one.state()["rows"].clone()})
    one.add(rows)
    other.add(rows)
    assert torch.equal(one.embeddings, other.embeddings)


def test_nt_xent_counts_other_rows_as_wrong():
    distorted, clean, others = unit(3, 5, 16), unit(3, 9, 16, seed=1), unit(7, 16, seed=2)
    without = sequence_nt_xent(distorted, clean, 2, 1, temperature=0.2)
    assert sequence_nt_xent(distorted, clean, 2, 1, temperature=0.2, extra_negatives=others[:0]) == without
    got = sequence_nt_xent(distorted, clean, 2, 1, temperature=0.2, extra_negatives=others)
    # Straight from the definition: what the others add to each row's sum of wrong ones.
    more = []
    for b in range(3):
        for i in range(5):
            right = math.exp(float(distorted[b, i] @ clean[b, i + 2]) / 0.2)
            wrong = sum(
                math.exp(float(distorted[b, i] @ clean[c, j]) / 0.2)
                for c in range(3) for j in range(9) if c != b or abs(j - i - 2) > 2
            )  # fmt: skip
            wrong += sum(
                math.exp(float(distorted[b, i] @ distorted[c, j]) / 0.2)
                for c in range(3) for j in range(5) if c != b or abs(j - i) > 2
            )  # fmt: skip
            besides = sum(math.exp(float(distorted[b, i] @ other) / 0.2) for other in others)
            more.append(math.log((right + wrong + besides) / (right + wrong)))
    assert float(got - without) == pytest.approx(np.mean(more) / 2, rel=1e-9)


def test_a_triplet_s_negative_may_be_another_row():
    distorted, clean = unit(2, 1, 16), unit(2, 1, 16, seed=1)
    alone = float(sequence_triplet(distorted, clean, 0, 1, margin=0.5))
    # Just farther than each row's own: the semi-hard one of both.
    positive = 2 - 2 * (distorted[:, 0] * clean[:, 0]).sum(dim=1)
    others = torch.stack([_at(distorted[i, 0], float(positive[i]) + 0.01, seed=i) for i in range(2)])
    got = float(sequence_triplet(distorted, clean, 0, 1, margin=0.5, extra_negatives=others))
    assert got >= alone
    assert got > 0.2


def _at(row, squared_distance, seed):
    """A unit vector at this squared distance."""
    cosine = 1 - squared_distance / 2
    across = unit(len(row), seed=seed + 50)
    across = functional.normalize(across - (across @ row) * row, dim=0)
    return cosine * row + math.sqrt(1 - cosine**2) * across


@pytest.mark.parametrize(("name", "setting"), [("nt-xent", 0.1), ("triplet", 0.5)])
@pytest.mark.parametrize(
    ("cosine", "counts"), [(SAME_AUDIO_COSINE - 0.02, True), (SAME_AUDIO_COSINE + 0.02, False)]
)
def test_rows_that_are_nearly_the_right_one_are_not_wrong(name, setting, cosine, counts):
    right = unit(16, seed=1)
    twin = _at(right, 2 - 2 * cosine, 1)
    # One query between the two, a little nearer to its own; and one on the other side of the world.
    query = functional.normalize(right + 0.9 * twin, dim=0)
    both = torch.stack((query, -right))[:, None], torch.stack((right, -right))[:, None]
    loss = loss_named(name, setting, setting)
    costs = [float(loss(*both, 0, 1, extra_negatives=others)) for others in (None, twin[None])]
    assert (costs[1] > costs[0] + 0.1) == counts


def slow_alignment(distorted, clean, phase, weights, temperature):
    """Place by place, straight from the definition."""
    batch, n, _ = distorted.shape
    rows = list(range(phase, n, REFERENCE_STEPS))
    m = clean.shape[1]
    costs = []
    for q in range(batch):
        scores = {}
        for clip in range(batch):
            for start in range(m):
                if start + rows[-1] - rows[0] >= m:
                    break
                total = sum(
                    float(weights[row] * (distorted[q, row] @ clean[clip, start + row - rows[0]]))
                    for row in rows
                )
                scores[clip, start] = total / float(sum(weights[row] for row in rows))
        right = (q, phase + (m - n) // 2)
        wrong = [s for (c, p), s in scores.items() if c != q or abs(p - right[1]) > 2]
        likes = [math.exp(score / temperature) for score in (scores[right], *wrong)]
        costs.append(-math.log(likes[0] / sum(likes)))
    return np.mean(costs)


@pytest.mark.parametrize(("n", "m", "phase"), [(26, 42, 0), (26, 42, 7), (9, 13, 3), (4, 10, 3)])
def test_alignment_equals_a_slow_loop(n, m, phase):
    distorted, clean = unit(3, n, 16), unit(3, m, 16, seed=1)
    weights = torch.linspace(0.2, 1.0, n, dtype=torch.float64)
    got = alignment_nt_xent(distorted, clean, phase, weights, 0.1)
    assert float(got) == pytest.approx(slow_alignment(distorted, clean, phase, weights, 0.1), rel=1e-9)


def test_the_right_place_costs_least():
    clean = unit(4, 40, 32)
    right = clean[:, 8:32].clone()
    weights = torch.ones(24, dtype=torch.float64)
    assert float(alignment_nt_xent(right, clean, 2, weights)) < 0.01
    late = clean[:, 12:36]
    assert float(alignment_nt_xent(late, clean, 2, weights)) > 3
    assert float(alignment_nt_xent(right.flip(0), clean, 2, weights)) > 3


def test_alignments_are_refused_where_there_is_one_row():
    with pytest.raises(TrainingError, match="attention gives one fingerprint of a query"):
        default_config("attention", alignment_weight=0.5)


@pytest.mark.parametrize("network", ["dense", "nafp"])
def test_a_run_with_them_learns_and_resumes_to_the_same_loss(tmp_path, monkeypatch, network):
    use_thin_networks(monkeypatch)
    store = make_store(tmp_path, tracks=4, duration_s=3.0)
    config = default_config(
        network, max_steps=6, audio_per_step_s=4.0, lengths_s=(1.0,), validation_percent=0, threads=1,
        memory_bank_size=300, alignment_weight=0.5 if network == "dense" else 0.0,
    )  # fmt: skip
    whole = Trainer(store, tmp_path / "whole", config, CPU, lambda line: None)
    expected = [whole._one_step() for _ in range(2)]
    assert len(whole.objective.memory_bank.embeddings) > 0
    first = Trainer(store, tmp_path / "run", config, CPU, lambda line: None)
    got = [first._one_step()]
    first.save()
    second = Trainer(store, tmp_path / "run", config, CPU, lambda line: None)
    got += [second._one_step()]
    assert got == pytest.approx(expected, rel=1e-6)
