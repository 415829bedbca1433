"""Segments of queries: long, mixed, at other tempi and pitches; music of the project, the shipped model."""

import json

import av
import numpy as np
import pytest

from earprint import Library, load_encoder
from earprint.audio.resampling import resample_mono
from earprint.constants import SAMPLE_RATE
from earprint.synth.composer import compose

SONGS, SONG_S = 10, 45.0
TITLES = [f"song {number}" for number in range(SONGS)]


@pytest.fixture(scope="module")
def songs():
    return [compose(700 + number, SONG_S) for number in range(SONGS)]


@pytest.fixture(scope="module")
def library(songs, tmp_path_factory):
    with Library(tmp_path_factory.mktemp("library") / "library") as library:
        for title, song in zip(TITLES, songs, strict=True):
            library.add_audio(song, SAMPLE_RATE, title=title)
        yield library


def part(samples, start_s, end_s):
    return samples[round(start_s * SAMPLE_RATE) : round(end_s * SAMPLE_RATE)]


def change_speed(samples, factor):
    """Play at another speed: tempo and pitch change."""
    return resample_mono(samples, round(SAMPLE_RATE * factor))


def change_tempo(samples, factor):
    """Play at another tempo with FFmpeg's ``atempo``: the pitch stays."""
    graph = av.filter.Graph()
    source = graph.add_abuffer(
        sample_rate=SAMPLE_RATE, format="fltp", layout="mono", time_base=f"1/{SAMPLE_RATE}"
    )
    tempo, sink = graph.add("atempo", str(factor)), graph.add("abuffersink")
    source.link_to(tempo)
    tempo.link_to(sink)
    graph.configure()
    frame = av.AudioFrame.from_ndarray(samples[None].astype(np.float32), format="fltp", layout="mono")
    frame.sample_rate, frame.pts = SAMPLE_RATE, 0
    source.push(frame)
    source.push(None)
    parts = []
    while True:
        try:
            parts.append(sink.pull().to_ndarray()[0])
        except (av.error.BlockingIOError, av.error.EOFError):
            return np.concatenate(parts)


def change_pitch(samples, semitones):
    factor = 2 ** (semitones / 12)
    return change_tempo(change_speed(samples, factor), 1 / factor)


def identify(library, samples, **options):
    return library.identify(samples, sample_rate=SAMPLE_RATE, **options)


def check_segment(segment, title, speed=1.0, pitch=None, start_s=None, tolerance_s=0.15):
    assert segment.track.title == title
    assert segment.speed == pytest.approx(speed, abs=0.035)
    if pitch is not None:
        assert segment.pitch == pytest.approx(pitch, rel=0.04)
    if start_s is not None:
        at_query_start = segment.start_s - segment.speed * segment.query_start_s
        assert at_query_start == pytest.approx(start_s, abs=tolerance_s)
    assert 0 <= segment.start_s < segment.end_s <= segment.track.duration_s + 1e-6
    assert segment.expected_false < 1e-3


def test_a_match_of_a_short_query_has_its_segment(library, songs):
    answer = identify(library, part(songs[3], 20.0, 25.0))
    (segment,) = answer.segments
    check_segment(segment, "song 3", start_s=20.0)
    assert (segment.query_start_s, segment.query_end_s) == (0.0, 5.0)
    assert answer.match.track.title == "song 3"
    json.dumps(answer.to_dict())


def test_a_mix_is_a_list_of_segments(library, songs):
    fade = np.linspace(0, 1, 2 * SAMPLE_RATE)
    mix = part(songs[0], 10.0, 24.0).copy()
    for number in (1, 2, 3):
        following = part(songs[number], 10.0, 24.0).copy()
        following[: len(fade)] *= fade
        mix[-len(fade) :] = mix[-len(fade) :] * fade[::-1] + following[: len(fade)]
        mix = np.concatenate([mix, following[len(fade) :]])
    answer = identify(library, mix)
    assert [segment.track.title for segment in answer.segments] == TITLES[:4]
    for number, segment in enumerate(answer.segments):
        begins_s = 12.0 * number
        assert segment.start_s - segment.query_start_s == pytest.approx(10.0 - begins_s, abs=0.15)
        assert segment.query_start_s == pytest.approx(begins_s + 1.0, abs=1.6)
        assert segment.query_end_s == pytest.approx(begins_s + 13.0, abs=1.6)
    assert {match.track.title for match in answer.matches} == set(TITLES[:4])


@pytest.mark.parametrize("length_s", [14.0, 20.0, 40.0])
@pytest.mark.parametrize("speed", [0.98, 0.995, 1.001, 1.05])
def test_a_longer_query_at_another_speed_is_found(library, songs, length_s, speed):
    played = change_speed(part(songs[5], 2.0, 2.0 + length_s * speed), speed)
    (segment,) = identify(library, played).segments
    check_segment(segment, "song 5", speed, start_s=2.0, tolerance_s=0.3)
    assert segment.query_end_s - segment.query_start_s > 0.9 * length_s


@pytest.mark.slow
@pytest.mark.parametrize("number", [4, 7])
@pytest.mark.parametrize("factor", [0.8, 0.9, 1.1, 1.2])
def test_another_speed_and_another_tempo_are_found(library, songs, number, factor):
    excerpt = part(songs[number], 12.0, 12.0 + 6.0 * factor)
    by_speed = identify(library, change_speed(excerpt, factor)).segments[0]
    check_segment(by_speed, f"song {number}", factor, factor, start_s=12.0, tolerance_s=0.2)
    by_tempo = identify(library, change_tempo(excerpt, factor)).segments[0]
    check_segment(by_tempo, f"song {number}", factor, 1.0, start_s=12.0, tolerance_s=0.2)


@pytest.mark.slow
@pytest.mark.parametrize("number", [4, 7])
@pytest.mark.parametrize("semitones", [-4, -3, -2, 2, 3, 4])
def test_another_pitch_is_found(library, songs, number, semitones):
    answer = identify(library, change_pitch(part(songs[number], 12.0, 18.0), semitones))
    check_segment(answer.segments[0], f"song {number}", 1.0, 2 ** (semitones / 12), start_s=12.0)
    assert answer.match.track.title == f"song {number}"


@pytest.mark.slow
def test_dropped_audio_is_followed(library, songs):
    query = np.concatenate([part(songs[8], 5.0, 17.3), part(songs[8], 18.3, 30.0)])
    segments = identify(library, query).segments
    assert {segment.track.title for segment in segments} == {"song 8"}
    last = segments[-1]
    assert last.end_s - last.query_end_s == pytest.approx(6.0, abs=0.2)
    assert segments[0].start_s - segments[0].query_start_s == pytest.approx(5.0, abs=0.2)


def test_a_jingle_in_a_longer_query_is_found(library, songs):
    rest = compose(999, 24.0)
    jingle = part(songs[6], 30.0, 32.5)
    jingle = jingle * np.sqrt(np.mean(rest**2) / np.mean(jingle**2))
    answer = identify(library, np.concatenate([part(rest, 0, 13.0), jingle, part(rest, 13.0, 24.0)]))
    (segment,) = answer.segments
    check_segment(segment, "song 6", start_s=30.0 - 13.0)
    assert segment.query_start_s == pytest.approx(13.0, abs=0.5)
    assert segment.query_end_s == pytest.approx(15.5, abs=0.5)


@pytest.mark.parametrize("length_s", [3.0, 6.0, 20.0])
def test_absent_music_and_noise_have_no_segments(library, length_s):
    noise = np.random.default_rng(0).standard_normal(round(length_s * SAMPLE_RATE)).astype(np.float32)
    for query in (compose(555, length_s), compose(556, length_s), noise):
        answer = identify(library, query)
        assert not answer.segments
        assert answer.match is None


def test_fingerprints_find_what_audio_finds(library, songs):
    encoder = load_encoder("dense")
    faster = change_speed(part(songs[7], 12.0, 19.0), 1.15)
    by_audio = identify(library, faster)
    by_fingerprints = library.identify(
        encoder.encode([faster], query=True), repitch=lambda pitch: encoder.encode_at_pitch([faster], pitch)
    )
    assert by_fingerprints.segments == by_audio.segments
    assert by_audio.segments[0].track.title == "song 7"


def test_a_threshold_of_ones_own_asks_for_the_plain_search(library, songs):
    faster = change_speed(part(songs[7], 12.0, 19.0), 1.15)
    assert identify(library, faster).match is not None
    assert identify(library, faster, threshold=0.4).match is None


@pytest.mark.parametrize("rate", [0.0, 1.0, -1.0, float("nan")])
def test_impossible_rates_of_false_accepts(library, songs, rate):
    with pytest.raises(ValueError, match="false_accepts"):
        identify(library, songs[0], false_accepts=rate)
