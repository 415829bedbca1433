"""Batches of queries give what single queries give: search, answers, workers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from earprint import Library
from earprint.audio.wav import write_wav
from earprint.evaluation import runner, search
from earprint.evaluation.backends import Backend
from earprint.evaluation.query import Query
from earprint.evaluation.systems import LibraryReader, System, make_systems
from earprint.index import ExactIndex, Rows
from earprint.quantization.storage import HalfStorage
from earprint.synth import composer
from helpers.tinyencoder import TinyEncoder

RATE = 16_000


def unit(rng, *shape):
    vectors = rng.standard_normal(shape).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


@pytest.mark.parametrize("n", [1, 3, 63, 64, 65, 1000, 2048, 2049, 5000])
@pytest.mark.parametrize("k", [1, 16])
def test_nearest_is_the_exact_search(n, k):
    rng = np.random.default_rng(n)
    stored = unit(rng, n, 24).astype(np.float16)
    stored[rng.random(n) < 0.1] = 0  # silent rows
    index = ExactIndex(Rows([stored[: n // 3], stored[n // 3 :]], HalfStorage(24)))
    queries = np.concatenate([unit(rng, 119, 24), np.zeros((1, 24), np.float32)])
    scores, rows = search.search_exactly(index, queries, k, query_rows=50)
    expected_scores, expected_rows = index.search(queries, k)
    np.testing.assert_allclose(scores, expected_scores, atol=1e-6)
    np.testing.assert_array_equal(rows, expected_rows)


def test_nearest_of_nothing():
    scores, rows = search.search_exactly(ExactIndex(Rows([], HalfStorage(8))), np.ones((2, 8), np.float32), 3)
    assert scores.tolist() == [[0.0] * 3] * 2
    assert rows.tolist() == [[-1] * 3] * 2


def test_prefetched_answers_what_it_knows_and_asks_the_rest():
    rng = np.random.default_rng(0)
    index = ExactIndex(Rows([unit(rng, 500, 16).astype(np.float16)], HalfStorage(16)))
    known, other = unit(rng, 6, 16), unit(rng, 2, 16)
    prefetched = search.PrefetchedIndex(index, known, 8)
    assert len(prefetched) == 500
    np.testing.assert_array_equal(prefetched.vectors(3, 9), index.vectors(3, 9))
    for queries, k in ((known[[4, 1]], 8), (known[:3], 2), (other, 8), (known, 9)):
        scores, rows = prefetched.search(queries, k)
        expected_scores, expected_rows = index.search(queries, k)
        np.testing.assert_array_equal(rows, expected_rows)
        np.testing.assert_allclose(scores, expected_scores, atol=1e-6)


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    folder = tmp_path_factory.mktemp("music")
    paths = [folder / f"{seed}.wav" for seed in range(3)]
    for seed, path in enumerate(paths):
        write_wav(path, composer.compose(seed, 9.0))
    return paths


def excerpt(path, start_s, length_s=2.0):
    return Query(path, start_s, length_s, "clean", None, None, 0.0, None, phone=False, present=True)


@pytest.mark.parametrize("method", ["aligned", "paper"])
def test_a_reader_answers_as_the_library_does(music, tmp_path, monkeypatch, method):
    monkeypatch.setattr("earprint.encoders.load_encoder", lambda *_: TinyEncoder())
    absent = composer.compose(9, 5.0)
    with Library(tmp_path, encoder=TinyEncoder()) as library:
        library.add(*music)
        tracks = {Path(track.path): track.id for track in library.tracks()}
        questions = [
            (excerpt(path, start_s), audio[round(start_s * RATE) :][: 2 * RATE])
            for path in music
            for audio in [composer.compose(int(path.stem), 9.0)]
            for start_s in (0.0, 3.21, 6.9)
        ]
        questions += [(excerpt(Path("absent.wav"), 1.0), absent[RATE : 3 * RATE])]
        questions += [(excerpt(music[0], 1.0), np.zeros(RATE, np.float32))]  # silent
        with LibraryReader(System("tiny", "tiny", "tiny-0000", tmp_path), tracks, method) as reader:
            outcomes = reader.identify(questions)
        for (query, audio), outcome in zip(questions, outcomes, strict=True):
            answer = library.identify(audio, sample_rate=RATE, method=method)
            best = answer.candidates[0] if answer.candidates else None
            assert outcome.query == query
            assert outcome.accepted == (answer.match is not None)
            assert outcome.score == pytest.approx(best.score if best else 0.0, abs=1e-6)
            assert outcome.lead == pytest.approx(best.lead if best else 0.0, abs=1e-6)
            right = best is not None and best.track.id == tracks.get(query.path)
            assert outcome.right_track == right
            if right:
                assert outcome.error_s == pytest.approx(best.start_s - query.start_s, abs=1e-6)
            among = [match.track.id for match in answer.candidates[:5]]
            assert outcome.top_5 == (tracks.get(query.path) in among)
        assert sum(outcome.right_track for outcome in outcomes) >= 8
        assert not outcomes[-1].right_track


def test_a_batch_is_searched_once(music, tmp_path, monkeypatch):
    """All rows of a batch go through the index together; single queries find theirs there."""
    calls = []

    def counted(index, queries, k):
        calls.append(len(queries))
        return search.search_exactly(index, queries, k)

    monkeypatch.setattr("earprint.encoders.load_encoder", lambda *_: TinyEncoder())
    monkeypatch.setattr("earprint.evaluation.systems.current_backend", lambda: Backend(search=counted))
    monkeypatch.setattr(ExactIndex, "search", lambda *_: pytest.fail("searched one by one"))
    with Library(tmp_path, encoder=TinyEncoder()) as library:
        library.add(*music)
        tracks = {Path(track.path): track.id for track in library.tracks()}
    queries = [
        (excerpt(path, 2.0), composer.compose(int(path.stem), 9.0)[2 * RATE :][: 2 * RATE]) for path in music
    ]
    for method in ("aligned", "paper"):
        with LibraryReader(System("tiny", "tiny", "tiny-0000", tmp_path), tracks, method) as reader:
            assert all(one.right_track for one in reader.identify(queries))
    assert len(calls) == 2
    assert calls[0] > calls[1] > 3


def test_a_library_takes_fingerprints(music, tmp_path):
    encoder = TinyEncoder()
    audio = composer.compose(1, 9.0)[3 * RATE :][: 2 * RATE]
    with Library(tmp_path, encoder=encoder) as library:
        library.add(*music)
        fingerprints = encoder.encode([audio], query=True)
        ours, theirs = library.identify(fingerprints), library.identify(audio, sample_rate=RATE)
        assert ours.candidates == theirs.candidates
        assert ours.match.track.title == "1"
        with pytest.raises(ValueError, match="embed the audio as a query"):
            library.identify(encoder.encode([audio]))
        with pytest.raises(ValueError, match=r"those of tiny-0000 have shape \(n, 128\)"):
            library.identify(replace(fingerprints, vectors=fingerprints.vectors[:, :64]))
        silent = library.identify(replace(fingerprints, vectors=np.zeros_like(fingerprints.vectors)))
        assert silent.match is None
        assert "the query: is silent" in silent.warnings[0]


def test_an_empty_library_answers_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("earprint.encoders.load_encoder", lambda *_: TinyEncoder())
    Library(tmp_path, encoder=TinyEncoder()).close()
    with LibraryReader(System("tiny", "tiny", "tiny-0000", tmp_path), {}) as reader:
        (outcome,) = reader.identify([(excerpt(Path("x"), 0.0), composer.compose(1, 2.0))])
        assert not outcome.accepted
        assert not outcome.right_track
        assert reader.identify([]) == []


def test_models_of_one_name_are_told_apart(tmp_path, monkeypatch):
    def load(name, *_):
        made = TinyEncoder()
        made.name, made.model_id = {"a.onnx": ("x", "x-1"), "b.onnx": ("x", "x-2")}.get(name, ("y", "y-3"))
        return made

    monkeypatch.setattr("earprint.encoders.load_encoder", load)
    found = make_systems(["a.onnx", "b.onnx", "y", "a.onnx"], tmp_path)
    assert [(one.name, one.model, one.library.name) for one in found] == [
        ("x-1", "a.onnx", "x-1"),
        ("x-2", "b.onnx", "x-2"),
        ("y", "y", "y-3"),
    ]
    assert make_systems(["y"], tmp_path)[0].library == tmp_path / "y-3"
    Library(tmp_path, encoder=TinyEncoder()).close()
    assert make_systems(["y"], tmp_path)[0].library == tmp_path  # it is one already


@pytest.mark.slow
def test_workers_answer_as_one_process_does(music, tmp_path):
    """With the real model: workers are other processes, which know nothing of stand-ins."""
    with Library(tmp_path / "library") as library:
        library.add(*music)
        tracks = {Path(track.path): track.id for track in library.tracks()}
        model_id = library.info().model_id
    systems = [System("dense", "dense", model_id, tmp_path / "library")]
    queries = [excerpt(path, start_s) for start_s in (0.5, 4.04) for path in music]
    (tmp_path / "questions").mkdir()
    done = []
    # Workers multiply matrices on one thread: several add in another order, and a step of 8 bits may turn.
    with threadpool_limits(1):
        one, two = (
            runner.identify_queries(
                systems,
                queries,
                {"dense": tracks},
                jobs=jobs,
                audio_folder=tmp_path / "questions",
                on_progress=done.append,
                chunk_size=3,
            )
            for jobs in (1, 2)
        )
    assert done == [3, 6] * 2
    assert one.complete
    assert two.complete
    assert one.files == two.files
    assert sorted(two.files) == list(range(6))
    assert one.outcomes.keys() == two.outcomes.keys() == {("dense", number) for number in range(6)}
    for key, outcome in one.outcomes.items():
        assert outcome.right_track
        assert outcome.query == queries[key[1]]
        assert two.outcomes[key].score == pytest.approx(outcome.score, abs=1e-4)
        assert two.outcomes[key].error_s == pytest.approx(outcome.error_s, abs=1e-3)


def test_an_interruption_keeps_what_was_answered(music, tmp_path, monkeypatch):
    monkeypatch.setattr("earprint.encoders.load_encoder", lambda *_: TinyEncoder())
    with Library(tmp_path, encoder=TinyEncoder()) as library:
        library.add(*music)
        tracks = {Path(track.path): track.id for track in library.tracks()}

    def on_progress(done):
        if done >= 4:
            raise KeyboardInterrupt

    queries = [excerpt(path, start_s) for path in music for start_s in (1.0, 2.0)]
    system = System("tiny", "tiny", "tiny-0000", tmp_path)
    answers = runner.identify_queries(
        [system], queries, {"tiny": tracks}, on_progress=on_progress, chunk_size=2
    )
    assert not answers.complete
    assert sorted(answers.outcomes) == [("tiny", number) for number in range(4)]
