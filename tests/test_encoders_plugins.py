"""Models of other packages: found by entry points, and only the one that is asked for can fail."""

import shutil
import sys
from importlib.util import find_spec

import pytest

import earprint
from earprint.encoders import describe_model, load_encoder, model_names
from earprint.encoders.registry import find_model, weights_folder
from earprint.errors import ModelError
from helpers.plugins import install

NAMES = {"by-path", "by-function", "by-encoder", "by-class", "broken-import", "broken-call", "not-a-model"}


@pytest.fixture(autouse=True)
def package(tmp_path, monkeypatch):
    """A package with models of every kind, good and broken."""
    for suffix in (".onnx", ".json"):
        shutil.copy(weights_folder() / f"dense{suffix}", tmp_path / f"mine{suffix}")
    code = f"""
        from helpers.fake_encoder import FakeEncoder
        PATH = {str(tmp_path / "mine.onnx")!r}
        ENCODER = FakeEncoder("other-0007")
        def path(): return PATH
        def encoder(): return ENCODER
        def fails(): raise RuntimeError("no weights")
        def number(): return 7
    """
    points = {
        "by-path": "other_package:PATH",
        "by-function": "other_package:path",
        "by-encoder": "other_package:encoder",
        "by-class": "helpers.fake_encoder:FakeEncoder",
        "broken-import": "other_package_without:PATH",
        "broken-call": "other_package:fails",
        "not-a-model": "other_package:number",
    }
    install(tmp_path, monkeypatch, "other_package", code, {"earprint.models": points})
    load_encoder.__globals__["_load"].cache_clear()
    yield
    load_encoder.__globals__["_load"].cache_clear()
    sys.modules.pop("other_package", None)


def test_their_names_are_listed_with_ours():
    assert {"dense", *NAMES} <= set(model_names())
    assert model_names() == sorted(model_names())
    assert "other_package" not in sys.modules, "names alone import nothing"


@pytest.mark.parametrize("name", ["by-path", "by-function"])
def test_a_model_file_of_another_package(name, tmp_path):
    assert load_encoder(name).model_id == load_encoder("dense").model_id
    assert describe_model(name)["file"] == str(tmp_path / "mine.onnx")
    assert find_model(name).path == tmp_path / "mine.onnx"


@pytest.mark.parametrize(("name", "model_id"), [("by-encoder", "other-0007"), ("by-class", "fake-0001")])
def test_an_encoder_of_another_package(name, model_id, tmp_path):
    assert load_encoder(name).model_id == model_id
    assert describe_model(name) == {
        "name": "fake", "model_id": model_id, "dim": 32, "reference_hop_s": 0.08, "query_hop_s": 0.04,
    }  # fmt: skip
    with pytest.raises(ModelError, match=f"{name}: is implemented by another package and has no model file"):
        find_model(name)
    with earprint.Library(tmp_path / "library", model=name) as library:
        assert library.info().tracks == 0


@pytest.mark.parametrize(
    ("name", "cause"),
    [("broken-import", "No module named"), ("broken-call", "no weights"), ("not-a-model", "it gives a int")],
)
def test_a_broken_one_is_named_with_its_package_when_it_is_asked_for(name, cause):
    with pytest.raises(ModelError) as caught:
        load_encoder(name)
    message = str(caught.value)
    assert message.startswith(f"{name}: entry point ")
    assert cause in message
    assert message.endswith("reinstall or remove other_package")
    assert "\n" not in message
    assert load_encoder("dense").name == "dense"


def test_a_packaged_model_cannot_be_replaced(tmp_path, monkeypatch):
    points = {"earprint.models": {"dense": "usurper:PATH"}}
    install(tmp_path / "more", monkeypatch, "usurper", "PATH = 7", points)
    assert describe_model("dense")["file"] == str(weights_folder() / "dense.onnx")


@pytest.mark.skipif(find_spec("earprint_paper") is not None, reason="earprint-paper is installed")
def test_the_papers_model_says_what_to_install():
    with pytest.raises(ModelError, match=r"plain: .* run `pip install \./packages/earprint-paper`"):
        load_encoder("plain")
