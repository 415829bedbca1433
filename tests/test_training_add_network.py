"""The example of docs/how-to/add-a-network.md: one file, which is found, trained and exported."""

import importlib
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from earprint.encoders import load_encoder
from earprint.encoders.windowed import WindowedEncoder
from earprint.synth.composer import compose
from helpers.trainstore import make_store

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'earprint[train]'")
pytest.importorskip("onnx", reason="export needs onnx: pip install 'earprint[train]'")
pytest.importorskip("onnxscript", reason="export needs onnxscript: pip install 'earprint[train]'")
from earprint.training import networks  # noqa: E402
from earprint.training.export_run import export_run  # noqa: E402
from earprint.training.trainer import Trainer, default_config  # noqa: E402

PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "add-a-network.md"
MODULE = "earprint.training.networks.tiny"


@pytest.fixture
def example(tmp_path, monkeypatch):
    """The page's module in a folder of networks, and what discovery registered."""
    (source,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    folder = tmp_path / "networks"
    folder.mkdir()
    (folder / "tiny.py").write_text(source, encoding="utf-8")
    monkeypatch.setattr(networks, "__path__", [*networks.__path__, str(folder)])
    importlib.invalidate_caches()
    networks.discover_networks()
    yield networks.NETWORKS["tiny"]
    del networks.NETWORKS["tiny"], sys.modules[MODULE]


def trained(root):
    store = make_store(root, tracks=4, duration_s=3.0)
    config = default_config(
        "tiny", max_steps=5, max_minutes=None, audio_per_step_s=4.0, validation_percent=0, threads=1
    )
    trainer = Trainer(store, root / "run", config, torch.device("cpu"), lambda line: None)
    losses = []
    step = trainer._one_step
    trainer._one_step = lambda: losses.append(step())
    assert trainer.train()
    return trainer, losses


def test_the_example_is_registered_and_learns(example, tmp_path):
    assert (example.encoder, example.role, example.training_settings["learning_rate"]) == (
        "windowed", "both", 2e-3,
    )  # fmt: skip
    network = networks.build_network("tiny", 64)
    assert network(torch.randn(3, 96, 64)).shape == (3, 64)
    trainer, losses = trained(tmp_path)
    assert trainer.config.negatives == "all"  # of its kind
    assert np.isfinite(losses).all()
    learned = trainer.network.state_dict()["convolutions.1.weight"]
    torch.manual_seed(trainer.config.seed)
    assert not torch.equal(learned, networks.build_network("tiny").state_dict()["convolutions.1.weight"])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the exporter's own warnings
def test_the_example_becomes_a_model(example, tmp_path, monkeypatch):
    trainer, _ = trained(tmp_path)
    (report,) = export_run(trainer.run, tmp_path / "tiny.onnx", "mine", ["1=0.5"])
    assert report.difference < 1e-4
    card = json.loads((tmp_path / "tiny.json").read_text(encoding="utf-8"))
    assert (card["network"], card["encoder"]) == ("tiny", "windowed")
    samples = compose(21, 3.0)
    samples /= np.abs(samples).max()
    with torch.no_grad():
        features = trainer.task.features(torch.from_numpy(samples[: 96 * 160])[None])
        expected = trainer.averaged_network()(features)[0].numpy()
    monkeypatch.setattr("earprint.encoders.registry.WINDOWED_NETWORKS", ("tiny",), raising=False)
    encoder = load_encoder(str(tmp_path / "tiny.onnx"), threads=1)
    assert isinstance(encoder, WindowedEncoder)
    assert float(encoder.encode([samples]).vectors[0] @ expected) > 0.99
