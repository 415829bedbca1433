import numpy as np
import pytest

from earprint.encoders import cohort_of, load_encoder
from earprint.index import ExactIndex, Rows
from earprint.matching import TrackTable, search_aligned
from earprint.matching.score_normalisation import (
    MAX_COHORT_LEVEL,
    MAX_LEVEL_ROWS,
    NEAREST_COHORT_VECTORS,
    cohort_level,
    normalise_scores,
)
from earprint.quantization.storage import HalfStorage

DIM = 32


def unit(rng, n, dim=DIM):
    rows = rng.standard_normal((n, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("n_cohort", [1, 5, NEAREST_COHORT_VECTORS, 100])
def test_the_cohort_level_is_the_weighted_mean_cosine_with_the_nearest_cohort_vectors(n_cohort):
    rng = np.random.default_rng(n_cohort)
    rows, cohort, weights = unit(rng, 10), unit(rng, n_cohort), rng.uniform(0, 1, 10)
    weights[[2, 7]] = 0
    nearest = [np.mean(sorted(cohort @ row)[-NEAREST_COHORT_VECTORS:]) for row in rows]
    expected = max(0.0, float(np.average(nearest, weights=weights)))
    assert cohort_level(rows, weights, cohort) == pytest.approx(expected, abs=1e-6)


def test_the_cohort_level_of_long_queries_uses_a_few_evenly_spaced_rows():
    rng = np.random.default_rng(1)
    cohort = unit(rng, 50)
    rows = np.repeat(unit(rng, MAX_LEVEL_ROWS), 100, axis=0)
    assert cohort_level(rows, np.ones(len(rows)), cohort) == pytest.approx(
        cohort_level(rows[::100], np.ones(MAX_LEVEL_ROWS), cohort), abs=1e-6
    )


def test_without_cohort_or_rows_the_cohort_level_is_0_and_it_never_reaches_1():
    rng = np.random.default_rng(2)
    rows = unit(rng, 4)
    assert cohort_level(rows, np.ones(4), None) == 0
    assert cohort_level(rows, np.ones(4), np.empty((0, DIM), np.float32)) == 0
    assert cohort_level(rows, np.zeros(4), rows) == 0
    assert cohort_level(rows[:0], np.ones(0), rows) == 0
    assert (
        cohort_level(np.repeat(rows[:1], 4, axis=0), np.ones(4), np.repeat(rows[:1], 9, axis=0))
        == MAX_COHORT_LEVEL
    )
    assert cohort_level(rows[:1], np.ones(1), -rows[:1]) == 0


def test_the_cohort_level_scores_0_and_a_similarity_of_1_scores_1():
    assert normalise_scores(0.6, 0.6) == 0
    assert normalise_scores(1.0, 0.6) == 1
    assert normalise_scores(0.8, 0.6) == pytest.approx(0.5)
    assert normalise_scores(0.3, 0.6) < 0
    assert normalise_scores(np.array([0.5, 1.0]), 0.0).tolist() == [0.5, 1.0]


def test_normalisation_changes_scores_and_nothing_else():
    rng = np.random.default_rng(3)
    tracks = unit(rng, 400)
    index = ExactIndex(Rows([tracks.astype(np.float16)], HalfStorage(DIM)))
    table = TrackTable([0, 100, 200, 300], [100] * 4)
    query = tracks[230:260] + 0.1 * rng.standard_normal((30, DIM)).astype(np.float32)
    query /= np.linalg.norm(query, axis=1, keepdims=True)
    cohort = unit(rng, 60)
    plain = search_aligned(query, index, table, query_hop_s=0.04)
    scored = search_aligned(query, index, table, query_hop_s=0.04, cohort=cohort)
    level = cohort_level(query, np.ones(30), cohort)
    assert 0.1 < level < plain[0].score
    assert plain[0].track == 2
    for one, other in zip(plain, scored, strict=True):
        assert (one.track, one.start_s, one.speed) == (other.track, other.start_s, other.speed)
        assert other.score == pytest.approx(normalise_scores(one.score, level))


def test_the_shipped_model_has_a_cohort():
    cohort = cohort_of(load_encoder("dense"))
    assert cohort.shape == (4096, 128)
    assert np.allclose(np.linalg.norm(cohort, axis=1), 1, atol=1e-3)


def test_a_model_without_a_codebook_has_no_cohort():
    pytest.importorskip("earprint_paper", reason="pip install ./packages/earprint-paper")
    assert cohort_of(load_encoder("plain")) is None
