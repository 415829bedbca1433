"""`earprint train` from folders of audio to a model that identifies: every verb, as a user types it."""

import importlib.util
import json
import signal
import tomllib

import numpy as np
import pytest
from typer.testing import CliRunner

from earprint.audio.codec_simulation import available_codec
from earprint.audio.wav import write_wav
from earprint.cli.main import app
from earprint.constants import SAMPLE_RATE
from earprint.dsp.reverberation import synthetic_rir
from earprint.dsp.synthetic_noise import babble_noise, pink_noise
from earprint.synth.composer import compose
from earprint.training.packed_audio import open_pack

runner = CliRunner()
torch_missing = importlib.util.find_spec("torch") is None


def earprint(*words):
    return runner.invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("train")
    for kind in ("music", "noise/pink", "noise/crowd", "rooms/room"):
        (root / kind).mkdir(parents=True)
    for seed in range(8):
        write_wav(root / "music" / f"artist{seed}__piece.wav", compose(seed, 8.0))
    write_wav(root / "noise/pink" / "a__pink.wav", 0.1 * pink_noise(3 * SAMPLE_RATE, 1))
    write_wav(root / "noise/crowd" / "b__crowd.wav", 0.1 * babble_noise(3 * SAMPLE_RATE, 2))
    write_wav(
        root / "rooms/room" / "hall__rir.wav",
        0.5 * synthetic_rir(0.4, 3) / np.abs(synthetic_rir(0.4, 3)).max(),
    )
    (root / "music" / "broken.wav").write_bytes(b"not audio at all")
    return root


@pytest.fixture(scope="module")
def store(folders):
    result = earprint(
        "train", "pack", folders / "store", "--music", folders / "music", "--noise", folders / "noise",
        "--rooms", folders / "rooms", "--simulate", 0,
    )  # fmt: skip
    assert result.exit_code == 2, result.output  # one file was left out
    assert "music: 8 items, 0.02 h" in result.stdout
    assert "noise: 2 items" in result.stdout
    assert "rooms: 1 items" in result.stdout
    assert "broken.wav" in result.stderr  # named, and the rest went on
    return folders / "store"


def test_bad_files_are_named_and_counted(folders, tmp_path):
    words = ("train", "pack", tmp_path / "store", "--noise", folders / "noise", "--simulate", 0)
    result = earprint(*words, "--music", folders / "music", "--rooms", folders / "rooms")
    assert result.exit_code == 2
    failed = [line for line in result.stderr.splitlines() if line.startswith("failed: ")]
    assert len(failed) == 1
    assert "broken.wav" in failed[0]
    assert result.stderr.splitlines()[-1] == "1 file left out, as named above; repair or remove them"
    good = earprint(*words, "--music", folders / "music" / "artist0__piece.wav", "--rooms", folders / "rooms")
    assert good.exit_code == 0, good.output
    assert good.stderr == ""


def test_an_empty_folder_is_refused_before_anything_is_decoded(folders, tmp_path):
    (tmp_path / "empty").mkdir()
    result = earprint(
        "train", "pack", tmp_path / "store", "--music", folders / "music", "--noise", tmp_path / "empty",
    )  # fmt: skip
    assert result.exit_code == 2
    assert "noise: no audio files in" in result.output
    assert not (tmp_path / "store").exists()


def test_progress_in_lines_where_there_is_no_terminal(folders, tmp_path, monkeypatch):
    monkeypatch.setattr("earprint.cli.train_pack.LINE_EVERY_S", -1.0)
    result = earprint(
        "train", "pack", tmp_path / "store", "--music", folders / "music", "--noise", folders / "noise",
        "--rooms", folders / "rooms", "--simulate", 0,
    )  # fmt: skip
    lines = result.stderr.splitlines()
    assert "music: 9/9" in lines
    assert "noise: 1/2" in lines
    assert "rooms: 1/1" in lines


def test_simulated_rooms_of_the_range_asked(folders, tmp_path):
    pytest.importorskip("pyroomacoustics", reason="needs pyroomacoustics: pip install 'earprint[train]'")
    words = (
        "train",
        "pack",
        tmp_path / "store",
        "--music",
        music_file(folders),
        "--noise",
        folders / "noise",
    )
    result = earprint(*words, "--simulate", 3, "--rt60", 0.2, 0.3)
    assert result.exit_code == 0, result.output
    assert "rooms: 3 items" in result.stdout
    from earprint.dsp.rt60 import T20_TO_DB, estimate_rt60

    packed = open_pack(tmp_path / "store", "rooms")
    assert all(0.14 < estimate_rt60(packed.audio(item), [T20_TO_DB]) < 0.4 for item in packed.items)
    refused = earprint(*words, "--simulate", 3, "--t60", 0.3, 0.2)
    assert refused.exit_code == 2
    assert "not a range of seconds" in refused.output


def test_coded_twins_are_counted(folders, tmp_path):
    if available_codec() is None:
        pytest.skip("FFmpeg has no low-rate encoder here")
    result = earprint(
        "train", "pack", tmp_path / "store", "--music", music_file(folders), "--noise", folders / "noise",
        "--rooms", folders / "rooms", "--simulate", 0, "--codecs", 1,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "music: 1 items, 0.00 h, 1 of them also coded" in result.stdout


def test_curves_of_runs(tmp_path):
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install 'earprint[train]'")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "log.csv").write_text("step,minutes,loss,learning_rate\n1,0.1,2.0,0.1\n")
    result = earprint("train", "curves", tmp_path / "a", tmp_path / "b", "--out", tmp_path / "x.png")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "x.png").stat().st_size > 1_000
    missing = earprint("train", "curves", tmp_path / "c", "--out", tmp_path / "y.png")
    assert missing.exit_code == 2
    assert "no log.csv in it" in missing.output


@pytest.mark.parametrize(
    "verb", ["pack", "codec-queries", "config", "fit", "curves", "export", "held-out", "networks"]
)
def test_every_option_is_explained(verb):
    import typer

    command = typer.main.get_command(app).commands["train"].commands[verb]
    assert command.help
    for parameter in command.params:
        if parameter.name == "help":
            continue
        assert parameter.help, f"{verb} {parameter.name}"


@pytest.mark.parametrize("option", ["--validation-percent", "--percent"])
def test_held_out_writes_whole_sources(store, tmp_path, option):
    result = earprint("train", "held-out", store, tmp_path / "held", option, 100)
    assert result.exit_code == 0, result.output
    files = {kind: len(list((tmp_path / "held" / kind).glob("*.wav"))) for kind in ("references", "absent")}
    assert files == {"references": 4, "absent": 4}
    assert len(list((tmp_path / "held" / "noise").glob("*.wav"))) == 2


@pytest.mark.skipif(torch_missing, reason="needs torch: pip install 'earprint[train]'")
def test_all_networks_are_listed_with_a_sentence():
    from earprint.training.networks import NETWORKS

    lines = dict(line.split("\t") for line in earprint("train", "networks").stdout.splitlines())
    assert list(lines) == list(NETWORKS)
    for name, summary in lines.items():
        assert summary.endswith("."), name
    assert lines["dense-attention"] == "The network dense with attention over bands and steps."
    assert lines["nafp"].startswith("The paper's baseline, NAFP (Chang et al. 2021)")


def test_a_missing_store_is_named(tmp_path):
    result = earprint("train", "held-out", tmp_path / "nowhere", tmp_path / "held")
    assert result.exit_code == 2
    assert "nowhere: no such folder; make a store with `earprint train pack`" in result.output
    result = earprint("train", "held-out", tmp_path, tmp_path / "held")
    assert result.exit_code == 2
    assert "no music in this store" in result.output
    assert "Traceback" not in result.output


@pytest.mark.skipif(not torch_missing, reason="torch is installed; this tells what happens without it")
def test_without_torch_it_says_what_to_install(store, tmp_path):
    for words in (("fit", store, tmp_path / "run"), ("export", tmp_path / "run", tmp_path / "m.onnx")):
        result = earprint("train", *words)
        assert result.exit_code == 2
        assert "pip install 'earprint[train]'" in result.output


@pytest.mark.skipif(torch_missing, reason="needs torch: pip install 'earprint[train]'")
@pytest.mark.parametrize("network", ["dense", "nafp"])
def test_the_printed_configuration_is_the_default(network, tmp_path):
    from earprint.training.config import default_config
    from earprint.training.config_file import load_config

    printed = earprint("train", "config", "--network", network)
    assert printed.exit_code == 0, printed.output
    file = tmp_path / "run.toml"
    file.write_text(printed.stdout, encoding="utf-8")
    assert load_config(file, {}) == default_config(network)
    assert "# Range of the signal-to-noise ratio in dB, uniform." in printed.stdout


@pytest.mark.skipif(torch_missing, reason="needs torch: pip install 'earprint[train]'")
def test_options_override_the_file(store, tmp_path):
    file = tmp_path / "run.toml"
    file.write_text(
        'loss = "triplet"\nmax_steps = 1\naudio_per_step_s = 2.0\nlengths_s = [1.0]\nseed = 5\nthreads = 1\n'
        "validation_queries = 2\nmargin = 0.25\n[augmentation.noise]\nsnr_db = [3, 9]\n",
        encoding="utf-8",
    )
    # 0.5 is the default of --margin, but it is given, so it counts.
    result = earprint(
        "train",
        "fit",
        store,
        tmp_path / "run",
        "--config",
        file,
        "--seed",
        7,
        "--margin",
        0.5,
        "--device",
        "cpu",
    )
    assert result.exit_code == 0, result.output
    stored = tomllib.loads((tmp_path / "run" / "config.toml").read_text())
    assert (stored["loss"], stored["seed"], stored["margin"], stored["max_steps"]) == ("triplet", 7, 0.5, 1)
    assert stored["augmentation"]["noise"]["snr_db"] == [3.0, 9.0]
    assert stored["augmentation"]["room"]["probability"] == 0.5
    file.write_text("[augmentation.noise]\nsnr_db = [9, 3]\n", encoding="utf-8")
    refused = earprint("train", "fit", store, tmp_path / "other", "--config", file)
    assert refused.exit_code == 2
    assert "run.toml: augmentation.noise.snr_db = [9.0, 3.0]: must be [lowest, highest]" in " ".join(
        refused.output.split()
    )
    assert not (tmp_path / "other").exists()


def music_file(folders):
    return folders / "music" / "artist0__piece.wav"


@pytest.mark.skipif(torch_missing, reason="needs torch: pip install 'earprint[train]'")
def test_an_interrupted_fit_keeps_its_steps_and_goes_on(store, tmp_path, monkeypatch):
    from earprint.training.trainer import Trainer

    step = Trainer._one_step

    def interrupted(self):
        loss = step(self)
        if self.step == 2:
            signal.raise_signal(signal.SIGINT)  # Ctrl-C
        return loss

    monkeypatch.setattr(Trainer, "_one_step", interrupted)
    fit = (
        "train",
        "fit",
        store,
        tmp_path / "run",
        "--audio-per-step",
        3,
        "--device",
        "cpu",
        "--max-steps",
        3,
    )
    fit += ("--clips-per-track", 2, "--chunk", 2, "--loss", "triplet", "--threads", 1)
    before = signal.getsignal(signal.SIGINT)
    stopped = earprint(*fit)
    assert stopped.exit_code == 130, stopped.output
    assert "stopped at step 2; run the same command again to go on" in stopped.stdout
    assert signal.getsignal(signal.SIGINT) is before
    finished = earprint(*fit)
    assert finished.exit_code == 0, finished.output
    assert "from step 2" in finished.stdout
    config = tomllib.loads((tmp_path / "run" / "config.toml").read_text())
    assert (config["loss"], config["chunk"], config["clips_per_track"]) == ("triplet", 2, 2)
    assert config["max_minutes"] == "none"


@pytest.mark.skipif(torch_missing, reason="needs torch: pip install 'earprint[train]'")
def test_what_fit_cannot_use_is_named(store, tmp_path, monkeypatch):
    def refused(folder, run, *options):
        result = earprint("train", "fit", folder, run, "--max-steps", 1, "--device", "cpu", *options)
        assert result.exit_code == 2, result.output
        (line,) = result.stderr.splitlines()
        return line.removeprefix("earprint: error: ")

    missing, file = tmp_path / "none", tmp_path / "file"
    file.touch()
    for folder in (missing, file):
        expected = f"{folder}: no such folder; make a store with `earprint train pack`"
        assert refused(folder, tmp_path / "run") == expected
    assert refused(store, file) == f"{file}: cannot be read or written: File exists"
    assert "memory_bank_size = 10" in refused(store, tmp_path / "run", "--memory-bank", 10**15)

    from earprint.training import objective

    def allocate(*_):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate")

    monkeypatch.setattr(objective, "MemoryBank", allocate)
    line = refused(store, tmp_path / "run", "--memory-bank", 10)
    assert line.startswith("out of memory; lower audio_per_step_s")


@pytest.mark.skipif(torch_missing, reason="needs torch: pip install 'earprint[train]'")
@pytest.mark.filterwarnings("default")  # the exporter's own
def test_fit_resume_export_identify(store, folders, tmp_path):
    pytest.importorskip("onnxscript", reason="needs onnxscript: pip install 'earprint[train]'")
    run, model = tmp_path / "run", tmp_path / "mine.onnx"
    fit = (
        "train",
        "fit",
        store,
        run,
        "--audio-per-step",
        3,
        "--threads",
        1,
        "--device",
        "cpu",
        "--max-steps",
    )
    first = earprint(*fit, 2)
    assert first.exit_code == 0, first.output
    assert "0.89 M parameters on cpu; from step 0" in first.stdout
    second = earprint(*fit, 4)
    assert second.exit_code == 0, second.output
    assert "from step 2" in second.stdout
    again = (
        "train",
        "fit",
        store,
        tmp_path / "again",
        "--audio-per-step",
        3,
        "--device",
        "cpu",
        "--max-steps",
        1,
    )
    assert earprint(*again, "--start-from", run / "weights.pt").exit_code == 0
    refused = earprint(*again, "--start-from", music_file(folders))
    assert refused.exit_code == 2
    assert "no weights of a dense network" in refused.output
    exported = earprint("train", "export", run, model, "--name", "mine", "--threshold", "5=0.9")
    assert exported.exit_code == 0, exported.output
    card = json.loads(model.with_suffix(".json").read_text())
    assert card["name"] == "mine"
    assert card["training"]["steps"] == 4
    assert card["training"]["store"]["music"]["items"] + card["training"]["store"]["music"]["held_out"] == 8

    music = folders / "music"
    library = ("--library", tmp_path / "library", "--model", model)
    added = earprint("add", music / "artist0__piece.wav", music / "artist1__piece.wav", *library)
    assert added.exit_code == 0, added.output
    answer = earprint("identify", music / "artist1__piece.wav", *library)
    assert answer.exit_code == 0, answer.output
    assert "artist1__piece" in answer.stdout
    other = earprint("identify", music / "artist1__piece.wav", "--library", tmp_path / "library")
    assert other.exit_code == 2  # the default model did not make this library
    assert "mine-" in other.output


def test_bad_thresholds_are_refused():
    pytest.importorskip("torch", reason="needs torch: pip install 'earprint[train]'")
    pytest.importorskip("onnxscript", reason="needs onnxscript: pip install 'earprint[train]'")
    from earprint.errors import TrainingError
    from earprint.training.export_run import parse_thresholds

    assert parse_thresholds(["1=0.7", "5.0=0.5"]) == {"1": 0.7, "5": 0.5}
    with pytest.raises(TrainingError, match="SECONDS=SCORE"):
        parse_thresholds(["half"])
