"""A larger network for queries: it begins as the references', which stays as it is, and becomes two files."""

import json
import shutil

import numpy as np
import pytest

from earprint.encoders import load_encoder
from earprint.encoders.dense import DenseEncoder
from earprint.encoders.model_file import open_model
from earprint.errors import ModelError, TrainingError
from earprint.synth.composer import compose
from helpers.trainstore import make_store

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'earprint[train]'")
pytest.importorskip("onnx", reason="export needs onnx: pip install 'earprint[train]'")
pytest.importorskip("onnxscript", reason="export needs onnxscript: pip install 'earprint[train]'")
from earprint.training.checkpoint import load_weights, save_weights  # noqa: E402
from earprint.training.export_run import _check_reference_steps, export_run  # noqa: E402
from earprint.training.grad_cache import backward_of_batch  # noqa: E402
from earprint.training.losses import loss_named  # noqa: E402
from earprint.training.networks import DenseNetwork, QueryNetwork  # noqa: E402
from earprint.training.networks.query import widen  # noqa: E402
from earprint.training.trainer import Trainer, default_config  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # the exporter's own warnings


def used(seed=0, **options):
    """A dense network in evaluation mode whose norms have seen something."""
    torch.manual_seed(seed)
    network = DenseNetwork(**options)
    with torch.no_grad():
        network.train()(torch.randn(4, 200, 64))
    return network.eval()


def train(store, run, network, start_from, **changes):
    options = {"max_steps": 3, "audio_per_step_s": 4.0, "lengths_s": (1.0,), "validation_percent": 0}
    config = default_config(network, **options, threads=1, **changes)
    trainer = Trainer(store, run, config, torch.device("cpu"), lambda line: None, start_from)
    trainer.train()
    return trainer


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A model, and a run for its queries."""
    folder = tmp_path_factory.mktemp("query")
    store = make_store(folder, tracks=4, duration_s=3.0)
    first = train(store, folder / "first", "dense", None)
    out = folder / "models" / "mine.onnx"
    export_run(first.run, out, "mine", ["1=0.7"], reference_steps=8)
    second = train(store, folder / "second", "dense-query", first.run / "weights.pt")
    return first, out, second


@pytest.fixture
def model(runs, tmp_path):
    """The model as files of one's own."""
    path = tmp_path / "mine.onnx"
    for file in (runs[1], runs[1].with_suffix(".json")):
        shutil.copy(file, tmp_path / f"mine{file.suffix}")
    return path


@pytest.mark.parametrize(
    "channels",
    [(24, 48, 96, 160, 320), (16, 40, 64, 96, 192), (17, 33, 70, 96, 448), (32, 64, 112, 192, 384)],
)
def test_the_wide_one_begins_as_the_narrow_one(channels):
    narrow, wide = used(), used(1, channels=channels)
    before = {name: tensor.clone() for name, tensor in narrow.state_dict().items()}
    features = torch.randn(2, 300, 64)
    with torch.no_grad():
        assert (narrow(features) - wide(features)).abs().max() > 0.01
        widen(narrow, wide)
        torch.testing.assert_close(wide.eval()(features), narrow(features), atol=1e-5, rtol=0)
    assert all(torch.equal(narrow.state_dict()[name], tensor) for name, tensor in before.items())


def test_a_pair_begins_as_a_narrower_pair(tmp_path):
    narrow = QueryNetwork()
    narrow.load_initial_weights(used().state_dict())
    narrow.query.load_state_dict(used(3, channels=(24, 48, 96, 160, 320)).state_dict())
    torch.save(narrow.state_dict(), tmp_path / "weights.pt")
    wide = QueryNetwork(channels=(32, 64, 112, 192, 384))
    load_weights(wide, "dense-pair", tmp_path / "weights.pt", torch.device("cpu"))
    features = torch.randn(2, 300, 64)
    with torch.no_grad():
        torch.testing.assert_close(wide.eval()(features), narrow.eval()(features), atol=1e-5, rtol=0)
        torch.testing.assert_close(wide.reference(features), narrow.reference(features))


def test_new_channels_learn():
    narrow, wide = used(), used(1, channels=(24, 48, 96, 160, 320))
    widen(narrow, wide)
    (wide(torch.randn(2, 200, 64)) * torch.randn(128)).sum().backward()
    fresh = wide.blocks[1].conv1.weight.grad[:64, 48 - 16 :]
    assert fresh.abs().max() > 0


@pytest.mark.parametrize("channels", [(8, 32, 64, 96, 192), (16, 32, 64, 96, 128)])
def test_what_does_not_fit_is_refused(channels):
    with pytest.raises(TrainingError, match="channels"):
        widen(used(), DenseNetwork(channels))


@pytest.mark.slow
def test_references_stay_and_queries_learn(runs):
    first, _, second = runs
    given = torch.load(first.run / "weights.pt", weights_only=True)
    own = second.averaged_network()
    for name, tensor in own.reference.state_dict().items():
        assert torch.equal(tensor, given[name].to(tensor.dtype)), name
    features = torch.randn(1, 200, 64)
    with torch.no_grad():
        assert not torch.equal(own.reference(features), own.query(features))
        assert torch.equal(own(features), own.query(features))
    assert not any(p.requires_grad for p in second.network.reference.parameters())
    assert not second.network.train().reference.training


def test_chunks_give_the_gradient_of_the_whole_batch():
    network = QueryNetwork(channels=(16, 32, 64, 96, 192))
    network.load_initial_weights(used().state_dict())
    network.double().eval()
    sides = [torch.randn(4, 147, 64, dtype=torch.float64) for _ in range(2)]
    criterion = loss_named("nt-xent", 0.1, 0.5)

    def gradients(chunk):
        network.zero_grad()
        value = backward_of_batch(network, *sides, lambda d, c: criterion(d, c, 0, 1), chunk)
        return float(value), [p.grad.clone() for p in network.query.parameters()]

    value, whole = gradients(0)
    again, parts = gradients(3)
    assert again == pytest.approx(value)
    for a, b in zip(whole, parts, strict=True):
        torch.testing.assert_close(a, b)
    assert all(p.grad is None for p in network.reference.parameters())


@pytest.mark.slow
def test_a_run_goes_on_from_its_own_weights(runs, tmp_path):
    second = runs[2]
    save_weights(second.averaged_network(), tmp_path / "weights.pt")
    network = QueryNetwork()
    load_weights(network, "dense-query", tmp_path / "weights.pt", torch.device("cpu"))
    mine, theirs = network.query.stem.weight, second.averaged_network().query.stem.weight
    torch.testing.assert_close(mine, theirs, atol=1e-3, rtol=1e-3)


@pytest.mark.slow
def test_a_run_needs_something_to_find(runs, tmp_path):
    store = runs[0].run.parent / "store"
    with pytest.raises(
        TrainingError,
        match=r"its queries must match; give its weights\.pt with --start-from",
    ):
        train(store, tmp_path / "run", "dense-query", None)


@pytest.mark.slow
def test_queries_go_through_their_own_network(runs, model):
    second = runs[2]
    music = compose(5, 3.0)
    before = load_encoder(str(model), threads=1)
    (report,) = export_run(second.run, model, None, ["2=0.6"])
    assert report.path == model.with_name("mine.query.onnx")
    assert report.difference < 1e-4
    card = json.loads(model.with_name("mine.query.json").read_text(encoding="utf-8"))
    assert (card["name"], card["network"], card["finds"]) == ("mine", "dense", before.model_id)
    assert card["parameters"] == sum(p.numel() for p in second.network.query.parameters())
    after = DenseEncoder(open_model(model), threads=1)
    assert after.model_id == before.model_id
    np.testing.assert_array_equal(after.encode([music]).vectors, before.encode([music]).vectors)
    found = after.encode([music], query=True)
    assert len(found.vectors) == len(before.encode([music], query=True).vectors)
    cosines = (found.vectors * before.encode([music], query=True).vectors).sum(axis=1)
    assert 0.3 < cosines.mean() < 0.999
    assert before.threshold(2) == 0.7
    assert after.threshold(2) == 0.6


@pytest.mark.slow
def test_thresholds_are_the_models_if_none_are_given(runs, model):
    export_run(runs[2].run, model, None, [])
    assert open_model(model).query_model().thresholds == {1.0: 0.7}


@pytest.mark.slow
def test_the_wrong_model_is_refused(runs, tmp_path, model):
    other = tmp_path / "other.onnx"
    store = runs[0].run.parent / "store"
    export_run(train(store, tmp_path / "run", "dense", None, seed=9).run, other, "other", [])
    with pytest.raises(TrainingError, match=r"other\.onnx: the run was trained for another model"):
        export_run(runs[2].run, other, "other", [])
    export_run(runs[2].run, model, None, [])
    for suffix in ("onnx", "json"):
        shutil.copy(model.with_name(f"mine.query.{suffix}"), tmp_path / f"other.query.{suffix}")
    with pytest.raises(ModelError, match=r"other\.query\.onnx: is a query network of mine-.*, not of other-"):
        load_encoder(str(other))


@pytest.mark.slow
def test_a_network_for_queries_is_no_model(runs, model):
    export_run(runs[2].run, model, None, [])
    with pytest.raises(ModelError, match=r"is for queries only; name the model beside it, .*mine\.onnx"):
        load_encoder(str(model.with_name("mine.query.onnx")))


@pytest.mark.slow
def test_what_a_network_for_queries_does_not_have_is_refused(runs, model):
    with pytest.raises(TrainingError, match="--reference-steps 8: the model that the queries find"):
        export_run(runs[2].run, model, None, [], reference_steps=8)
    with pytest.raises(TrainingError, match=r"its name is mine, and its query network has the same name"):
        export_run(runs[2].run, model, "another", [])
    assert not model.with_name("mine.query.onnx").exists()
    export_run(runs[2].run, model, "mine", [])
    assert model.with_name("mine.query.onnx").exists()


def test_a_grid_is_refused_where_there_is_one_row_for_a_segment():
    _check_reference_steps("dense-pair", 8)
    with pytest.raises(TrainingError, match="--reference-steps 8: nafp has one row for each segment; leave"):
        _check_reference_steps("nafp", 8)
