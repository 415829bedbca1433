"""Figures are drawn if matplotlib is there and there is data; tables in the paper's layout."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from earprint.evaluation import plots
from earprint.evaluation.metrics import compute_metrics
from earprint.evaluation.outcomes import Outcome
from earprint.evaluation.paper_tables import paper_tables
from earprint.evaluation.plots import draw, time_errors_ms
from earprint.evaluation.query import Query
from earprint.evaluation.roc import compute_rocs

pytest.importorskip("scipy.stats", reason="evaluations need scipy: pip install 'earprint[evaluate]'")

CONDITIONS = (
    "clean",
    "noise 0 dB",
    "noise 10 dB",
    "room",
    "room + noise 0 dB",
    "room + noise 20 dB",
    "phone",
)


def outcomes_of(systems=("dense", "attention"), lengths=(1.0, 5.0), conditions=CONDITIONS, absent=True):
    rng = np.random.default_rng(0)
    out = []
    for system in systems:
        for length_s in lengths:
            for condition in conditions:
                for number in range(24):
                    present = number < 16 or not absent
                    rt60_s = (0.2, 0.5, None)[number % 3] if condition == "room" else None
                    query = Query(
                        Path(f"{number}.wav"), 1.0, length_s, condition, None, None, 0.0, None,
                        phone=False, present=present, rt60_s=rt60_s,
                    )  # fmt: skip
                    right = present and bool(rng.random() < 0.7)
                    error_s = float(rng.normal(0, 0.03)) if right else None
                    score = float(rng.uniform(0.2, 1) if present else rng.uniform(0, 0.5))
                    out.append(Outcome(query, right, score, 0.1, score > 0.4, error_s, 0.1, system=system))
    return out


def settings(dims=(128, 128)):
    systems = zip(("dense", "attention"), dims, strict=True)
    return {"systems": [{"system": name, "dim": dim, "fingerprints": 1_234_567} for name, dim in systems]}


@pytest.mark.slow
def test_figures(tmp_path):
    pytest.importorskip("matplotlib", reason="pictures need matplotlib (the extra evaluate)")
    outcomes = outcomes_of()
    drawn, line = draw(tmp_path, compute_metrics(outcomes), compute_rocs(outcomes), outcomes)
    assert line is None
    assert {path.name for path in drawn} == {
        "accuracy-noise.png", "accuracy-room-noise.png", "accuracy-other.png", "roc.png", "time-errors.png",
    }  # fmt: skip
    for path in drawn:
        data = path.read_bytes()
        assert data.startswith(b"\x89PNG")
        width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
        assert width > 600
        assert height > 300


def test_points_and_intervals_are_those_of_the_rows():
    pytest.importorskip("matplotlib", reason="pictures need matplotlib (the extra evaluate)")
    rows = compute_metrics(outcomes_of(systems=("dense",), lengths=(5.0,)))
    figure = plots._against_snr(rows, "noise", "noise")
    (panel,) = [axes for axes in figure.axes if axes.get_visible()]
    assert panel.get_xlabel() == "signal-to-noise ratio (dB)"
    assert "(%)" in panel.get_ylabel()
    (container,) = panel.containers
    points, _, (bars,) = container
    expected = [
        row.to_dict()["top_1_and_50_ms"] for row in rows if row.present and "noise" in row.condition[:5]
    ]
    assert points.get_xdata().tolist() == [0.0, 10.0]
    np.testing.assert_allclose(points.get_ydata(), [share["percent"] for share in expected])
    for segment, share in zip(bars.get_segments(), expected, strict=True):
        np.testing.assert_allclose(segment[:, 1], [share["low"], share["high"]], atol=1e-3)


def test_only_what_there_is_is_drawn(tmp_path):
    pytest.importorskip("matplotlib", reason="pictures need matplotlib (the extra evaluate)")
    outcomes = outcomes_of(conditions=("clean",), absent=False)
    drawn, _ = draw(tmp_path, compute_metrics(outcomes), compute_rocs(outcomes), outcomes)
    assert {path.name for path in drawn} == {"accuracy-other.png", "time-errors.png"}
    assert draw(tmp_path, [], [], []) == ([], None)


def test_without_matplotlib(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)  # so that importing it fails
    outcomes = outcomes_of()
    drawn, line = draw(tmp_path, compute_metrics(outcomes), compute_rocs(outcomes), outcomes)
    assert drawn == []
    assert "pip install 'earprint[evaluate]'" in line
    assert list(tmp_path.iterdir()) == []


def test_time_errors_leave_changed_speeds_out():
    outcomes = outcomes_of(systems=("dense",), lengths=(1.0,))
    fast = [replace(one, query=replace(one.query, speed=1.03), error_s=5.0) for one in outcomes]
    errors = time_errors_ms(outcomes + fast)
    assert list(errors) == ["dense"]
    expected = [1000 * one.error_s for one in outcomes if one.error_s is not None]
    assert errors["dense"].tolist() == expected


# the paper's tables


def lines_of(text, title):
    (part,) = [part for part in text.split("## ") if part.startswith(title)]
    return [line for line in part.splitlines() if line.startswith("|")]


def test_papers_tables():
    rows = compute_metrics(outcomes_of())
    text = paper_tables(rows, settings())
    noise = lines_of(text, "Table 3: noise, top-1")
    assert noise[0] == "| length | system | 0 dB | 10 dB |"
    systems = [tuple(cell.strip() for cell in line.split("|")[1:3]) for line in noise[2:]]
    assert systems == [
        ("1 s", "dense"), ("1 s", "attention"), ("1 s", "paper (ISMIR 2022)"),
        ("1 s", "NAFP in the paper (ISMIR 2022)"), ("5 s", "dense"), ("5 s", "attention"),
        ("5 s", "paper (ISMIR 2022)"),
    ]  # fmt: skip
    assert noise[4].endswith("| 76.8 | 87.4 |")
    assert noise[8].endswith("| 85.8 | 94.7 |")
    share = next(row for row in rows if row.condition == "noise 0 dB" and row.length_s == 1).to_dict()
    assert f"| {share['top_1_and_50_ms']['percent']:.1f} (" in noise[2]
    rooms = lines_of(text, "Table 4: reverberation by RT60")
    columns = [cell.strip() for cell in rooms[0].split("|")[1:-1]]
    assert columns == ["length", "system", "RT60 0.1-0.3 s", "RT60 0.45-0.6 s", "RT60 unknown", "all rooms"]
    assert rooms[2].endswith("n 16 |")
    five = lines_of(text, "Table 5")
    assert five[0].endswith("| 0 dB | 10 dB | 20 dB |")
    (audfprint,) = [line for line in five if line.startswith("| noise | audfprint")]
    assert audfprint.endswith("| 72.1 | 89.4 | - |")
    six = lines_of(text, "Table 6")
    assert six[-1] == "| plain in the paper (ISMIR 2022) | 52.4 | 82.3 |"
    assert "Table 7" not in text
    assert "1,234,567 fingerprints" in text
    for title in ("Table 3", "Table 4", "Table 5", "Table 6"):
        for part in text.split("## "):
            if part.startswith(title):
                assert len({line.count("|") for line in part.splitlines() if line.startswith("|")}) == 1


def test_dimensions_are_a_table_where_they_differ():
    seven = lines_of(paper_tables(compute_metrics(outcomes_of()), settings(dims=(128, 64))), "Table 7")
    assert [line.split("|")[1].strip() for line in seven[2:4]] == ["64", "128"]


def test_no_tables_without_their_conditions():
    rows = compute_metrics(outcomes_of(conditions=("clean", "phone")))
    assert paper_tables(rows, settings()) == ""
