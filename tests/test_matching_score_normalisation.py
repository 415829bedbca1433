import numpy as np
import pytest

from earprint.encoders import cohort_of, load_encoder
from earprint.index import ExactIndex, Rows
from earprint.matching import TrackTable, search_aligned
from earprint.matching.score_normalisation import HIGHEST, LEVEL_ROWS, NEAREST, above, level_of
from earprint.quantization.storage import HalfStorage

DIM = 32


def unit(rng, n, dim=DIM):
    rows = rng.standard_normal((n, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("n_sounds", [1, 5, NEAREST, 100])
def test_the_level_is_the_weighted_mean_cosine_with_the_nearest_sounds(n_sounds):
    rng = np.random.default_rng(n_sounds)
    rows, sounds, weights = unit(rng, 10), unit(rng, n_sounds), rng.uniform(0, 1, 10)
    weights[[2, 7]] = 0
    nearest = [np.mean(sorted(sounds @ row)[-NEAREST:]) for row in rows]
    expected = max(0.0, float(np.average(nearest, weights=weights)))
    assert level_of(rows, weights, sounds) == pytest.approx(expected, abs=1e-6)


def test_long_queries_are_levelled_by_a_few_rows_spread_over_them():
    rng = np.random.default_rng(1)
    sounds = unit(rng, 50)
    rows = np.repeat(unit(rng, LEVEL_ROWS), 100, axis=0)
    assert level_of(rows, np.ones(len(rows)), sounds) == pytest.approx(
        level_of(rows[::100], np.ones(LEVEL_ROWS), sounds), abs=1e-6
    )


def test_without_sounds_or_rows_the_level_is_0_and_it_never_reaches_1():
    rng = np.random.default_rng(2)
    rows = unit(rng, 4)
    assert level_of(rows, np.ones(4), None) == 0
    assert level_of(rows, np.ones(4), np.empty((0, DIM), np.float32)) == 0
    assert level_of(rows, np.zeros(4), rows) == 0
    assert level_of(rows[:0], np.ones(0), rows) == 0
    assert level_of(np.repeat(rows[:1], 4, axis=0), np.ones(4), np.repeat(rows[:1], 9, axis=0)) == HIGHEST
    assert level_of(rows[:1], np.ones(1), -rows[:1]) == 0


def test_the_level_scores_0_and_perfection_1():
    assert above(0.6, 0.6) == 0
    assert above(1.0, 0.6) == 1
    assert above(0.8, 0.6) == pytest.approx(0.5)
    assert above(0.3, 0.6) < 0
    assert above(np.array([0.5, 1.0]), 0.0).tolist() == [0.5, 1.0]


def test_scores_are_set_against_the_level_and_change_nothing_else():
    rng = np.random.default_rng(3)
    tracks = unit(rng, 400)
    index = ExactIndex(Rows([tracks.astype(np.float16)], HalfStorage(DIM)))
    table = TrackTable([0, 100, 200, 300], [100] * 4)
    query = tracks[230:260] + 0.1 * rng.standard_normal((30, DIM)).astype(np.float32)
    query /= np.linalg.norm(query, axis=1, keepdims=True)
    sounds = unit(rng, 60)
    plain = search_aligned(query, index, table, query_hop_s=0.04)
    scored = search_aligned(query, index, table, query_hop_s=0.04, sounds=sounds)
    level = level_of(query, np.ones(30), sounds)
    assert 0.1 < level < plain[0].score
    assert plain[0].track == 2
    for one, other in zip(plain, scored, strict=True):
        assert (one.track, one.start_s, one.speed) == (other.track, other.start_s, other.speed)
        assert other.score == pytest.approx(above(one.score, level))


def test_the_shipped_model_has_a_cohort():
    sounds = cohort_of(load_encoder("dense"))
    assert sounds.shape == (4096, 128)
    assert np.allclose(np.linalg.norm(sounds, axis=1), 1, atol=1e-3)


def test_a_model_without_a_codebook_has_no_cohort():
    pytest.importorskip("earprint_paper", reason="pip install ./packages/earprint-paper")
    assert cohort_of(load_encoder("plain")) is None
