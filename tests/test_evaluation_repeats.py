"""Repeats of the same sound are distinguished from other places; peers get the same queries as earprint."""

import wave
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from earprint.audio.wav import write_wav
from earprint.evaluation import runner
from earprint.evaluation.distractors import plan_copies
from earprint.evaluation.outcomes import Outcome
from earprint.evaluation.peer_runner import add_to_peer, describe_peers, identify_with_peer
from earprint.evaluation.peers import PeerAnswer
from earprint.evaluation.query import Query
from earprint.evaluation.repeats import correlation, mark_repeats

RATE = 16_000


def query(path, start_s, length_s=2.0):
    return Query(path, start_s, length_s, "clean", None, None, 0.0, None, False, True)


def outcome(path, start_s, error_s):
    return Outcome(query(path, start_s), error_s is not None, 0.9, 0.1, True, error_s, 0.01)


@pytest.fixture
def looped(tmp_path):
    """Bars of 3 s: A B A C, where the second A carries a little hiss, as lossy coding leaves."""
    rng = np.random.default_rng(3)
    a, b, c = (rng.standard_normal(3 * RATE).astype(np.float32) * 0.1 for _ in range(3))
    path = tmp_path / "looped.wav"
    write_wav(path, np.concatenate([a, b, a + 0.02 * c, c]))
    return path


def test_an_answer_at_a_copy_is_a_repeat(looped):
    exact, near, elsewhere, right = mark_repeats(
        [outcome(looped, 0.5, e) for e in (6.0, 6.05, 3.0)] + [outcome(looped, 0.5, 0.02)]
    )
    assert exact.repeat
    assert near.repeat
    assert not elsewhere.repeat
    assert not right.repeat


def test_a_copy_that_is_off_by_more_than_the_tolerance_is_none(looped):
    (late,) = mark_repeats([outcome(looped, 0.5, 6.25)])
    assert not late.repeat


def test_wrong_tracks_are_no_repeats(looped):
    (wrong,) = mark_repeats([outcome(looped, 0.5, None)])
    assert not wrong.repeat


def test_correlation_is_numpys():
    rng = np.random.default_rng(0)
    passage, other = rng.standard_normal(50).astype(np.float32), rng.standard_normal(80).astype(np.float32)
    slow = max(
        np.dot(passage, other[i : i + 50]) / np.linalg.norm(passage) / np.linalg.norm(other[i : i + 50])
        for i in range(31)
    )
    assert correlation(passage, other) == pytest.approx(slow, abs=1e-5)
    assert correlation(passage, np.zeros(80, np.float32)) == 0.0


class Parrot:
    """A peer with given answers."""

    name, version, options = "parrot", "1", "none"
    add_cpu_seconds, identify_cpu_seconds, index_bytes = 2.0, 1.0, 3_000_000

    def __init__(self, answers):
        self.answers, self.identify_seconds, self.heard, self.added = answers, 0.0, [], []

    def add(self, references):
        assert all(path.is_file() for path in references)
        self.added.append([path.name for path in references])

    def identify(self, queries):
        self.identify_seconds += 4.0
        for path in queries:
            with wave.open(str(path)) as file:
                self.heard.append(np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32_767)
        return self.answers


def test_peers_hear_the_questions_and_are_judged_alike(tmp_path, monkeypatch):
    ours, theirs = Path("asked.wav"), Path("stored.wav")
    rng = np.random.default_rng(1)
    audio = [rng.standard_normal(1600).astype(np.float32) * level for level in (0.1, 1.0)]
    render = dict(zip([query(ours, 5.0), query(ours, 7.0)], audio, strict=True))
    monkeypatch.setattr(runner, "render", lambda queries, _: ((one, render[one]) for one in queries))
    answers = runner.identify_queries([], list(render), {}, audio_folder=tmp_path)
    questions = [(one, answers.files[number]) for number, one in enumerate(render)]
    parrot = Parrot([PeerAnswer(theirs, 5.03, 12.0), PeerAnswer()])
    first, second = identify_with_peer(parrot, questions, {ours: theirs})
    np.testing.assert_allclose(parrot.heard[0], audio[0], atol=1e-4)
    # What would clip is turned down as a whole.
    np.testing.assert_allclose(parrot.heard[1], audio[1] / np.abs(audio[1]).max(), atol=1e-4)
    assert (first.system, first.right_track, first.accepted) == ("parrot", True, True)
    assert first.error_s == pytest.approx(0.03)
    assert first.seconds == 2.0
    assert (second.right_track, second.accepted, second.error_s) == (False, False, None)


def test_peers_get_the_copies_too(looped):
    parrot = Parrot([])
    add_to_peer(parrot, [looped], plan_copies([looped], 2))
    assert parrot.added == [["looped.wav"], ["looped x 0.9.wav", "looped x 1.15.wav"]]


def test_repeats_at_another_speed(looped):
    """The passage that was played is longer than the query where it is played faster."""
    played = replace(outcome(looped, 0.5, 6.0), query=replace(query(looped, 0.5), speed=1.2))
    too_long = replace(outcome(looped, 0.5, 6.0), query=replace(query(looped, 0.5), speed=1.8))
    assert mark_repeats([played])[0].repeat
    assert not mark_repeats([too_long])[0].repeat  # its end is in the bar after


def test_a_peers_cost_is_told_per_hour_of_audio():
    (cost,) = describe_peers([Parrot([])], 7200.0)
    assert cost["add_x_real_time_per_core"] == 3600
    assert cost["index_mb_per_hour"] == 1.5
