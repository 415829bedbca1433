import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earprint.index import ExactIndex, Rows, exact
from earprint.quantization.storage import HalfStorage


def unit_rows(rng, n, dim=16):
    rows = rng.standard_normal((n, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 40), max_size=5),
    k=st.integers(1, 30),
    block=st.integers(1, 50),
    per_thread=st.sampled_from([1, 7, 30, 10_000]),
    seed=st.integers(0, 99),
)
def test_search_equals_sorting_all_products(sizes, k, block, per_thread, seed):
    rng = np.random.default_rng(seed)
    parts = [unit_rows(rng, n).astype(np.float16) for n in sizes]
    for part in parts:
        part[rng.random(len(part)) < 0.2] = 0
    queries = unit_rows(rng, 6)
    queries[2] = 0
    index = ExactIndex(Rows(parts, HalfStorage(16)))
    everything = np.concatenate([np.zeros((0, 16), np.float16), *parts]).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact, "BLOCK_ROWS", block)
        patch.setattr(exact, "ROWS_PER_THREAD", per_thread)
        patch.setattr(exact, "usable_cores", lambda: 3)
        scores, rows = index.search(queries, k)

    products = queries @ everything.T
    expected = np.sort(np.where(products > 0, products, 0), axis=1)[:, ::-1][:, :k]
    expected = np.pad(expected, ((0, 0), (0, k - expected.shape[1])))
    assert scores.shape == rows.shape == (6, k)
    assert np.allclose(scores, expected, atol=1e-6)
    assert np.array_equal(rows == -1, scores == 0)
    for i in range(6):
        hits = rows[i][rows[i] >= 0]
        assert len(set(hits)) == len(hits)
        assert np.allclose(products[i, hits], scores[i, : len(hits)], atol=1e-6)


def test_silent_rows_and_silent_queries_hit_nothing():
    stored = np.zeros((5, 4), np.float16)
    stored[3] = [1, 0, 0, 0]
    scores, rows = ExactIndex(Rows([stored], HalfStorage(4))).search(
        np.array([[1, 0, 0, 0], [0, 0, 0, 0], [-1, 0, 0, 0]], np.float32), 3
    )
    assert rows.tolist() == [[3, -1, -1], [-1, -1, -1], [-1, -1, -1]]
    assert scores.tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]


def test_vectors_read_across_parts():
    everything = unit_rows(np.random.default_rng(1), 30).astype(np.float16)
    index = ExactIndex(
        Rows([everything[:7], everything[7:7], everything[7:8], everything[8:]], HalfStorage(16))
    )
    assert len(index) == 30
    for start in range(31):
        for stop in range(start, 31):
            got = index.vectors(start, stop)
            assert got.dtype == np.float32
            assert np.array_equal(got, everything[start:stop])


@pytest.mark.parametrize(("start", "stop"), [(-1, 2), (3, 2), (0, 11)])
def test_vectors_outside_the_row_space_are_refused(start, stop):
    index = ExactIndex(Rows([np.ones((10, 2), np.float16)], HalfStorage(2)))
    with pytest.raises(IndexError, match="10 rows"):
        index.vectors(start, stop)


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match="3-d"):
        ExactIndex(Rows([np.ones((10, 2), np.float16)], HalfStorage(3)))
    index = ExactIndex(Rows([np.ones((10, 2), np.float16)], HalfStorage(2)))
    with pytest.raises(ValueError, match="2-d"):
        index.search(np.ones((1, 3), np.float32), 1)
    with pytest.raises(ValueError, match="at least one"):
        index.search(np.ones((1, 2), np.float32), 0)


def test_empty_index_and_empty_query():
    scores, rows = ExactIndex(Rows([], HalfStorage(4))).search(np.ones((2, 4), np.float32), 3)
    assert (scores == 0).all()
    assert (rows == -1).all()
    scores, _ = ExactIndex(Rows([np.ones((2, 4), np.float16)], HalfStorage(4))).search(
        np.ones((0, 4), np.float32), 3
    )
    assert scores.shape == (0, 3)


def test_half_precision_moves_a_cosine_by_less_than_a_thousandth():
    rng = np.random.default_rng(2)
    stored, queries = unit_rows(rng, 500, 128), unit_rows(rng, 20, 128)
    scores, rows = ExactIndex(Rows([stored.astype(np.float16)], HalfStorage(128))).search(queries, 5)
    true = np.take_along_axis(queries @ stored.T, rows, axis=1)
    assert np.abs(scores - true).max() < 1e-3


def test_a_damaged_row_hides_no_other():
    rng = np.random.default_rng(4)
    rows = rng.standard_normal((200, 16)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    stored = rows.astype(np.float16)
    stored[7, 3] = np.nan
    scores, found = ExactIndex(Rows([stored], HalfStorage(16))).search(rows[[50, 120]], 3)
    assert found[:, 0].tolist() == [50, 120]
    assert np.isfinite(scores).all()
    assert 7 not in found
