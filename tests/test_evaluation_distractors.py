"""Speed-changed copies: speeds, titles, files."""

import numpy as np
import pytest

from earprint.audio import load_audio
from earprint.errors import AudioError
from earprint.evaluation import distractors as d
from earprint.evaluation.excerpts import change_speed
from helpers.audiofiles import float_wave, sine

RATE = 16_000


@pytest.mark.parametrize("n", [1, 2, 3, 4, 8, 40, 100])
def test_speeds_are_spread_and_keep_off_the_original(n):
    factors = d.speed_factors(n)
    assert len(set(factors)) == n
    assert factors == sorted(factors)
    assert all(0.8 <= factor <= 1.25 for factor in factors)
    assert all(factor <= 0.97 or factor >= 1.03 for factor in factors)
    assert d.speed_factors(n) == factors
    if n >= 8:
        steps = np.diff(factors)
        without_the_gap = np.delete(steps, steps.argmax())
        assert without_the_gap.max() < 2.1 * 0.39 / n
        assert sum(factor < 1 for factor in factors) == pytest.approx(n * 0.17 / 0.39, abs=1)


def test_speed_changes_tempo_and_pitch():
    tone = sine(1000.0, 2.0, RATE).astype(np.float32)
    fast = change_speed(tone, 1.25)
    assert len(fast) == pytest.approx(len(tone) / 1.25, abs=2)
    spectrum = np.abs(np.fft.rfft(fast * np.hanning(len(fast))))
    assert np.argmax(spectrum) * RATE / len(fast) == pytest.approx(1250, abs=2)


def test_titles_are_unique(tmp_path):
    files = [tmp_path / "a" / "Song.wav", tmp_path / "b" / "Song.wav", tmp_path / ("x" * 240 + ".wav")]
    copies = d.plan_copies(files, 2)
    titles = [copy.title for copy in copies]
    assert len(set(titles)) == 6
    assert titles[:4] == ["Song x 0.9", "Song x 1.15", "Song (2) x 0.9", "Song (2) x 1.15"]
    assert all(len(title) < 220 for title in titles)
    assert [copy.title for copy in d.missing_copies(copies, [*titles[:4], "else"])] == titles[4:]


def test_copies_are_written_some_at_a_time(tmp_path):
    float_wave(tmp_path / "a.wav", sine(500.0, 1.0, RATE))
    float_wave(tmp_path / "b.wav", 1.5 * sine(700.0, 1.0, RATE, level=0.9))  # beyond full scale
    (tmp_path / "c.wav").write_bytes(b"no audio")
    copies = d.plan_copies([tmp_path / name for name in ("a.wav", "b.wav", "c.wav")], 3)
    told, seen, before = [], [], []
    for paths in d.write_copies(
        copies, at_a_time=2, on_exclusion=lambda path, error: told.append((path, error))
    ):
        assert not any(path.exists() for path in before)
        before = paths
        for path in paths:
            audio = load_audio(path)
            seen.append(path.stem)
            factor = next(copy.factor for copy in copies if copy.title == path.stem)
            assert len(audio) == pytest.approx(RATE / factor, abs=2)
            assert np.abs(audio).max() <= 1.0
    assert not any(path.exists() for path in before)
    assert seen == [copy.title for copy in copies[:6]]
    assert {path.name for path, _ in told} == {"c.wav"}
    assert all(isinstance(error, AudioError) for _, error in told)
    assert list(d.write_copies([])) == []
