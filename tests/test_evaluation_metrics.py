"""Counting: shares, intervals and tables of answers made by hand."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from earprint.errors import EvaluationError
from earprint.evaluation.exclusions import LeftOut
from earprint.evaluation.metrics import summarise, wilson
from earprint.evaluation.outcomes import Outcome
from earprint.evaluation.query import Query, read_manifest
from earprint.evaluation.report import (
    circumstances,
    markdown,
    more_markdown,
    prepare_folder,
    provenance,
    write_report,
)


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


COST = {
    "system": "tiny", "model_id": "tiny-0", "dim": 128, "hop_s": 0.08, "tracks": 1234, "hours": 1.5,
    "fingerprints": 70_000, "library_bytes": 3_000_000, "mb_per_hour": 2.0, "added_hours": 1.5,
    "add_seconds": 54.0, "add_x_real_time": 100.0,
}  # fmt: skip

SETTINGS = {
    **circumstances(), "systems": [COST], "method": "aligned", "seed": 1, "complete": True,
    "manifest_queries": 2,
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
    assert row.placed == {0.05: 3, 0.1: 4}  # whatever the score
    assert row.top_5 is None  # not told
    shares = row.to_dict()
    assert shares["answered"]["percent"] == pytest.approx(100 * 4 / 7, abs=0.005)
    assert shares["top_1_and_50_ms"]["percent"] == pytest.approx(100 * 3 / 7, abs=0.005)
    assert shares["top_5"] is None
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
        "| earprint | noise 10 dB | 2.5 s | 1 | 100.0 (20.7-100.0) | 100.0 (20.7-100.0) | 100.0 (20.7-100.0) "
        "| 100.0 (20.7-100.0) | 0.0 (0.0-79.3) | 12.3 |"
    )
    assert lines[3].endswith("| - |")
    assert absent.splitlines()[2] == "| earprint | clean | 5 s | 1 | 0.0 (0.0-79.3) |"
    assert markdown(rows[:1]).count("---|") == 0  # one table, and none for what was not asked
    assert markdown(rows[:1]).count("| --- |") == 5
    assert markdown(rows[2:]).startswith("| system | absent")
    more = more_markdown(rows).splitlines()
    assert more[0].endswith("| top-5 % | top-1 & 100 ms % | answered & 100 ms % | or at a repeat % |")
    assert more[2].split("|")[5].strip() == "-"  # not told
    assert more_markdown(rows[2:]) == ""


def test_top_5_is_counted_where_it_is_told():
    asked = [
        replace(outcome(right=right), top_5=top_5)
        for right, top_5 in ((True, True), (False, True), (False, False))
    ]
    (row,) = summarise(asked)
    assert (row.top_1, row.top_5) == (1, 2)


def test_rooms_are_counted_together_and_by_reverberation_time():
    asked = [
        outcome(replace(query("room"), t60_s=t60_s), right=t60_s != 0.5) for t60_s in (0.5, 0.2, 0.55, None)
    ]
    asked.append(outcome(replace(query("room + noise 0 dB"), t60_s=0.5)))
    rows = summarise(asked)
    assert [(row.condition, row.queries, row.top_1) for row in rows] == [
        ("room", 4, 3),
        ("room, RT60 0.1-0.3 s", 1, 1),
        ("room, RT60 0.45-0.6 s", 2, 1),
        ("room, RT60 unknown", 1, 1),
        ("room + noise 0 dB", 1, 1),
    ]


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
    assert table.startswith(markdown(rows) + "\n" + more_markdown(rows))
    assert table.splitlines()[-9:] == [
        provenance(settings),
        "",
        "tiny (tiny-0): 1,234 tracks, 1.50 h, 70,000 fingerprints, 2.00 MB per hour, added 1.50 h at 100 x "
        "real time",
        "",
        "earprint, 5 s: 0.0 % right answers at 1 % false accepts (no threshold, 1 absent queries)",
        "",
        "left out: 1 file",
        "",
        "left out: 1 excerpt (2 of the queries): silent",
    ]
    for part in (
        f"earprint {settings['earprint']}",
        settings["date"],
        "'my music'`",
    ):
        assert part in provenance(settings)
    assert results["time_errors"][0]["system"] == "earprint"
    assert sum(results["time_errors"][0]["counts"]) == 1
    assert [curve["conditions"] for curve in results["roc"]] == ["all", "clean"]
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


def test_a_partial_report_says_so(tmp_path):
    settings = {**SETTINGS, "complete": False, "manifest_queries": 900}
    outcomes = [outcome(query(start_s=1.5)), outcome(query(start_s=2.5))]
    write_report(tmp_path, summarise(outcomes), outcomes, settings, LeftOut())
    assert "PARTIAL: interrupted after 2 of 900 queries" in (tmp_path / "table.md").read_text()
    write_report(tmp_path, [], [], settings, LeftOut())  # interrupted before the first answer
    assert "after 0 of 900" in (tmp_path / "table.md").read_text()
