"""From a run to a model that the light install loads, with the same fingerprints as in training."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest

from earprint.encoders import load_encoder
from earprint.encoders.dense import DenseEncoder
from earprint.encoders.model_file import open_model
from earprint.errors import TrainingError
from earprint.synth.composer import compose
from helpers.trainstore import make_store

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'earprint[train]'")
pytest.importorskip("onnx", reason="export needs onnx: pip install 'earprint[train]'")
pytest.importorskip("onnxscript", reason="export needs onnxscript: pip install 'earprint[train]'")
from earprint.training.batch_statistics import copy_statistics  # noqa: E402
from earprint.training.config_file import load_config  # noqa: E402
from earprint.training.export import run_onnx  # noqa: E402
from earprint.training.export_run import (  # noqa: E402
    _calibration,
    averaged_weights,
    export_run,
    parse_thresholds,
)
from earprint.training.legacy_settings import NEW_NAMES, OLD_DEFAULTS  # noqa: E402
from earprint.training.trainer import Trainer, default_config  # noqa: E402
from helpers.thin_networks import use_thin_networks  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # the exporter's own warnings


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A run of a few steps, the model made from it and the report."""
    folder = tmp_path_factory.mktemp("export")
    store = make_store(folder, tracks=4, held_out=1, duration_s=3.0)
    config = default_config(
        "dense", max_steps=4, audio_per_step_s=4.0, lengths_s=(1.0,), validation_percent=0, threads=1
    )
    trainer = Trainer(store, folder / "run", config, torch.device("cpu"), lambda line: None)
    trainer.train()
    out = folder / "models" / "mine.onnx"
    (report,) = export_run(folder / "run", out, "mine", ["1=0.7", "5=0.5"])
    return trainer, out, report


@pytest.fixture
def thin_run(tmp_path, monkeypatch):
    """A short run of a thin network whose norms are never frozen."""
    use_thin_networks(monkeypatch)
    store = make_store(tmp_path, tracks=4, duration_s=3.0)
    config = default_config(
        "dense", max_steps=3, audio_per_step_s=4.0, lengths_s=(1.0,), validation_percent=0, threads=1,
        frozen_norm_share=0.0, ema_decay=0.5, learning_rate=0.01, warmup_steps=1,
    )  # fmt: skip
    trainer = Trainer(store, tmp_path / "run", config, torch.device("cpu"), lambda line: None)
    trainer.train()
    return trainer


@pytest.mark.parametrize("kept", ["checkpoint.pt", "weights.pt"])
def test_weights_and_statistics_for_export_are_the_averaged_networks(thin_run, kept):
    if kept == "weights.pt":
        (thin_run.run / "checkpoint.pt").unlink()
    network, _ = averaged_weights(thin_run.run)
    rounding = {"rtol": 1e-3, "atol": 1e-3} if kept == "weights.pt" else {"rtol": 0, "atol": 0}
    for name, value in thin_run.averaged_network().state_dict().items():
        torch.testing.assert_close(network.state_dict()[name], value, **rounding)
    raw = dict(thin_run.network.named_buffers())
    assert not torch.allclose(network.stem_norm.running_var, raw["stem_norm.running_var"], rtol=2e-2)


@pytest.mark.slow
def test_an_exported_network_is_the_averaged_one(thin_run, tmp_path):
    trainer = thin_run
    (report,) = export_run(trainer.run, tmp_path / "thin.onnx", "thin", ["1=0.7"], reference_steps=8)
    assert report.difference < 1e-4
    card = json.loads((tmp_path / "thin.json").read_text(encoding="utf-8"))
    assert (card["network"], card["encoder"], card["query_beyond_steps"]) == ("dense", "dense", 12)
    features = torch.randn(1, 300, 64)
    got = run_onnx(tmp_path / "thin.onnx", features.numpy())
    with torch.no_grad():
        averaged = trainer.averaged_network()(features).numpy()
        copy_statistics(trainer.network, trainer.averaging.average.module)
        with_raw_statistics = trainer.averaging.average.module(features).numpy()
    error = np.abs(got - averaged).max()
    assert error < 5e-3
    assert np.abs(got - with_raw_statistics).max() > 5 * error


@pytest.mark.slow
def test_report(exported):
    _, _, report = exported
    assert report.difference < 1e-4
    assert 0.9999 < report.rounding_cosine < 1 + 1e-5


@pytest.mark.slow
def test_card(exported):
    _, out, _ = exported
    card = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
    assert (card["name"], card["network"], card["dim"]) == ("mine", "dense", 128)
    assert card["threshold"] == {"1": 0.7, "5": 0.5}
    assert card["parameters"] == sum(p.numel() for p in exported[0].network.parameters())
    training = card["training"]
    assert training["steps"] == 4
    assert training["config"]["audio_per_step_s"] == 4.0
    assert training["device"].startswith("CPU")
    assert training["store"]["music"] == {"items": 5, "held_out": 0}


@pytest.mark.slow
def test_the_card_for_people_holds_the_configuration(exported):
    trainer, out, _ = exported
    text = out.with_suffix(".md").read_text(encoding="utf-8")
    assert text.startswith("# mine\n")
    assert "| Network | dense |" in text
    assert "| 1 s | 0.7 |" in text
    assert "| music | 5 | 0 |" in text
    (configuration,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    file = out.with_name("configuration.toml")
    file.write_text(configuration, encoding="utf-8")
    assert load_config(file, {}) == trainer.config
    assert (trainer.run / "config.toml").read_text(encoding="utf-8") == configuration


@pytest.mark.slow
def test_runs_of_older_versions_export(exported, tmp_path):
    trainer, _, _ = exported
    now = trainer.config.to_dict()
    old = {key: value for key, value in now.items() if key not in ("augmentation", "negatives")}
    for old_name, name in NEW_NAMES.items():
        old[old_name] = old.pop(name)
    old["distortions"] = {**OLD_DEFAULTS, "snr_db": [0.0, 5.0], "call": 0.0}
    del old["min_clip_power"]
    summary = json.loads((trainer.run / "run.json").read_text(encoding="utf-8"))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text(json.dumps({**summary, "config": json.dumps(old)}), "utf-8")
    shutil.copy(trainer.run / "weights.pt", tmp_path / "run")
    export_run(tmp_path / "run", tmp_path / "old.onnx", "old", [])
    card = json.loads((tmp_path / "old.json").read_text(encoding="utf-8"))
    assert card["training"]["config"]["augmentation"]["noise"]["snr_db"] == [0.0, 5.0]
    text = (tmp_path / "old.md").read_text(encoding="utf-8")
    (configuration,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    (tmp_path / "old.toml").write_text(configuration, encoding="utf-8")
    read = load_config(tmp_path / "old.toml", {})
    assert replace(read, augmentation=trainer.config.augmentation) == trainer.config
    assert read.augmentation["codec_query"].probability == 0.0
    calibration = _calibration(trainer.run.parent / "store", old, 128)
    assert all(np.isfinite(features).all() for features in calibration)


@pytest.mark.slow
def test_the_file_is_small_and_names_no_place_of_the_exporting_machine(exported):
    content = exported[1].read_bytes()
    assert len(content) < 2.1 * 886_000 + 50_000
    assert b".py" not in content


@pytest.mark.slow
def test_fingerprints_are_those_of_the_torch_path(exported):
    trainer, out, _ = exported
    samples = compose(21, 5.0)[:64_000]
    encoder = load_encoder(str(out), threads=1)
    got = encoder.encode([samples], query=True)
    assert not got.silent.any()
    with torch.no_grad():
        features = trainer.task.features(torch.from_numpy(samples)[None], None)
        expected = trainer.averaged_network()(features)[0].numpy()
    assert encoder.name == "mine"
    assert encoder.threshold(1.0) == 0.7
    assert got.margin_rows == 12
    np.testing.assert_allclose(got.vectors[12:-12], expected, atol=2e-3)


@pytest.mark.slow
def test_it_is_the_average_that_is_exported(exported):
    trainer, out, _ = exported
    samples = compose(21, 3.0)[:32_000]
    got = load_encoder(str(out), threads=1).encode([samples], query=True).vectors[12:-12]
    with torch.no_grad():
        features = trainer.task.features(torch.from_numpy(samples)[None], None)
        average = trainer.averaged_network()(features)[0].numpy()
        last = trainer.network.eval()(features)[0].numpy()
    assert np.abs(got - average).max() < 0.2 * np.abs(got - last).max()


@pytest.fixture(scope="module")
def switched(exported):
    """The same run, exported to keep every eighth row of a reference."""
    trainer, out, _ = exported
    path = out.with_name("switched.onnx")
    (report,) = export_run(trainer.run, path, "switched", [], reference_steps=8)
    return path, report


@pytest.mark.slow
@pytest.mark.parametrize("chunk_frames", [147, 300, 2048])
def test_a_model_that_computes_the_kept_rows_only(exported, switched, chunk_frames):
    samples = compose(21, 9.0)[:130_000]
    every = load_encoder(str(exported[1]), threads=1).encode([samples], query=True).vectors[12:-12]
    encoder = DenseEncoder(open_model(switched[0]), threads=1, chunk_frames=chunk_frames)
    assert encoder._reference_session.switched
    assert encoder.reference_hop_s == pytest.approx(0.32)
    got = encoder.encode(np.split(samples, [1_000, 50_000])).vectors
    assert len(got) == (len(every) + 7) // 8
    np.testing.assert_allclose(got, every[::8], atol=2e-6)
    queried = encoder.encode([samples], query=True).vectors
    np.testing.assert_allclose(queried[12:-12], every, atol=2e-6)


@pytest.mark.slow
def test_the_two_heads_share_their_weights(exported, switched):
    path, report = switched
    assert path.stat().st_size < exported[1].stat().st_size + 10_000
    assert report.difference < 1e-4
    assert b".py" not in path.read_bytes()


@pytest.mark.slow
def test_whoever_does_not_know_the_switch_gets_all_rows(exported, switched):
    features = np.random.default_rng(0).standard_normal((1, 400, 64)).astype(np.float32)
    np.testing.assert_allclose(run_onnx(switched[0], features), run_onnx(exported[1], features), atol=2e-6)


@pytest.mark.slow
def test_a_card_with_another_grid_than_the_model(switched, tmp_path):
    path = tmp_path / "other.onnx"
    path.write_bytes(switched[0].read_bytes())
    card = json.loads(switched[0].with_suffix(".json").read_text(encoding="utf-8"))
    path.with_suffix(".json").write_text(json.dumps({**card, "reference_steps": 4}), encoding="utf-8")
    encoder = DenseEncoder(open_model(path), threads=1)
    assert not encoder._reference_session.switched
    samples = compose(21, 3.0)[:40_000]
    sparse = DenseEncoder(open_model(switched[0]), threads=1).encode([samples]).vectors
    np.testing.assert_allclose(encoder.encode([samples]).vectors[::2], sparse, atol=2e-6)


def test_a_run_without_checkpoint_is_named(tmp_path):
    with pytest.raises(TrainingError, match=r"checkpoint\.pt: no checkpoint; train first"):
        export_run(tmp_path, tmp_path / "x.onnx", "x", [])


def test_thresholds():
    assert parse_thresholds([]) == {}
    assert parse_thresholds(["1=0.7", "5.0=0.5", "0.5=.9"]) == {"1": 0.7, "5": 0.5, "0.5": 0.9}
    for wrong in ("5", "a=b", "=", "5=", "=0.5"):
        with pytest.raises(TrainingError, match="not SECONDS=SCORE"):
            parse_thresholds([wrong])


@pytest.mark.slow
def test_eight_bit_convolutions(tmp_path, exported):
    trainer, _, _ = exported
    out = tmp_path / "small.onnx"
    (report,) = export_run(
        trainer.run, out, "small", [], int8_store=trainer.run.parent / "store", reference_steps=8
    )
    assert out.stat().st_size < 1.25 * 886_000 + 100_000  # the heads take two bytes a weight
    assert report.rounding_cosine > 0.99  # on processors without VNNI too
    assert report.rounding_cosine < report.mean_cosine < 1 - 1e-6
    card = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
    assert (card["precision"], card["reference_steps"]) == ("int8 convolutions", 8)
    assert b".py:" not in out.read_bytes()
    assert b"/site-packages" not in out.read_bytes()
    samples = compose(21, 3.0)[:32_000]
    exact, eight = (load_encoder(str(path), threads=1) for path in (exported[1], out))
    cosines = (exact.encode([samples], query=True).vectors * eight.encode([samples], query=True).vectors).sum(
        1
    )
    assert cosines.min() > 0.9
    assert eight.reference_hop_s == pytest.approx(0.32)
    kept = eight.encode([samples], query=True).vectors[12:-12:8]
    np.testing.assert_allclose(eight.encode([samples]).vectors, kept, atol=2e-6)


@pytest.mark.slow
def test_the_small_files_of_a_finished_run_are_enough(exported, tmp_path):
    trainer, out, _ = exported
    small = tmp_path / "small"
    small.mkdir()
    for name in ("weights.pt", "run.json", "validation.jsonl"):
        if (trainer.run / name).exists():
            shutil.copy(trainer.run / name, small)
    again = tmp_path / "again.onnx"
    export_run(small, again, "mine", ["1=0.7", "5=0.5"])
    cards = [json.loads(path.with_suffix(".json").read_text(encoding="utf-8")) for path in (out, again)]
    assert cards[0] == cards[1]
    features = np.random.default_rng(0).standard_normal((1, 200, 64)).astype(np.float32)
    rows = [run_onnx(path, features) for path in (out, again)]
    assert (np.sum(rows[0] * rows[1], axis=-1) > 0.9999).all()
