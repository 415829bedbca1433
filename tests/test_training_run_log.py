"""The record of a run: what is written, what a resumed run drops, and the pictures made of it."""

import csv
import json
import sys

import pytest

from earprint.errors import TrainingError
from earprint.training.curves import draw_curves, read_curves

PNG = b"\x89PNG"


def write_run(folder, steps=(5, 10, 15), validated=(10, 15)):
    """A run's folder as training leaves it, of the first version's columns."""
    folder.mkdir(parents=True)
    lines = ["step,minutes,loss,learning_rate,steps_per_s"]
    lines += [f"{step},{step / 10},{8 / step:.3f},{1e-3:.2e},2.5" for step in steps]
    (folder / "log.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    rows = [{"step": step, "minutes": step / 10, "1 s": step / 20, "3 s": step / 16} for step in validated]
    if rows:
        (folder / "validation.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_curves_are_what_was_written(tmp_path):
    curves = read_curves(write_run(tmp_path / "mine"))
    assert curves.name == "mine"
    assert curves.log["step"].tolist() == [5, 10, 15]
    assert curves.log["loss"].tolist() == [1.6, 0.8, 0.533]
    assert curves.validation["3 s"].tolist() == [10 / 16, 15 / 16]


def test_no_run_is_named(tmp_path):
    with pytest.raises(TrainingError, match=r"nowhere: no log\.csv in it; name the folder of a run"):
        read_curves(tmp_path / "nowhere")
    (tmp_path / "log.csv").write_text("a,b\n1,2\n")
    with pytest.raises(TrainingError, match="is no log of a run"):
        read_curves(tmp_path)


def test_picture(tmp_path):
    pytest.importorskip("matplotlib", reason="pictures need matplotlib: pip install 'earprint[train]'")
    runs = [
        write_run(tmp_path / "a" / "run"),
        write_run(tmp_path / "b" / "run", steps=(4, 8), validated=()),
    ]
    out = tmp_path / "curves.png"
    draw_curves(runs, out)
    assert out.read_bytes().startswith(PNG)
    alone = tmp_path / "alone.svg"
    draw_curves(runs[1:], alone, "minutes")
    text = alone.read_text(encoding="utf-8")
    assert "no validation yet" in text
    assert "training time, min" in text
    with pytest.raises(TrainingError, match=r"curves\.nothing: cannot be written"):
        draw_curves(runs, tmp_path / "curves.nothing")


def test_without_matplotlib_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(TrainingError, match=r"need matplotlib; `pip install 'earprint\[train\]'`"):
        draw_curves([write_run(tmp_path / "run")], tmp_path / "x.png")


def validated(run):
    lines = (run / "validation.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["step"] for line in lines]


def rows(run):
    with (run / "log.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def log():
    pytest.importorskip("torch", reason="training needs torch: pip install 'earprint[train]'")
    from earprint.training import run_log

    return run_log


def a_meter(log):
    meter = log.Meter()
    meter.add(2.0, 64, 0.25, 1.0)
    meter.add(float("nan"), 64, 0.25, 1.0)
    meter.add(1.0, 32, 0.1, 1.0)
    return meter


def test_meter(log):
    meter = a_meter(log)
    assert meter.loss == 1.5
    assert meter.steps_per_s == 1.0
    assert meter.segments_per_s == pytest.approx(160 / 3)
    assert meter.data_share == pytest.approx(0.2)


def test_what_lies_beyond_the_checkpoint_is_dropped(log, tmp_path):
    run = write_run(tmp_path / "run")
    record = log.RunLog(run, 12, print)
    assert [row["step"] for row in rows(run)] == ["5", "10"]
    assert validated(run) == [10]
    record.losses(a_meter(log), 14, 1.4, 1e-3)
    *old, new = rows(run)
    assert list(new) == list(log.COLUMNS)
    assert (old[0]["loss"], old[0]["segments_per_s"]) == ("1.600", "")
    assert (new["step"], new["loss"], new["segments_per_s"], new["data_share"]) == (
        "14", "1.5000", "53.3", "0.200",
    )  # fmt: skip
    record.validation({"1 s": 0.5}, 14, 1.4)
    assert validated(run) == [10, 14]
    log.RunLog(run, 0, print)
    assert rows(run) == []
    assert not (run / "validation.jsonl").exists()


def test_pictures_are_left_out_without_matplotlib_and_it_is_said_once(log, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    said = []
    record = log.RunLog(write_run(tmp_path / "run"), 99, said.append)
    record.draw()
    record.draw()
    assert len(said) == 1
    assert "no curves are drawn: pictures need matplotlib" in said[0]


def test_tensorboard(log, tmp_path):
    pytest.importorskip("tensorboard")
    record = log.RunLog(write_run(tmp_path / "run"), 99, print, tensorboard=True)
    record.losses(a_meter(log), 100, 1.0, 1e-3)
    record.validation({"1 s": 0.5}, 100, 1.0)
    record.close()
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    assert [(e.step, e.value) for e in events.Scalars("loss")] == [(100, 1.5)]
    assert [(e.step, e.value) for e in events.Scalars("validation/1 s")] == [(100, 0.5)]


def test_without_tensorboard_it_says_what_to_install(log, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(TrainingError, match="tensorboard is not installed; `pip install tensorboard`"):
        log.RunLog(tmp_path, 0, print, tensorboard=True)
