"""Counting: shares, intervals and tables of answers made by hand."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from earprint.errors import EvaluationError
from earprint.evaluation.left_out import LeftOut
from earprint.evaluation.measure import Outcome, summarise, thresholds, wilson
from earprint.evaluation.queries import Query, read_manifest
from earprint.evaluation.report import circumstances, markdown, prepare_folder, provenance, write_report


def query(condition="clean", length_s=5.0, present=True, start_s=1.0):
    return Query(
        Path("/music/a.wav"),
        start_s,
        length_s,
        condition,
        None,
        None,
        0.0,
        None,
        phone=False,
        present=present,
    )


def outcome(asked=None, right=True, accepted=True, error_s=0.0, seconds=0.01):
    return Outcome(asked or query(), right, 0.8, 0.2, accepted, error_s if right else None, seconds)


SETTINGS = {
    **circumstances(), "model_id": "tiny-0", "tracks": 1234, "hours": 1.5, "fingerprints": 70_000,
    "method": "aligned", "seed": 1,
}  # fmt: skip


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [
        # Newcombe 1998, Statistics in Medicine 17, table I, method 3 (score, no continuity correction)
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (29, 29, 0.8830, 1.0),
    ],
)
def test_wilson_against_published_values(count, total, low, high):
    assert wilson(count, total) == pytest.approx((low, high), abs=6e-5)


def test_wilson_of_nothing_and_its_symmetry():
    assert wilson(0, 0) == (0.0, 1.0)
    low, high = wilson(7, 50)
    assert wilson(43, 50) == pytest.approx((1 - high, 1 - low))


def test_counts():
    (row,) = summarise(
        [
            outcome(error_s=0.01),
            outcome(error_s=-0.04),
            outcome(error_s=0.07),
            outcome(error_s=-3.0),
            outcome(accepted=False, error_s=0.02),  # found, but below the threshold
            outcome(right=False, accepted=True),
            outcome(right=False, accepted=False, seconds=0.5),
        ]
    )
    assert (row.queries, row.top_1, row.answered, row.wrong, row.accepted) == (7, 5, 4, 1, 5)
    assert row.located == {0.05: 2, 0.1: 3}
    assert row.median_error_s == pytest.approx(0.055)
    assert row.median_seconds == 0.01
    shares = row.to_dict()
    assert shares["answered"]["percent"] == pytest.approx(100 * 4 / 7, abs=0.005)
    assert shares["located_50_ms"]["percent"] == pytest.approx(100 * 2 / 7, abs=0.005)
    assert shares["wrong"] == pytest.approx({"percent": 14.286, "low": 2.568, "high": 51.313}, abs=1e-3)
    assert "false_accept" not in shares


def test_groups_by_condition_length_and_presence():
    rows = summarise(
        [
            outcome(query("clean", 5.0)),
            outcome(query("room", 5.0), right=False, accepted=False),
            outcome(query("clean", 2.0)),
            outcome(query("clean", 5.0, present=False), right=False, accepted=True),
            outcome(query("clean", 5.0, present=False), right=False, accepted=False),
            outcome(query("clean", 5.0)),
        ]
    )
    assert [(row.condition, row.length_s, row.present, row.queries) for row in rows] == [
        ("clean", 5.0, True, 2),
        ("room", 5.0, True, 1),
        ("clean", 2.0, True, 1),
        ("clean", 5.0, False, 2),
    ]
    assert rows[1].median_error_s is None
    assert rows[3].to_dict()["false_accept"]["percent"] == 50.0
    assert "answered" not in rows[3].to_dict()


def test_markdown():
    rows = summarise(
        [
            outcome(query("noise 10 dB", 2.5), error_s=0.0123),
            outcome(query("room"), right=False, accepted=False),
            outcome(query(present=False), right=False, accepted=False),
        ]
    )
    present, absent = markdown(rows).split("\n\n")
    lines = present.splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert lines[2] == (
        "| earprint | noise 10 dB | 2.5 s | 1 | 100.0 (20.7-100.0) | 100.0 (20.7-100.0) | 0.0 (0.0-79.3) "
        "| 100.0 (20.7-100.0) | 100.0 (20.7-100.0) | 100.0 (20.7-100.0) | 12.3 | 10 |"
    )
    assert lines[3].endswith("| - | 10 |")
    assert absent.splitlines()[2] == "| earprint | clean | 5 s | 1 | 0.0 (0.0-79.3) |"
    assert markdown(rows[:1]).count("---|") == 0  # one table, and none for what was not asked
    assert markdown(rows[:1]).count("| --- |") == 6
    assert markdown(rows[2:]).startswith("| system | absent")


def test_report(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["/somewhere/earprint", "evaluate", "--references", "my music"])
    settings = {**SETTINGS, **circumstances()}
    left_out = LeftOut()
    left_out.file(Path("b.wav"), "b.wav: is empty; replace it\nor leave it out")
    left_out.query(query("clean"), "silent")
    left_out.query(query("room"), "silent")
    outcomes = [outcome(query(start_s=1 / 3)), outcome(query(present=False), right=False, accepted=False)]
    rows = summarise(outcomes)
    prepare_folder(tmp_path / "new" / "out")
    write_report(tmp_path / "new" / "out", rows, outcomes, settings, left_out)
    results = json.loads((tmp_path / "new" / "out" / "results.json").read_text())
    assert results["settings"] == settings
    assert settings["command"] == "earprint evaluate --references 'my music'"
    assert settings["date"].startswith("20")
    assert settings["date"].endswith("+00:00")
    assert settings["platform"]["cpus"] >= 1
    assert results["left_out"] == {
        "files": [{"path": "b.wav", "cause": "is empty; replace it or leave it out"}],
        "recordings_too_short": {},
        "excerpts": [{"cause": "silent", "excerpts": 1, "queries": 2}],
    }
    assert [row["queries"] for row in results["rows"]] == [1, 1]
    table = (tmp_path / "new" / "out" / "table.md").read_text()
    assert table.startswith(markdown(rows))
    assert table.splitlines()[-7:] == [
        provenance(settings),
        "",
        "earprint, 5 s: 1 % of 1 absent queries score 0.800 or more, and so do the right answers to "
        "100.0 % of the present ones",
        "",
        "left out: 1 file",
        "",
        "left out: 1 excerpt (2 of the queries): silent",
    ]
    for part in (
        "1,234 tracks",
        "1.50 h",
        f"earprint {settings['earprint']}",
        settings["date"],
        "'my music'`",
    ):
        assert part in provenance(settings)
    assert read_manifest(tmp_path / "new" / "out" / "queries.jsonl") == [o.query for o in outcomes]


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(EvaluationError, match=r"file: cannot be written .*; name another folder"):
        prepare_folder(tmp_path / "file")


def test_left_out_names_each_file_once():
    lines = []
    left_out = LeftOut(lines.append)
    assert left_out.lines() == []
    for _ in range(2):
        left_out.file(Path("x.mp3"), "x.mp3: is empty")
    assert lines == ["left out: x.mp3: is empty"]
    left_out.shorter(10.0, 0)
    left_out.shorter(2.5, 3)
    assert left_out.lines() == ["left out: 1 file", "left out: 3 recordings too short for 2.5 s"]


def test_thresholds_let_one_percent_of_the_absent_through():
    absent = [replace(outcome(query(present=False), right=False), score=n / 1000) for n in range(1000)]
    present = [replace(outcome(query()), score=score) for score in (0.5, 0.992, 1.0, 1.0)]
    present.append(replace(outcome(query(), right=False), score=1.0))
    (threshold,) = thresholds(absent + present)
    assert threshold.score == pytest.approx(0.989, abs=0.001)
    assert sum(o.score >= threshold.score for o in absent) == 10
    assert threshold.right == pytest.approx(3 / 5)
    assert "1 % of 1,000 absent queries" in threshold.describe()
    assert thresholds(present) == []
