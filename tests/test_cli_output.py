"""How times, sizes, names and documents look."""

import json

import pytest

from earprint.cli import messages, output


@pytest.mark.parametrize(
    ("time_s", "text"),
    [
        (0.0, "0:00:00.0"),
        (12.34, "0:00:12.3"),
        (59.96, "0:01:00.0"),
        (3599.97, "1:00:00.0"),
        (3_661.25, "1:01:01.2"),
        (360_000.0, "100:00:00.0"),
        (-1.26, "-0:00:01.3"),
        (-0.01, "0:00:00.0"),
    ],
)
def test_position(time_s, text):
    assert output.position(time_s) == text


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1_340_000, "1.3 MB"),
        (5e9, "5.0 GB"),
        (7e15, "7000.0 TB"),
    ],
)
def test_size(n_bytes, text):
    assert output.size(n_bytes) == text


def test_names_stay_on_one_line_and_carry_no_escapes():
    name = output.name_of("A\tb\nc\x1b[31m", "D\u2028e", "x.mp3")
    assert name == "A b c [31m — D e"
    assert output.name_of(None, "Someone", "dir/x\n.mp3") == "dir/x .mp3"
    assert output.one_line("caf\udce9.mp3") == "caf?.mp3"
    assert output.name_of(None, None, None) == "untitled"
    assert output.name_of("Grüße 音", None, None) == "Grüße 音"


def test_rounded_keeps_structure():
    document = {"a": [1.234567, {"b": (2, None, True)}], "c": "text"}
    assert str(output.rounded(-0.00001)) == "0.0"
    assert output.rounded(document) == {"a": [1.2346, {"b": [2, None, True]}], "c": "text"}


def test_json_is_one_document_with_readable_letters(capsys):
    output.print_json([{"title": "Grüße", "score": 1 / 3}])
    out = capsys.readouterr().out
    assert "Grüße" in out
    assert json.loads(out) == [{"title": "Grüße", "score": 0.3333}]


def test_table_in_a_pipe_is_tab_separated_without_headings(capsys):
    output.print_table(("x", "y"), [("a" * 300, "b"), ("c", "[bold]d")])
    assert capsys.readouterr().out == f"{'a' * 300}\tb\nc\t[bold]d\n"


def test_table_on_a_terminal_has_headings_and_takes_no_markup(capsys, monkeypatch):
    monkeypatch.setattr(output, "to_terminal", lambda: True)
    output.print_table(("x", "y"), [("a", "[bold]b")])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [["x", "y"], ["a", "[bold]b"]]


def test_described_gives_units():
    rows = dict(
        output.described(
            {
                "tracks": 1200,
                "size_bytes": 1_300_000,
                "duration_s": 61.0,
                "hop_s": 0.08,
                "of": None,
                "k": {"l": [1, 2]},
            }
        )
    )
    assert rows == {
        "tracks": "1,200",
        "size bytes": "1.3 MB",
        "duration": "0:01:01.0",
        "hop": "0.08 s",
        "of": "none",
        "k: l": "1, 2",
    }


def test_summaries():
    one = messages.added(added=1, replaced=0, skipped=0, failed=0, length="0:00:10.0", seconds=2.0, rate=5.0)
    assert one == "added 1 recording (0:00:10.0 of audio in 2.0 s, 5 x real time)"
    nothing = messages.added(
        added=0, replaced=0, skipped=3, failed=2, length="0:00:00.0", seconds=1.0, rate=0.0
    )
    assert nothing == "added 0 recordings, 3 already there, 2 failed"
    assert messages.missed(0.41234, 0.5, "X") == "no match (best candidate X, score 0.412, threshold 0.500)"
    assert messages.missed(None, 0.5, None) == "no match (no candidates)"


@pytest.mark.parametrize(
    ("right", "located", "absent", "answered", "text"),
    [
        (True, True, False, True, "right"),
        (True, False, False, True, "right, wrong position"),
        (False, False, False, True, "WRONG"),
        (False, False, False, False, "missed"),
        (True, False, True, False, "right"),
        (False, False, True, True, "WRONG"),
    ],
)
def test_verdict(right, located, absent, answered, text):
    assert messages.verdict(right=right, located=located, absent=absent, answered=answered) == text


@pytest.mark.parametrize(
    ("speed", "text"), [(1.0, ""), (1.03, " (3 % faster)"), (0.95, " (5 % slower)"), (1.004, "")]
)
def test_speed_remark(speed, text):
    assert messages.played(speed) == text


@pytest.mark.parametrize(
    ("speed", "pitch", "part", "text"),
    [
        (1.0, 1.0, "", ""),
        (1.1, 1.1, "", " (10 % faster)"),
        (0.9, 1.0, "", " (10 % slower, same pitch)"),
        (1.0, 2 ** (3 / 12), "", " (pitch +3 semitones)"),
        (1.0, 1.0, "0:00:12.1-0:00:14.0", " (query 0:00:12.1-0:00:14.0)"),
        (1.02, 1.0, "a-b", " (query a-b, 2 % faster)"),
    ],
)
def test_tempo_pitch_and_part_of_a_query(speed, pitch, part, text):
    assert messages.played(speed, pitch, part) == text
