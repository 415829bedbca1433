"""The example of docs/how-to/add-a-distortion.md is a distortion that trains."""

import importlib.util
import re
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from helpers.trainstore import make_store, pack_of

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'earprint[train]'")
from earprint.training.augmentation import base  # noqa: E402
from earprint.training.config import default_config  # noqa: E402
from earprint.training.config_file import config_toml, load_config  # noqa: E402
from earprint.training.sampler import CONTEXT_S, Sampler  # noqa: E402
from earprint.training.trainer import Trainer  # noqa: E402

PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "add-a-distortion.md"


@pytest.fixture
def example(tmp_path, monkeypatch):
    """The module of the page, imported."""
    if not PAGE.exists():
        pytest.skip("the documentation is not here")
    code = next(
        block for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S) if "@register" in block
    )
    file = tmp_path / "mains_hum.py"
    file.write_text(code, encoding="utf-8")
    monkeypatch.setattr(base, "_registry", dict(base._registry))
    spec = importlib.util.spec_from_file_location("mains_hum", file)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "mains_hum", module)
    spec.loader.exec_module(module)
    return module


def test_it_adds_a_hum_of_the_power_that_was_drawn(example):
    audio = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 16_000)).astype(np.float32))
    params = {"hz": [50.0, 60.0], "phase": [0.0, 1.0], "hum_db": [-20.0, -10.0]}
    tensors = {name: torch.tensor(values) for name, values in params.items()}
    added = (example.MainsHum().apply(audio, tensors) - audio).double()
    ratio_db = 10 * torch.log10(added.square().mean(1) / audio.double().square().mean(1))
    np.testing.assert_allclose(ratio_db, [-20.0, -10.0], atol=0.01)
    assert torch.fft.rfft(added).abs().argmax(dim=1).tolist() == [50, 60]


def test_the_page_switches_it_on_alone(example):
    code = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[-1]
    names = {}
    exec(code, names)
    only_hum = names["only_hum"]
    assert [each.name for each in only_hum if each.probability] == ["mains_hum"]
    music = pack_of([3_000 * np.random.default_rng(seed).standard_normal(40_000) for seed in range(3)])
    responses = pack_of([np.ones(1)], np.float32, ["room/a"])
    sampler = Sampler(music, music, responses, only_hum, torch.device("cpu"), 1)
    batch = sampler.draw(3, 1.0)
    context = round(CONTEXT_S * 16_000)
    added = batch.distorted - batch.clean[:, context:-context]
    assert torch.fft.rfft(added).abs().argmax(dim=1).tolist() == [50, 50, 50]


@pytest.mark.slow
def test_a_run_trains_with_it_and_stores_its_settings(example, tmp_path):
    text = config_toml(default_config("dense"), comments=True)
    assert (
        "# A sine at the frequency of the mains, as of a badly shielded cable.\n[augmentation.mains_hum]"
        in text
    )
    assert "# Range of the frequency in Hz, uniform.\nmains_hz = [49.8, 50.2]" in text
    file = tmp_path / "run.toml"
    file.write_text(
        "max_steps = 1\naudio_per_step_s = 2.0\nlengths_s = [1.0]\nvalidation_percent = 0\nthreads = 1\n"
        "[augmentation.mains_hum]\nprobability = 1.0\nmains_hz = [60, 60]\n",
        encoding="utf-8",
    )
    config = load_config(file, {})
    store = make_store(tmp_path, tracks=3, duration_s=2.0)
    trainer = Trainer(store, tmp_path / "run", config, torch.device("cpu"), lambda line: None)
    assert np.isfinite(trainer._one_step())
    stored = tomllib.loads((tmp_path / "run" / "config.toml").read_text(encoding="utf-8"))
    assert stored["augmentation"]["mains_hum"]["mains_hz"] == [60.0, 60.0]
    assert stored["augmentation"]["mains_hum"]["hum_db"] == [-40.0, -15.0]
