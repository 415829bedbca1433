"""Network and search in torch give what onnxruntime and NumPy give; here on the CPU, by the same code."""

import json
import shutil
from functools import partial

import numpy as np
import pytest
from typer.testing import CliRunner

from earprint.audio.wav import write_wav
from earprint.cli.main import app
from earprint.dsp.synthetic_noise import pink_noise
from earprint.evaluation import runner, search
from earprint.features import PAPER_FRONT_END
from earprint.index import ExactIndex, Rows
from earprint.quantization.storage import HalfStorage
from earprint.synth import composer

pytest.importorskip("scipy.stats", reason="evaluations need scipy: pip install 'earprint[evaluate]'")
torch = pytest.importorskip("torch", reason="needs torch: pip install 'earprint[train]'")
pytest.importorskip("onnx", reason="export needs onnx: pip install 'earprint[train]'")
pytest.importorskip("onnxscript", reason="export needs onnxscript: pip install 'earprint[train]'")
from earprint.encoders import load_encoder  # noqa: E402
from earprint.encoders.model_file import Session, open_model  # noqa: E402
from earprint.encoders.windowed import DECIBELS_PER_NEPER, WindowedEncoder  # noqa: E402
from earprint.errors import EvaluationError  # noqa: E402
from earprint.evaluation import torch_backend  # noqa: E402
from earprint.evaluation.backends import current_backend, using_backend  # noqa: E402
from earprint.evaluation.workers import PoolFileEncoder, WorkerPool  # noqa: E402
from earprint.training.checkpoint import load_weights, save_weights  # noqa: E402
from earprint.training.export import export_network  # noqa: E402
from earprint.training.networks import NafpNetwork, PlainNetwork  # noqa: E402
from helpers.thin_networks import use_network  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # the exporter's own

CPU = torch.device("cpu")
RATE = 16_000


class ThinNafp(NafpNetwork):
    """A network of the package's with few channels, to be had under its name in this process."""

    CHANNELS = (8, 8, 8, 8, 16, 16, 64, 64)


@pytest.fixture(scope="module", autouse=True)
def _thin():
    patch = pytest.MonkeyPatch()
    use_network(patch, "nafp", ThinNafp)
    yield
    patch.undo()


def export(network, path, name):
    card = {"name": path.stem, "network": name, "dim": 128, "threshold": {"1": 0.8, "5": 0.6}}
    save_weights(network, path.with_suffix(".pt"))
    load_weights(network, name, path.with_suffix(".pt"), CPU)  # a random network tells of their rounding
    export_network(network.eval(), path, card)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A random network and its weights."""
    torch.manual_seed(0)
    return export(ThinNafp(), tmp_path_factory.mktemp("model") / "paper.onnx", "nafp")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The same of a network that workers have too."""
    torch.manual_seed(0)
    return export(PlainNetwork(), tmp_path_factory.mktemp("whole") / "plain.onnx", "plain")


@pytest.mark.slow
@pytest.mark.parametrize("n", [1, 5, 70])
def test_a_torch_session_gives_what_onnxruntime_gives(model, n):
    heard = DECIBELS_PER_NEPER * PAPER_FRONT_END.log_mel(composer.compose(2, 9.0))
    windows = np.stack([heard[10 * i : 10 * i + 96] for i in range(n)]).astype(np.float32)
    opened = open_model(model)
    session = torch_backend.TorchSession(opened, CPU)
    got, expected = session.run(windows), Session(opened, 1).run(windows)
    assert got.dtype == np.float32
    assert got.shape == (n, 128)
    assert (got * expected).sum(axis=1).min() > 0.9999
    got[0] = 0  # the encoder writes into it


@pytest.mark.slow
def test_many_recordings_at_once_are_as_each_by_itself(model):
    encoder = WindowedEncoder(open_model(model), session=torch_backend.TorchSession(open_model(model), CPU))
    music = composer.compose(4, 4.0)
    recordings = [[music[: n * RATE // 10]] for n in (10, 3, 38, 0, 21)]
    for one, recording in zip(encoder.encode_many(recordings, query=True), recordings, strict=True):
        alone = encoder.encode(recording)
        np.testing.assert_allclose(one.vectors, alone.vectors, atol=1e-5)
        assert (one.hop_s, one.duration_s) == (alone.hop_s, alone.duration_s)
    assert encoder.encode_many([]) == []


@pytest.mark.parametrize("n", [1, 63, 64, 65, 1000, 5000])
@pytest.mark.parametrize("k", [1, 5, 16])
@pytest.mark.parametrize("halved", [False, True])
def test_torch_finds_what_numpy_finds(n, k, halved):
    rng = np.random.default_rng(n)
    stored = rng.standard_normal((n, 24)).astype(np.float32)
    stored /= np.linalg.norm(stored, axis=1, keepdims=True)
    stored[rng.random(n) < 0.1] = 0  # silent rows
    index = ExactIndex(Rows([stored[: n // 3].astype(np.float16), stored[n // 3 :].astype(np.float16)],
                            HalfStorage(24)))  # fmt: skip
    queries = np.concatenate([rng.standard_normal((119, 24)), np.zeros((1, 24))]).astype(np.float32)
    finder = torch_backend.DeviceSearch(CPU, query_rows=50, block_rows=256, gathered_values=400_000)
    if halved:  # as on a GPU
        held = finder._upload(index)
        finder._stored[index] = held.half()
        assert torch.equal(finder._stored[index].float(), held)
    for _ in range(2):  # the second time from what is held
        scores, rows = finder.search(index, queries, k)
        expected_scores, expected_rows = search.search_exactly(index, queries, k)
        np.testing.assert_allclose(scores, expected_scores, atol=1e-6)
        np.testing.assert_array_equal(rows, expected_rows)
        assert (scores.dtype, rows.dtype) == (np.float32, np.int64)


def test_of_equal_rows_the_first_is_named_and_damaged_ones_are_not():
    stored = np.zeros((300, 8), np.float16)
    stored[[250, 7, 90]] = 1
    stored[100] = np.nan
    index = ExactIndex(Rows([stored], HalfStorage(8)))
    scores, rows = torch_backend.DeviceSearch(CPU).search(index, np.ones((1, 8), np.float32), 5)
    assert rows.tolist() == [[7, 90, 250, -1, -1]]
    assert scores.tolist() == [[8.0, 8.0, 8.0, 0.0, 0.0]]


def test_torch_finds_nothing_in_nothing():
    index = ExactIndex(Rows([], HalfStorage(8)))
    scores, rows = torch_backend.DeviceSearch(CPU).search(index, np.ones((2, 8), np.float32), 3)
    assert scores.tolist() == [[0.0] * 3] * 2
    assert rows.tolist() == [[-1] * 3] * 2


@pytest.mark.slow
def test_what_computes_is_chosen_for_a_while(model):
    before = load_encoder(str(model), 1)
    assert isinstance(before._session, Session)
    with using_backend("torch") as chosen:
        assert current_backend() is chosen
        assert chosen.description == f"torch {torch.__version__} on the CPU"
        encoder = load_encoder(str(model), 1)
        assert isinstance(encoder._session, torch_backend.TorchSession)
        assert isinstance(load_encoder("dense", 1)._session, Session)  # this one stays in onnxruntime
        music = [composer.compose(3, 4.0)]
        cosines = (encoder.encode(music).vectors * before.encode(music).vectors).sum(axis=1)
        assert cosines.min() > 0.9999
    assert not current_backend().uses_torch
    assert isinstance(load_encoder(str(model), 1)._session, Session)


@pytest.mark.parametrize(
    ("name", "word"), [("gpu", "is no device"), ("cuda:x", "is no device"), ("cuda:99", "CUDA devices")]
)
def test_no_such_device(name, word):
    with pytest.raises(EvaluationError, match=word), using_backend(name):
        pass
    assert current_backend().name == "cpu"


@pytest.mark.slow
def test_missing_and_foreign_weights(model, tmp_path):
    for suffix in (".onnx", ".json"):
        shutil.copy(model.with_suffix(suffix), tmp_path)
    copied = tmp_path / model.name
    with using_backend("torch"):
        with pytest.raises(EvaluationError, match=r"paper\.pt: is missing.* copy weights\.pt"):
            load_encoder(str(copied))
        torch.manual_seed(1)
        save_weights(ThinNafp(), copied.with_suffix(".pt"))
        with pytest.raises(EvaluationError, match=r"gives other fingerprints than paper\.onnx"):
            load_encoder(str(copied))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    base = tmp_path_factory.mktemp("world")
    for folder, seeds in {"music": (0, 1, 2), "others": (3,), "absent": (10,)}.items():
        (base / folder).mkdir()
        for seed in seeds:
            write_wav(base / folder / f"{seed}.wav", composer.compose(seed, 3.0))
    (base / "absent" / "bad.wav").write_bytes(b"RIFF")
    (base / "others" / "bad.wav").write_bytes(b"RIFF")
    (base / "noise").mkdir()
    write_wav(base / "noise" / "pink.wav", 0.2 * pink_noise(2 * RATE, 0))
    return base


def evaluate(world, out, *arguments):
    result = CliRunner().invoke(
        app,
        ["evaluate", "--references", str(world / "music"), "--distractors", str(world / "others"),
         "--absent", str(world / "absent"), "--augment-distractors", "2", "--noise", str(world / "noise"),
         "--lengths", "1", "--lengths", "2.5", "--snr", "10", "--queries", "6", "--absent-queries", "2",
         "--out", str(out), *map(str, arguments)],
        prog_name="earprint",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    answers = [json.loads(line) for line in (out / "queries.jsonl").read_text().splitlines()]
    return answers, json.loads((out / "results.json").read_text()), result.stderr


def same(ours, theirs):
    assert len(ours) == len(theirs) == 2 * 2 * (6 + 2)
    for one, other in zip(ours, theirs, strict=True):
        for key in one.keys() - {"seconds", "score", "lead", "error_s"}:
            assert one[key] == other[key], key
        assert one["score"] == pytest.approx(other["score"], abs=2e-3)
        assert one["error_s"] == pytest.approx(other["error_s"], abs=5e-3)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["paper", "aligned"])
def test_an_evaluation_in_torch_answers_the_same(model, world, tmp_path, monkeypatch, method):
    monkeypatch.setattr("earprint.evaluation.costs.TIMED_QUERIES", 2)
    monkeypatch.setattr("earprint.evaluation.report.draw", lambda *_: ([], None))
    arguments = ("--model", model, "--method", method, "--jobs", 1)
    ours, results, _ = evaluate(world, tmp_path / "torch", *arguments, "--compute", "torch")
    theirs, usual, _ = evaluate(world, tmp_path / "cpu", *arguments)
    same(ours, theirs)
    assert results["settings"]["compute"] == f"torch {torch.__version__} on the CPU"
    assert results["settings"]["compute"] in (tmp_path / "torch" / "table.md").read_text()
    assert "onnxruntime" in usual["settings"]["compute"]
    timed = results["settings"]["systems"][0]["seconds_per_query"]
    assert [one["length_s"] for one in timed] == [1.0, 2.5]


@pytest.mark.slow
def test_workers_compute_in_torch_too(whole, world, tmp_path, monkeypatch):
    """With a network of the package's: workers are other processes, which know nothing of stand-ins."""
    monkeypatch.setattr("earprint.evaluation.costs.TIMED_QUERIES", 1)
    monkeypatch.setattr("earprint.evaluation.report.draw", lambda *_: ([], None))
    in_fives = partial(runner.identify_queries, chunk_size=5)
    monkeypatch.setattr("earprint.evaluation.experiment.identify_queries", in_fives)
    monkeypatch.setattr("earprint.cli.evaluate.SECONDS_PER_LINE", float("inf"))  # slow machines print more
    arguments = ("--model", whole, "--method", "paper")
    ours, results, said = evaluate(world, tmp_path / "torch", *arguments, "--compute", "torch", "--jobs", 2)
    theirs, usual, usually_said = evaluate(world, tmp_path / "cpu", *arguments, "--jobs", 1)
    same(ours, theirs)
    assert said == usually_said
    assert "bad.wav" in said
    (system,), (other,) = results["settings"]["systems"], usual["settings"]["systems"]
    for key in ("model_id", "tracks", "hours", "fingerprints", "added_hours"):
        assert system[key] == other[key], key
    assert system["tracks"] == 3 + 1 + 2


@pytest.mark.slow
def test_a_worker_that_is_gone_is_told(whole):
    with WorkerPool(1, "cuda:99") as pool, pytest.raises(EvaluationError, match="worker process has ended"):
        PoolFileEncoder(pool, str(whole)).encode_file(whole, "any")
