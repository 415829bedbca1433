"""Metrics and tables of outcomes made by hand."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from earprint.errors import EvaluationError
from earprint.evaluation.exclusions import Exclusions
from earprint.evaluation.metrics import compute_metrics
from earprint.evaluation.outcomes import Outcome
from earprint.evaluation.query import Query, read_manifest
from earprint.evaluation.report import Report, circumstances, prepare_folder, provenance
from earprint.evaluation.tables import metrics_tables, more_metrics_table

pytest.importorskip("scipy.stats", reason="evaluations need scipy: pip install 'earprint[evaluate]'")


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


def test_counts():
    (row,) = compute_metrics(
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
    assert (row.queries, row.counts["top_1"], row.counts["answered"], row.counts["wrong"]) == (7, 5, 4, 1)
    assert (row.counts["located_50_ms"], row.counts["located_100_ms"]) == (2, 3)
    assert row.median_error_s == pytest.approx(0.055)
    assert (row.counts["top_1_and_50_ms"], row.counts["top_1_and_100_ms"]) == (3, 4)  # whatever the score
    assert row.counts["top_5"] is None  # not told
    shares = row.to_dict()
    assert shares["answered"]["percent"] == pytest.approx(100 * 4 / 7, abs=0.005)
    assert shares["top_1_and_50_ms"]["percent"] == pytest.approx(100 * 3 / 7, abs=0.005)
    assert shares["top_5"] is None
    assert shares["located_50_ms"]["percent"] == pytest.approx(100 * 2 / 7, abs=0.005)
    # One recording says nothing about others: its interval is everything.
    assert shares["wrong"] == pytest.approx({"percent": 14.286, "low": 0, "high": 100}, abs=1e-3)
    assert (shares["queries"], shares["recordings"]) == (7, 1)
    assert "false_accept" not in shares


def test_groups_by_condition_length_and_presence():
    rows = compute_metrics(
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


def test_metrics_tables():
    rows = compute_metrics(
        [
            outcome(query("noise 10 dB", 2.5), error_s=0.0123),
            outcome(query("room"), right=False, accepted=False),
            outcome(query(present=False), right=False, accepted=False),
        ]
    )
    present, absent = metrics_tables(rows).split("\n\n")
    lines = present.splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert lines[2] == (
        "| earprint | noise 10 dB | 2.5 s | 1 | 1 | 100.0 (2.5-100.0) | 100.0 (2.5-100.0) "
        "| 100.0 (2.5-100.0) | 100.0 (2.5-100.0) | 0.0 (0.0-97.5) | 12.3 |"
    )
    assert lines[3].endswith("| - |")
    assert absent.splitlines()[2] == "| earprint | clean | 5 s | 1 | 1 | 0.0 (0.0-97.5) |"
    assert metrics_tables(rows[:1]).count("---|") == 0  # one table, and none for what was not asked
    assert metrics_tables(rows[:1]).count("| --- |") == 6
    assert metrics_tables(rows[2:]).startswith("| system | absent")
    more = more_metrics_table(rows).splitlines()
    assert more[0].endswith("| top-5 % | top-1 & 100 ms % | answered & 100 ms % | or at a repeat % |")
    assert more[2].split("|")[6].strip() == "-"  # not told
    assert more_metrics_table(rows[2:]) == ""


def test_top_5_is_counted_where_it_is_told():
    asked = [
        replace(outcome(right=right), top_5=top_5)
        for right, top_5 in ((True, True), (False, True), (False, False))
    ]
    (row,) = compute_metrics(asked)
    assert (row.counts["top_1"], row.counts["top_5"]) == (1, 2)


def test_rooms_are_counted_together_and_by_reverberation_time():
    asked = [
        outcome(replace(query("room"), rt60_s=rt60_s), right=rt60_s != 0.5)
        for rt60_s in (0.5, 0.2, 0.55, None)
    ]
    asked.append(outcome(replace(query("room + noise 0 dB"), rt60_s=0.5)))
    rows = compute_metrics(asked)
    assert [(row.condition, row.queries, row.counts["top_1"]) for row in rows] == [
        ("room", 4, 3),
        ("room, RT60 0.1-0.3 s", 1, 1),
        ("room, RT60 0.45-0.6 s", 2, 1),
        ("room, RT60 unknown", 1, 1),
        ("room + noise 0 dB", 1, 1),
    ]


@pytest.mark.slow
def test_report(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["/somewhere/earprint", "evaluate", "--references", "my music"])
    settings = {**SETTINGS, **circumstances()}
    left_out = Exclusions()
    left_out.exclude_file(Path("b.wav"), "b.wav: is empty; replace it\nor leave it out")
    left_out.exclude_query(query("clean"), "silent")
    left_out.exclude_query(query("room"), "silent")
    outcomes = [outcome(query(start_s=1 / 3)), outcome(query(present=False), right=False, accepted=False)]
    rows = compute_metrics(outcomes)
    prepare_folder(tmp_path / "new" / "out")
    Report(outcomes, settings, left_out).write(tmp_path / "new" / "out")
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
    assert table.startswith(metrics_tables(rows) + "\n" + more_metrics_table(rows))
    assert table.splitlines()[-9:] == [
        provenance(settings),
        "",
        "tiny (tiny-0): 1,234 tracks, 1.50 h, 70,000 fingerprints, 2.00 MB per hour, added 1.50 h at 100 x "
        "real time",
        "",
        "earprint, 5 s: 0.0 % right answers at 1 % false accepts (no threshold, set on the same queries, "
        "1 of them absent)",
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
    left_out = Exclusions(lines.append)
    assert left_out.summary_lines() == []
    for _ in range(2):
        left_out.exclude_file(Path("x.mp3"), "x.mp3: is empty")
    assert lines == ["left out: x.mp3: is empty"]
    left_out.exclude_short_recordings(10.0, 0)
    left_out.exclude_short_recordings(2.5, 3)
    assert left_out.summary_lines() == ["left out: 1 file", "left out: 3 recordings too short for 2.5 s"]


def test_a_partial_report_says_so(tmp_path):
    settings = {**SETTINGS, "complete": False, "manifest_queries": 900}
    outcomes = [outcome(query(start_s=1.5)), outcome(query(start_s=2.5))]
    Report(outcomes, settings, Exclusions()).write(tmp_path)
    assert "PARTIAL: interrupted after 2 of 900 queries" in (tmp_path / "table.md").read_text()
    Report([], settings, Exclusions()).write(tmp_path)  # interrupted before the first answer
    assert "after 0 of 900" in (tmp_path / "table.md").read_text()
