"""Codes while training: what replaces references, how it follows them; and both networks learning."""

import functools

import numpy as np
import pytest

from earprint.encoders import load_encoder
from earprint.errors import TrainingError
from helpers.trainstore import make_store

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'earprint[train]'")
from torch.nn import functional  # noqa: E402

from earprint.quantization.codebook import Codebook  # noqa: E402
from earprint.training import pq_straight_through as coded  # noqa: E402
from earprint.training.networks import QueryNetwork  # noqa: E402
from earprint.training.pq_straight_through import StraightThroughPQ  # noqa: E402
from earprint.training.trainer import Trainer, default_config  # noqa: E402

CPU = torch.device("cpu")

pytestmark = pytest.mark.filterwarnings("ignore")  # the exporter's own


def rows_of(count, seed=0, dim=16):
    """Unit vectors that lie near a few directions, their components of different strength."""
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(20, dim, generator=torch.Generator().manual_seed(99))
    chosen = torch.randint(20, (count,), generator=generator)
    strength = torch.linspace(1.0, 0.2, dim)
    return functional.normalize(
        directions[chosen] + torch.randn(count, dim, generator=generator) * strength, dim=1
    )


@pytest.fixture
def codes():
    """Codes that have seen enough rows."""
    codes = StraightThroughPQ(16, 4, CPU, 1, n_lists=32, kept_rows=2048, rows_per_step=512)
    for step in range(4):
        codes.quantize(rows_of(600, step))
    return codes


def test_nothing_is_replaced_before_there_are_rows_to_learn_from():
    codes = StraightThroughPQ(16, 4, CPU, 1, n_lists=32, kept_rows=2048)
    rows = rows_of(600)
    for step in range(3):
        assert codes.quantize(rows) is rows
        assert not codes.ready, step
    assert codes.quantize(rows) is not rows
    assert codes.ready


def test_they_do_what_a_codebook_does(codes):
    rows = rows_of(300, 50)
    book = Codebook(
        "m",
        codes.rotation.numpy(),
        codes.centroids.numpy(),
        codes.lists.numpy(),
        0.9,
        {},
        residual=True,
    )
    expected = book.decode(book.encode(rows.numpy()))
    np.testing.assert_allclose(codes.reconstruct(rows).numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(
        codes.quantize(rows.reshape(3, 100, 16)).numpy().reshape(-1, 16), expected, atol=1e-5
    )


def test_they_are_near_and_learning_brings_them_nearer(codes):
    rows = rows_of(500, 51)
    generator = torch.Generator().manual_seed(2)
    guessed = StraightThroughPQ(16, 4, CPU, 1, n_lists=32, kept_rows=2048)
    guessed.rows.copy_(codes.rows)
    guessed._initialise()
    cosines = [functional.cosine_similarity(each.reconstruct(rows), rows).mean() for each in (guessed, codes)]
    assert cosines[1] > cosines[0] + 0.02
    assert cosines[1] > 0.95
    torch.testing.assert_close(codes.reconstruct(rows).norm(dim=1), torch.ones(500))
    # All of it in a direction that nothing was learned from costs much.
    other = functional.normalize(torch.randn(500, 16, generator=generator), dim=1)
    assert functional.cosine_similarity(codes.reconstruct(other), other).mean() < cosines[1]


def test_gradients_pass_through_as_if_nothing_had_been_rounded(codes):
    rows, weights = rows_of(40, 52).requires_grad_(), torch.randn(40, 16)
    (codes.quantize(rows) * weights).sum().backward()
    assert torch.equal(rows.grad, weights)


def test_they_follow_the_rows(codes):
    codes.refresh_steps = 8
    turn = torch.linalg.qr(torch.randn(16, 16, generator=torch.Generator().manual_seed(7)))[0]
    turned = rows_of(500, 53) @ turn
    before = functional.cosine_similarity(codes.reconstruct(turned), turned).mean()
    for step in range(64):
        codes.quantize(rows_of(600, 100 + step) @ turn)
    after = functional.cosine_similarity(codes.reconstruct(turned), turned).mean()
    assert after > before + 0.05


def test_codes_go_on_from_where_they_were(codes):
    other = StraightThroughPQ(16, 4, CPU, 5, n_lists=32, kept_rows=2048)
    other.restore(codes.state())
    for step in range(coded.REFRESH_STEPS):
        rows = rows_of(600, 200 + step)
        assert torch.equal(codes.quantize(rows), other.quantize(rows))


@pytest.mark.parametrize(("number", "message"), [(-1, "a whole number of 0 or more"), (129, "1 to 128")])
def test_more_subquantizers_than_components_are_refused(number, message):
    with pytest.raises(TrainingError, match=message):
        default_config("dense", n_subquantizers=number)


@pytest.mark.slow
def test_both_networks_learn_and_become_a_model(tmp_path, monkeypatch):
    pytest.importorskip("onnx", reason="export needs onnx: pip install 'earprint[train]'")
    pytest.importorskip("onnxscript", reason="export needs onnxscript: pip install 'earprint[train]'")
    from earprint.training.export_run import export_run

    few = functools.partial(StraightThroughPQ, n_lists=32, kept_rows=1024)
    monkeypatch.setattr("earprint.training.objective.StraightThroughPQ", few)
    store = make_store(tmp_path, tracks=4, duration_s=3.0)
    config = default_config(
        "dense-pair", max_steps=4, audio_per_step_s=4.0, lengths_s=(1.0,), validation_percent=0, threads=1,
        n_subquantizers=8,
    )  # fmt: skip
    trainer = Trainer(store, tmp_path / "run", config, CPU, lambda line: None)
    assert isinstance(trainer.network, QueryNetwork)
    before = {name: tensor.clone() for name, tensor in trainer.network.named_parameters()}
    assert trainer.objective.quantizer is not None
    trainer.train()
    for name in ("reference.stem.weight", "query.stem.weight"):
        assert not torch.equal(dict(trainer.network.named_parameters())[name], before[name])
    state = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    assert state["codes"]["seen"] == trainer.objective.quantizer.seen == 4 * 512
    assert trainer.objective.quantizer.ready
    assert (
        Trainer(store, tmp_path / "run", config, CPU, lambda line: None).objective.quantizer.seen == 4 * 512
    )

    reports = export_run(trainer.run, tmp_path / "mine.onnx", "mine", ["1=0.7"], reference_steps=8)
    assert [report.path.name for report in reports] == ["mine.onnx", "mine.query.onnx"]
    encoder = load_encoder(str(tmp_path / "mine.onnx"), threads=1)
    assert encoder.name == "mine"
    assert encoder.threshold(1.0) == 0.7
    own = trainer.averaged_network()
    features = torch.randn(1, 300, 64)
    from earprint.training.export import run_onnx

    with torch.no_grad():
        for part, file in ((own.reference, "mine.onnx"), (own.query, "mine.query.onnx")):
            made = run_onnx(tmp_path / file, features.numpy())
            np.testing.assert_allclose(made, part(features).numpy(), atol=5e-3)
