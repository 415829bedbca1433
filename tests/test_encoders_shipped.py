"""Every model of the repository: small enough, described, with thresholds, and it finds what it was given."""

from pathlib import Path

import numpy as np
import pytest

from earprint import Library
from earprint.audio.wav import write_wav
from earprint.constants import SAMPLE_RATE
from earprint.dsp.snr import add_noise
from earprint.dsp.synthetic_noise import babble_noise
from earprint.encoders import describe_model, load_encoder, model_names
from earprint.encoders.registry import weights_folder
from earprint.synth.composer import compose

LARGEST_BYTES = 25_000_000
QUERY_S = 3
NETWORKS = {"dense": "dense", "plain": "plain"}


@pytest.fixture(params=NETWORKS)
def name(request):
    """A model of the repository; those of other packages only where they are installed."""
    if request.param == "plain":
        pytest.importorskip("earprint_paper", reason="pip install ./packages/earprint-paper")
    return request.param


def test_the_package_has_the_default_model_alone_and_is_small():
    files = list(weights_folder().iterdir())
    assert {file.name.partition(".")[0] for file in files} == {"dense"}
    assert sum(file.stat().st_size for file in files) < 6_000_000


def test_a_model_is_known_by_name(name):
    assert name in model_names()
    assert describe_model(name)["network"] == NETWORKS[name]


def test_a_shipped_model_is_small_and_described(name):
    card = describe_model(name)
    assert 100_000 < card["bytes"] < LARGEST_BYTES
    assert card["training"]["steps"] > 0
    text = Path(card["file"]).with_suffix(".md").read_text(encoding="utf-8")
    for heading in ("## Data", "## Recipe", "## Results", "## Thresholds", "## Limits"):
        assert heading in text
    for score in card["threshold"].values():
        assert f"{score:g}" in text, "the text tells other thresholds than the card"


def test_longer_queries_need_lower_scores(name):
    thresholds = load_encoder(name).model.thresholds
    assert sorted(thresholds) == [1, 2, 3, 5]
    scores = [thresholds[length] for length in sorted(thresholds)]
    assert scores == sorted(scores, reverse=True)


def test_a_noisy_excerpt_is_found_where_it_was_and_another_recording_is_not(name, tmp_path):
    tracks = [compose(seed, 16.0) for seed in range(5)]
    start_s = 7.3
    start = round(start_s * SAMPLE_RATE)
    noise = babble_noise(QUERY_S * SAMPLE_RATE, seed=3)
    for number, track in enumerate(tracks):
        write_wav(tmp_path / f"track {number}.wav", track)
    with Library(tmp_path / "library", model=name) as library:
        assert len(library.add(*sorted(tmp_path.glob("*.wav"))).added) == len(tracks)
        excerpt = add_noise(tracks[2][start : start + QUERY_S * SAMPLE_RATE], noise, 5.0)
        first, *others = library.identify(excerpt, sample_rate=SAMPLE_RATE).matches
        assert (first.track.title, others) == ("track 2", [])
        assert first.start_s == pytest.approx(start_s, abs=0.1)
        stranger = compose(99, 16.0)[start : start + QUERY_S * SAMPLE_RATE]
        assert library.identify(stranger, sample_rate=SAMPLE_RATE).matches == []


@pytest.mark.parametrize("speed", [0.96, 0.97, 1.0, 1.03, 1.04])
def test_a_copy_at_another_speed_begins_where_it_does(speed, tmp_path):
    track, start_s, length_s = compose(4, 30.0), 11.3, 7.0
    write_wav(tmp_path / "track.wav", track)
    times = start_s * SAMPLE_RATE + speed * np.arange(round(length_s * SAMPLE_RATE))
    excerpt = np.interp(times, np.arange(len(track)), track).astype(np.float32)
    with Library(tmp_path / "library", model="dense") as library:
        library.add(tmp_path / "track.wav")
        (match,) = library.identify(excerpt, sample_rate=SAMPLE_RATE).matches
    assert match.speed == pytest.approx(speed, abs=0.0051)
    assert match.start_s == pytest.approx(start_s, abs=0.01)
    assert match.end_s == pytest.approx(start_s + speed * length_s, abs=0.05)
