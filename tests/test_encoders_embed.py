"""Fingerprints without a library: of files and arrays, one or many."""

import io
import json
import threading
import time

import numpy as np
import pytest

import earprint
from earprint import AudioError, embed, embed_batch
from earprint.audio import load_audio
from earprint.audio.wav import write_wav
from helpers import audiofiles
from helpers.fake_encoder import FakeEncoder, tune

ENCODER = FakeEncoder()


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    folder = tmp_path_factory.mktemp("music")
    return [write_wav(folder / f"{seed}.wav", tune(seed, 3.0)) or folder / f"{seed}.wav" for seed in range(6)]


def same(one, other):
    return np.array_equal(one.vectors, other.vectors) and one.duration_s == other.duration_s


def test_a_path_an_open_file_and_an_array_give_the_same(music):
    by_path = embed(music[0])
    assert same(embed(str(music[0])), by_path)
    assert same(embed(io.BytesIO(music[0].read_bytes())), by_path)
    assert same(embed(load_audio(music[0]), sample_rate=16_000), by_path)
    assert by_path.vectors.shape == (7, 128)
    assert by_path.hop_s == 0.32
    assert by_path.duration_s == 3.0
    np.testing.assert_allclose(by_path.times_s, 0.32 * np.arange(7))


def test_a_query_has_the_finer_grid_and_rows_past_its_ends(music):
    query = embed(music[0], query=True)
    assert query.hop_s == 0.04
    assert query.margin_rows == 12
    assert query.times_s[0] == pytest.approx(-0.48)


@pytest.mark.parametrize("layout", ["(n, 2)", "(2, n)", "(1, n)", "int16", "float64"])
def test_layouts_and_types_of_arrays(layout, music):
    samples = load_audio(music[0])
    array = {
        "(n, 2)": np.stack([samples, samples], axis=1),
        "(2, n)": np.stack([samples, samples]),
        "(1, n)": samples[None],
        "int16": (samples * 32768).round().astype(np.int16),
        "float64": samples.astype(np.float64),
    }[layout]
    expected = embed(samples, sample_rate=16_000)
    got = embed(array, sample_rate=16_000)
    assert got.vectors.shape == expected.vectors.shape
    assert (got.vectors * expected.vectors).sum(axis=1).min() > 0.999


def test_another_sample_rate_is_resampled(music):
    samples = load_audio(music[0])
    times = np.arange(3 * 48_000) / 48_000
    faster = np.interp(times, np.arange(len(samples)) / 16_000, samples)
    got = embed(faster, sample_rate=48_000)
    assert got.duration_s == 3.0
    assert (got.vectors * embed(samples, sample_rate=16_000).vectors).sum(axis=1).mean() > 0.9


@pytest.mark.parametrize(
    ("samples", "rate", "error", "words"),
    [
        (
            np.zeros(16_000),
            None,
            ValueError,
            r"^array of shape \(16000,\): .*; pass sample_rate=",
        ),
        (np.zeros(16_000), 0, ValueError, "sample_rate 0: "),
        (np.zeros(16_000), 16_000.5, ValueError, "sample_rate 16000.5: "),
        (np.full(16_000, np.nan), 16_000, ValueError, "NaN"),
        (np.zeros((1, 2, 16_000)), 16_000, ValueError, "3 dimensions"),
        ([0.0] * 16_000, 16_000, TypeError, "samples of type list"),
        ([0.0] * 16_000, None, TypeError, "samples of type list"),
        (b"\0" * 16_000, None, TypeError, "samples of type bytes"),
        (None, None, TypeError, "samples of type NoneType"),
        (np.zeros(0), 16_000, AudioError, "no samples"),
        ("missing.wav", None, AudioError, "missing.wav: no such file"),
    ],
)
def test_what_cannot_be_embedded_is_named(samples, rate, error, words):
    with pytest.raises(error, match=words) as caught:
        embed(samples, sample_rate=rate, encoder=ENCODER)
    assert "\n" not in str(caught.value)


def test_silence_gives_rows_of_zeros():
    got = embed(np.zeros(32_000, np.float32), sample_rate=16_000)
    assert got.silent.all()
    assert len(got.vectors) == 4


def test_another_encoder_or_model(music):
    assert embed(music[0], encoder=ENCODER).vectors.shape[1] == ENCODER.dim
    with pytest.raises(earprint.ModelError, match="denser: no model"):
        embed(music[0], model="denser")


def test_warnings_about_a_damaged_file(tmp_path):
    file = audiofiles.encode(
        tmp_path / "a.mkv", audiofiles.sine(1000, 5, 48_000), 48_000, "aac", corrupt=lambda i: 100 <= i < 110
    )
    warnings = []
    assert embed(file, encoder=ENCODER, on_warning=warnings.append).duration_s == pytest.approx(5, abs=0.05)
    assert len(warnings) == 1
    assert str(file) in warnings[0]


def test_results_are_json_ready(music):
    result = json.loads(json.dumps(embed(music[0], encoder=ENCODER).to_dict()))
    assert sorted(result) == ["duration_s", "hop_s", "margin_rows", "times_s", "vectors"]
    assert len(result["vectors"]) == len(result["times_s"])
    assert len(result["vectors"][0]) == ENCODER.dim


class Slow(FakeEncoder):
    """The first recordings take longest; counts the threads that encode at once."""

    def __init__(self):
        super().__init__()
        self.lock, self.delays, self.running, self.most = threading.Lock(), [0.2, 0.1, 0.05], 0, 0

    def encode(self, blocks, *, query=False):
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
            delay = self.delays.pop(0) if self.delays else 0.0
        time.sleep(delay)
        made = super().encode(blocks, query=query)
        with self.lock:
            self.running -= 1
        return made


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_batch_gives_as_many_in_their_order(jobs, music):
    encoder = Slow()
    got = list(embed_batch(music, encoder=encoder, jobs=jobs))
    assert all(same(one, embed(file, encoder=ENCODER)) for one, file in zip(got, music, strict=True))
    assert encoder.most == jobs
    assert list(embed_batch([], encoder=encoder)) == []


def test_a_batch_uses_the_default_model_and_query_grid(music):
    (got,) = embed_batch(music[:1], query=True)
    assert same(got, embed(music[0], query=True))


def test_a_batch_ends_with_the_first_error_and_names_it(music):
    batch = embed_batch([music[0], "missing.wav", music[1]], encoder=ENCODER)
    assert len(next(batch).vectors)
    with pytest.raises(AudioError, match=r"^missing\.wav: no such file"):
        next(batch)
    with pytest.raises(StopIteration):
        next(batch)


def test_errors_in_place_of_results(music):
    good, bad = load_audio(music[0]), np.full(16_000, np.inf)
    sources = [music[0], "missing.wav", good, bad, [0.5], np.zeros(0), music[1]]
    got = list(embed_batch(sources, sample_rate=16_000, encoder=ENCODER, return_exceptions=True))
    assert len(got) == len(sources)
    assert [isinstance(one, Exception) for one in got] == [False, True, False, True, True, True, False]
    assert [type(got[i]) for i in (1, 3, 4, 5)] == [AudioError, ValueError, TypeError, AudioError]
    assert str(got[1]).startswith("missing.wav: no such file")
    for i in (3, 4, 5):
        assert str(got[i]).startswith(f"sources[{i}]: ")
    (lonely,) = embed_batch([good], encoder=ENCODER, return_exceptions=True)
    assert str(lonely).startswith("sources[0]: array of shape (48000,): its sample rate is unknown")


class Unreadable:
    def __init__(self, error):
        self.error = error

    def read(self, size=-1):
        raise self.error


@pytest.mark.parametrize("error", [RuntimeError("boom"), KeyError("k"), MemoryError("m"), OSError("disk")])
def test_any_error_of_one_source_takes_its_place(music, error):
    got = list(embed_batch([music[0], Unreadable(error), music[1]], encoder=ENCODER, return_exceptions=True))
    assert [isinstance(one, Exception) for one in got] == [False, True, False]
    assert str(error) in str(got[1])


@pytest.mark.parametrize("return_exceptions", [False, True])
def test_an_error_of_the_iterable_follows_the_results_before_it(music, return_exceptions):
    def failing():
        yield from music[:3]
        raise KeyError("no more")

    batch = embed_batch(failing(), encoder=ENCODER, jobs=2, return_exceptions=return_exceptions)
    assert all(same(next(batch), embed(file, encoder=ENCODER)) for file in music[:3])
    with pytest.raises(KeyError, match="no more"):
        next(batch)


@pytest.mark.parametrize(
    ("sources", "jobs", "message"),
    [(None, 0, "sources are of type NoneType"), (b"abc", 0, "type bytes"), ([], 1.5, "jobs is 1.5")],
)
def test_what_is_no_list_or_number_is_refused_at_once(sources, jobs, message):
    with pytest.raises(TypeError, match=message):
        embed_batch(sources, encoder=ENCODER, jobs=jobs)


def test_sources_are_taken_a_few_ahead_and_no_more_once_the_batch_is_closed(music):
    taken = []

    def endless():
        while True:
            taken.append(len(taken))
            yield music[taken[-1] % len(music)]

    batch = embed_batch(endless(), encoder=ENCODER, jobs=2)
    for _ in range(3):
        next(batch)
    assert len(taken) <= 3 + 2 * 2
    batch.close()
    count = len(taken)
    time.sleep(0.05)
    assert len(taken) == count


def test_one_path_is_no_batch(music):
    with pytest.raises(TypeError, match=r"0\.wav: is a single source; give a list"):
        embed_batch(str(music[0]))


def test_jobs_must_make_sense(music):
    with pytest.raises(ValueError, match="jobs is -1"):
        embed_batch(music, jobs=-1)
