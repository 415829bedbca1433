"""Models on disk: found by name or path, identified by their bytes, refused with a reason and a way out."""

import json
import shutil

import pytest

from earprint.encoders import describe_model, load_encoder, model_names
from earprint.encoders.model_file import open_model
from earprint.encoders.registry import weights_folder
from earprint.errors import ModelError

PACKAGED = weights_folder() / "dense.onnx"


@pytest.fixture
def copy(tmp_path):
    """The packaged model as a file of one's own, whose card can be changed."""

    def make(file="own.onnx", **changes):
        path = tmp_path / file
        shutil.copyfile(PACKAGED, path)
        card = json.loads(PACKAGED.with_suffix(".json").read_text(encoding="utf-8")) | changes
        path.with_suffix(".json").write_text(json.dumps(card), encoding="utf-8")
        return path

    return make


def refused(name):
    with pytest.raises(ModelError) as caught:
        load_encoder(str(name))
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_package_has_the_default_model():
    assert "dense" in model_names()
    assert load_encoder().name == "dense"


def test_a_model_is_loaded_once():
    assert load_encoder("dense") is load_encoder("dense")


def test_description_says_what_a_card_must_say():
    card = describe_model()
    expected = {"name", "network", "dim", "parameters", "threshold", "model_id", "file", "bytes"}
    assert expected <= set(card)
    assert card["name"] == "dense"
    assert card["dim"] == load_encoder().dim == 128
    assert card["model_id"] == load_encoder().model_id
    assert card["file"] == str(PACKAGED)
    assert card["query"]["finds"] == card["model_id"]
    assert card["bytes"] == PACKAGED.stat().st_size
    assert 100_000 < card["parameters"] < 5_000_000


def test_a_model_by_path_is_the_packaged_one_if_the_bytes_are(copy):
    encoder = load_encoder(str(copy()))
    assert encoder.model_id == load_encoder().model_id


def test_model_id_changes_with_the_bytes_and_the_name(copy):
    path = copy()
    before = open_model(path).model_id
    name, _, digest = before.rpartition("-")
    assert name == "dense"
    assert len(digest) == 8
    with path.open("r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)[0]
        file.seek(-1, 2)
        file.write(bytes([last ^ 1]))
    assert open_model(path).model_id != before
    assert open_model(copy("other.onnx", name="mine")).model_id == f"mine-{digest}"


def test_threshold_between_and_beyond_the_lengths_given(copy):
    model = open_model(copy(threshold={"4": 0.6, "1": 0.8}))
    assert model.threshold(1) == pytest.approx(0.8)
    assert model.threshold(2) == pytest.approx(0.7)  # half way in the logarithm of the length
    assert model.threshold(4) == pytest.approx(0.6)
    assert model.threshold(3_600) == pytest.approx(0.6)
    assert model.threshold(0.2) == model.threshold(0) == pytest.approx(0.8)
    assert open_model(copy(threshold={"5": 0.5})).threshold(1) == 0.5


def test_threshold_of_the_encoder_is_that_of_its_queries(copy):
    alone, model = load_encoder(str(copy())), open_model(PACKAGED)
    path = copy("both.onnx")
    query = model.query_path
    shutil.copyfile(query, path.with_suffix(".query.onnx"))
    card = json.loads(query.with_suffix(".json").read_text(encoding="utf-8"))
    card["threshold"] = {"1": 0.6, "5": 0.5}
    path.with_suffix(".query.json").write_text(json.dumps(card), encoding="utf-8")
    encoder = load_encoder(str(path))
    assert encoder.threshold(2.5) == open_model(path).query_model().threshold(2.5) != model.threshold(2.5)
    assert alone.model_id == encoder.model_id
    assert alone.threshold(2.5) == model.threshold(2.5)
    assert -1 < encoder.threshold(30) <= encoder.threshold(1) < 1


def test_an_unknown_name_lists_the_known_ones():
    message = refused("denser")
    assert message.startswith("denser: ")
    assert "dense" in message.partition("there are: ")[2]
    assert ".onnx" in message


def test_a_missing_file_is_named(tmp_path):
    path = tmp_path / "none.onnx"
    assert refused(path) == f"{path}: no such model file; reinstall earprint or check the path"


def test_a_missing_card_is_named(copy):
    path = copy()
    path.with_suffix(".json").unlink()
    assert refused(path).startswith(f"{path.with_suffix('.json')}: no such model file")


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '"dense"', "\0\0", '{"name": "x"}',
     '{"name": "x", "network": "dense", "dim": "many", "threshold": {"1": 0.5}}',
     '{"name": "x", "network": "dense", "dim": 128, "threshold": 0.5}',
     '{"name": "x", "network": "dense", "dim": 128, "threshold": {"short": 0.5}}',
     '{"name": "x", "network": "dense", "dim": 128, "threshold": {}}'],
)  # fmt: skip
def test_an_unusable_card_is_named(copy, text):
    path = copy()
    path.with_suffix(".json").write_text(text, encoding="utf-8")
    message = refused(path)
    assert message.startswith(f"{path.with_suffix('.json')}: not a usable model description")
    assert message.endswith("export the model again")


@pytest.mark.parametrize("content", [b"", b"not an onnx file at all" * 50, PACKAGED.read_bytes()[:5_000]])
def test_corrupt_weights_are_named(copy, content):
    path = copy()
    path.write_bytes(content)
    message = refused(path)
    assert message.startswith(f"{path}: onnxruntime cannot load it (")
    assert message.endswith("; reinstall earprint")


def test_an_unknown_network_is_refused(copy):
    path = copy(network="quantum", encoder=None)
    message = refused(path)
    assert message.startswith(f"{path}: unknown network 'quantum'")
    assert "newer" in message
