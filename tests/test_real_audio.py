"""Test the shipped model on real music, if there is any.

The music is in folders ``music/dev``, ``music/dev-absent`` and ``noise/dev`` of EARPRINT_TEST_AUDIO, or else
of ``../shared/data`` beside the checkout. Without them the tests are skipped.
"""

import os
from pathlib import Path

import pytest

from earprint import Library
from earprint.audio import find_audio_files
from earprint.evaluation.conditions import Clean, Noise
from earprint.evaluation.excerpts import draw_excerpts
from earprint.evaluation.material import Material
from earprint.evaluation.rendering import render

DATA = Path(os.environ.get("EARPRINT_TEST_AUDIO", Path(__file__).parents[2] / "shared" / "data"))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (DATA / "music" / "dev").is_dir(),
        reason="no real music: set EARPRINT_TEST_AUDIO to a folder of music/dev, music/dev-absent, noise/dev",
    ),
]


@pytest.fixture(scope="module")
def noises():
    return list(find_audio_files([DATA / "noise" / "dev"]))[::7]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    files = list(find_audio_files([DATA / "music" / "dev"]))[::20]
    with Library(tmp_path_factory.mktemp("real") / "library") as opened:
        assert not opened.add(*files).failed
        yield opened


def test_noisy_excerpts_are_found_and_located(library, noises):
    known = [(Path(track.path), track.duration_s) for track in library.tracks()]
    drawn = draw_excerpts(known, 14, 5.0, seed=7, material=Material((), noises=noises))
    found = located = asked = 0
    for query, audio in render([Noise(10.0).apply(one) for one in drawn]):
        match = library.identify(audio, sample_rate=16_000).match
        asked += 1
        if match is not None and match.track.path == str(query.path):
            found += 1
            located += abs(match.start_s - query.start_s) < 0.1
    assert asked >= 12
    assert found >= asked - 1
    assert located >= asked - 3  # loops hold the same sound in several places


def test_most_absent_music_is_no_match(library, noises):
    absent = [(path, 30.0) for path in find_audio_files([DATA / "music" / "dev-absent"])][::5]
    drawn = draw_excerpts(absent, len(absent), 5.0, seed=7, present=False)
    queries = [Clean().apply(one) for one in drawn]
    answered = [library.identify(audio, sample_rate=16_000).match is not None for _, audio in render(queries)]
    assert len(answered) >= 5
    assert sum(answered) <= 1
