"""The whole way with toy networks: a store, ninety steps of every encoder, export, and an evaluation.

What is measured here says nothing about the encoders; it says that nothing between a folder of music and a
table of results is broken.
"""

import json
from functools import partial

import numpy as np
import pytest
from typer.testing import CliRunner

from earprint.audio.wav import write_wav
from earprint.cli.main import app
from earprint.synth.composer import compose
from helpers.trainstore import make_store

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'earprint[train]'")
pytest.importorskip("onnx", reason="export needs onnx: pip install 'earprint[train]'")
pytest.importorskip("onnxscript", reason="export needs onnxscript: pip install 'earprint[train]'")
from earprint.training import networks  # noqa: E402
from earprint.training.augmentation import Augmentations  # noqa: E402
from earprint.training.export_run import export_run  # noqa: E402
from earprint.training.trainer import Trainer, default_config  # noqa: E402
from helpers.thin_networks import use_network  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # the exporter's own warnings

STEPS = 90
DIM = 64
LIGHT = Augmentations.noise_only((20.0, 30.0), shift={"offset_s": (-0.005, 0.005)})


class ToyAttention(networks.AttentionNetwork):
    CHANNELS = (4, 4, 8, 8, 16, 32, 32)


class ToyPlain(networks.PlainNetwork):
    CHANNELS = ToyAttention.CHANNELS


class ToyNafp(networks.NafpNetwork):
    CHANNELS = (4, 4, 8, 8, 8, 8, 16, 64)


toy_dense = partial(networks.DenseNetwork, channels=(4, 8, 8, 16, 32), branch=2)

TOYS = {
    "dense": toy_dense,
    "dense-attention": partial(toy_dense, attention=True),
    "attention": partial(ToyAttention, branch=2),
    "plain": partial(ToyPlain, branch=2),
    "nafp": partial(ToyNafp, branch=2),
}


def test_there_is_a_toy_for_every_encoder():
    # Networks of several parts have tests of their own: test_training_query.py, test_training_distilled.py.
    whole = {name for name, spec in networks.NETWORKS.items() if spec.role == "both"}
    assert TOYS.keys() == whole


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Losses and the exported model of every toy, by name."""
    root = tmp_path_factory.mktemp("whole")
    store = make_store(root, tracks=6, duration_s=3.0)
    out = {}
    with pytest.MonkeyPatch.context() as patch:
        for name, make_network in TOYS.items():
            use_network(patch, name, make_network)
            config = default_config(
                name, dim=DIM, max_steps=STEPS, max_minutes=None, audio_per_step_s=5.0, lengths_s=(1.0,),
                learning_rate=5e-3, warmup_steps=5, ema_decay=0.9, validation_percent=0, threads=1,
                augmentation=LIGHT,
            )  # fmt: skip
            trainer = Trainer(store, root / name, config, torch.device("cpu"), lambda line: None)
            losses = []
            step = trainer._one_step
            trainer._one_step = lambda step=step, losses=losses: losses.append(step())
            assert trainer.train()
            (report,) = export_run(root / name, root / f"{name}.onnx", name, ["2=0.3"])
            out[name] = losses, root / f"{name}.onnx", report
    return out


@pytest.mark.parametrize("name", TOYS)
def test_the_loss_falls(trained, name):
    losses, _, report = trained[name]
    assert len(losses) == STEPS
    assert np.isfinite(losses).all()
    assert np.mean(losses[-10:]) < 0.85 * np.mean(losses[:5])  # attention takes the longest to get going
    assert report.difference < 1e-3


def test_evaluation_finds_excerpts_with_every_model(trained, tmp_path):
    (tmp_path / "music").mkdir()
    for seed in range(3):
        write_wav(tmp_path / "music" / f"{seed}.wav", compose(seed, 5.0))
    words = ["evaluate", "--references", tmp_path / "music", "--lengths", 2, "--queries", 6, "--jobs", 1]
    words += ["--out", tmp_path / "out"]
    for _, model, _ in trained.values():
        words += ["--model", model]
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    for name in TOYS:
        assert name in result.stdout
    results = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    right = {row["system"]: row["top_1"]["percent"] for row in results["rows"]}
    assert right.keys() == TOYS.keys()
    assert min(right.values()) > 50  # of three recordings
