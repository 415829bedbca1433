"""A dense network taught by a wider, frozen one: the teacher stays, the student learns and is exported."""

import numpy as np
import pytest

from earprint.encoders import load_encoder
from earprint.errors import TrainingError
from earprint.synth.composer import compose
from helpers.trainstore import make_store

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'earprint[train]'")
pytest.importorskip("onnx", reason="export needs onnx: pip install 'earprint[train]'")
pytest.importorskip("onnxscript", reason="export needs onnxscript: pip install 'earprint[train]'")
from earprint.training.checkpoint import load_weights, save_weights  # noqa: E402
from earprint.training.export_run import export_run  # noqa: E402
from earprint.training.networks import DenseNetwork, DistilledNetwork, QueryNetwork, reference_side  # noqa: E402
from earprint.training.trainer import Trainer, default_config  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # the exporter's own warnings


def train(store, run, network, start_from, steps):
    config = default_config(
        network, max_steps=steps, max_minutes=None, audio_per_step_s=4.0, lengths_s=(1.0,),
        validation_percent=0, threads=1,
    )  # fmt: skip
    trainer = Trainer(store, run, config, torch.device("cpu"), lambda line: None, start_from)
    losses = []
    step = trainer._one_step
    trainer._one_step = lambda: losses.append(step())
    trainer.train()
    return trainer, losses


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A pair's weights, and the run of a student of its queries' network."""
    folder = tmp_path_factory.mktemp("distilled")
    store = make_store(folder, tracks=4, duration_s=3.0)
    torch.manual_seed(7)
    save_weights(QueryNetwork(), folder / "pair.pt")
    return folder / "pair.pt", *train(store, folder / "student", "dense-distilled", folder / "pair.pt", 12)


@pytest.mark.slow
def test_the_teacher_stays_and_the_student_comes_nearer(runs):
    pair, student, losses = runs
    given = torch.load(pair, weights_only=True)
    for name, tensor in student.averaged_network().teacher.state_dict().items():
        assert torch.equal(tensor, given[f"query.{name}"].to(tensor.dtype)), name
    assert not any(p.requires_grad for p in student.network.teacher.parameters())
    before_norms_freeze = losses[:8]
    assert np.mean(before_norms_freeze[-3:]) < before_norms_freeze[0]


def test_the_clean_side_is_the_teachers_only_while_it_learns():
    network = DistilledNetwork()
    assert reference_side(network.train()) is network.teacher
    assert not network.teacher.training
    assert network.student.training
    assert reference_side(network.eval()) is network.student


@pytest.mark.slow
def test_the_student_is_exported_as_a_dense_model(runs, tmp_path):
    student = runs[1]
    (report,) = export_run(student.run, tmp_path / "small.onnx", "small", ["2=0.3"])
    rows = load_encoder(str(report.path)).encode([compose(1, 3.0)]).vectors
    assert rows.shape == (26, 128)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-3)
    whole = tmp_path / "weights.pt"
    save_weights(student.averaged_network().student, whole)
    load_weights(DenseNetwork(), "dense", whole, torch.device("cpu"))  # a dense network's, and no others
    assert report.difference < 1e-4
    assert report.mean_cosine > 0.999


@pytest.mark.slow
def test_it_goes_on_from_its_own_weights(runs, tmp_path):
    own = runs[1].averaged_network()
    save_weights(own, tmp_path / "weights.pt")
    network = DistilledNetwork()
    load_weights(network, "dense-distilled", tmp_path / "weights.pt", torch.device("cpu"))
    for side in ("teacher", "student"):
        mine, theirs = getattr(network, side).stem.weight, getattr(own, side).stem.weight
        torch.testing.assert_close(mine, theirs, atol=1e-3, rtol=1e-3)


@pytest.mark.slow
def test_it_needs_a_teacher(runs, tmp_path):
    store = runs[0].parent / "store"
    with pytest.raises(TrainingError, match=r"query network of a pair; give its weights\.pt with --start-f"):
        train(store, tmp_path / "run", "dense-distilled", None, 1)
    narrow = tmp_path / "narrow.pt"
    save_weights(DenseNetwork(), narrow)
    with pytest.raises(TrainingError, match="no weights of a dense-distilled network"):
        train(store, tmp_path / "run", "dense-distilled", narrow, 1)
