import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earprint.index import ExactIndex, lsh
from earprint.index.lsh import LshIndex
from earprint.index.rows import Rows
from earprint.quantization.storage import HalfStorage

DIM = 16


def unit_rows(rng, n, dim=DIM):
    rows = rng.standard_normal((n, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def stored(*parts, dim=DIM):
    return Rows([np.asarray(part, np.float16) for part in parts], HalfStorage(dim))


def noisy(rng, rows, amount):
    moved = rows + amount * unit_rows(rng, len(rows), rows.shape[1])
    return moved / np.linalg.norm(moved, axis=1, keepdims=True)


def some_rows(rng, sizes):
    parts = [unit_rows(rng, n).astype(np.float16) for n in sizes]
    for part in parts:
        part[rng.random(len(part)) < 0.2] = 0
    return parts


@settings(max_examples=80, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 60), max_size=4),
    k=st.integers(1, 80),
    tables=st.integers(1, 6),
    bits=st.integers(1, 13),
    probes=st.integers(1, 40),
    candidates=st.sampled_from([1, 7, 50, 131_072]),
    block=st.integers(1, 70),
    seed=st.integers(0, 99),
)
def test_hits_are_true_products_of_different_rows(sizes, k, tables, bits, probes, candidates, block, seed):
    rng = np.random.default_rng(seed)
    parts = some_rows(rng, sizes)
    everything = np.concatenate([np.zeros((0, DIM), np.float16), *parts]).astype(np.float32)
    queries = np.concatenate([unit_rows(rng, 5), np.zeros((1, DIM), np.float32), everything[:4]])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lsh, "BLOCK_ROWS", block)
        patch.setattr(lsh, "QUERY_ROWS", block)
        patch.setattr(lsh, "CANDIDATES", candidates)
        index = LshIndex(stored(*parts), tables=tables, bits=bits, probes=probes)
        scores, rows = index.search(queries, k)
        counts = index.candidates(queries)

    products = queries @ everything.T
    assert scores.shape == rows.shape == (len(queries), k)
    assert (scores.dtype, rows.dtype) == (np.float32, np.int64)
    assert np.array_equal(rows == -1, scores == 0)
    assert (scores >= 0).all()
    assert (np.diff(scores, axis=1) <= 0).all()
    silent = np.flatnonzero(~everything.any(axis=1))
    assert not np.isin(rows, silent).any()
    assert (rows[~queries.any(axis=1)] == -1).all()
    assert (counts[~queries.any(axis=1)] == 0).all()
    for i, line in enumerate(rows):
        hits = line[line >= 0]
        assert len(set(hits)) == len(hits) <= counts[i] <= min(candidates, len(everything))
        assert np.allclose(products[i, hits], scores[i, : len(hits)], atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 60), max_size=4),
    k=st.integers(1, 80),
    tables=st.integers(1, 4),
    bits=st.integers(1, 8),
    dim=st.sampled_from([2, 3, DIM]),
    seed=st.integers(0, 99),
)
def test_probing_every_cell_is_exact_search(sizes, k, tables, bits, dim, seed):
    rng = np.random.default_rng(seed)
    rows = stored(*(unit_rows(rng, n, dim) for n in sizes), dim=dim)
    queries = unit_rows(rng, 6, dim)
    index = LshIndex(rows, tables=tables, bits=bits, probes=tables * 2**bits)
    assert (index.candidates(queries) == len(rows)).all()
    scores, found = index.search(queries, k)
    expected, nearest = ExactIndex(rows).search(queries, k)
    assert np.allclose(scores, expected, atol=1e-6)
    # Rows of two or three components may be equally near.
    assert np.array_equal(found >= 0, nearest >= 0)
    assert dim < DIM or np.array_equal(found, nearest)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 120),
    tables=st.integers(1, 8),
    bits=st.integers(1, 18),
    probes=st.integers(1, 30),
    seed=st.integers(0, 99),
)
def test_a_stored_row_finds_itself_first_and_its_copies_with_it(n, tables, bits, probes, seed):
    rng = np.random.default_rng(seed)
    once = unit_rows(rng, n).astype(np.float16)
    index = LshIndex(stored(once, once[::-1]), tables=tables, bits=bits, probes=probes)
    scores, rows = index.search(once.astype(np.float32), 2)
    # Either first: a matrix product may round equal rows differently, as they stand in different places.
    assert np.array_equal(np.sort(rows, axis=1), np.stack((np.arange(n), 2 * n - 1 - np.arange(n)), axis=1))
    assert np.allclose(scores, 1, atol=0.002)


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(1, 200), block=st.integers(1, 9), candidates=st.integers(200, 400), seed=st.integers(0, 99)
)
def test_what_else_is_asked_changes_no_answer(n, block, candidates, seed):
    rng = np.random.default_rng(seed)
    rows = stored(unit_rows(rng, n))
    queries = unit_rows(rng, 12)
    index = LshIndex(rows, tables=4, bits=6, probes=12)
    scores, found = index.search(queries, 5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lsh, "QUERY_ROWS", block)
        patch.setattr(lsh, "CANDIDATES", candidates)
        again = [index.search(query[None], 5) for query in queries]
        together = index.search(queries, 5)
    assert np.array_equal(np.concatenate([one[1] for one in again]), found)
    assert np.allclose(np.concatenate([one[0] for one in again]), scores, atol=1e-6)
    assert np.array_equal(together[1], found)


def test_the_seed_alone_decides():
    rng = np.random.default_rng(1)
    rows = stored(unit_rows(rng, 2_000))
    queries = unit_rows(rng, 30)
    first, second, other = (LshIndex(rows, tables=4, bits=8, probes=8, seed=seed) for seed in (5, 5, 6))
    assert np.array_equal(first.search(queries, 10)[1], second.search(queries, 10)[1])
    assert np.array_equal(first.candidates(queries), second.candidates(queries))
    assert not np.array_equal(first.search(queries, 10)[1], other.search(queries, 10)[1])


@pytest.mark.slow
def test_more_probes_and_more_tables_find_more():
    rng = np.random.default_rng(2)
    rows = stored(unit_rows(rng, 3_000, 64), dim=64)
    wanted = np.arange(0, 3_000, 10)
    queries = noisy(rng, rows.take(wanted), 0.8)

    def share(**setting):
        _, found = LshIndex(rows, **setting).search(queries, 1)
        return np.mean(found[:, 0] == wanted)

    base = share(tables=10, bits=12, probes=10)
    assert 0.2 < base < 0.9
    assert share(tables=10, bits=12, probes=40) > base
    assert share(tables=30, bits=12, probes=30) > base


@pytest.mark.slow
def test_the_papers_setting_finds_a_near_row_among_few():
    rng = np.random.default_rng(3)
    rows = stored(unit_rows(rng, 20_000, 128), dim=128)
    wanted = np.arange(0, 20_000, 100)
    queries = noisy(rng, rows.take(wanted), 0.7)  # cosines of 0.82
    index = LshIndex(rows)
    _, found = index.search(queries, 1)
    assert np.mean(found[:, 0] == wanted) > 0.99
    assert index.candidates(queries).mean() < 100
    assert index.nbytes < 20_000 * 200 + 53_000_000 + 14_000_000


def test_cells_nearly_hashed_to_are_probed_first():
    rng = np.random.default_rng(4)
    rows = stored(unit_rows(rng, 4_000, 32), dim=32)
    wanted = np.arange(0, 4_000, 10)
    queries = noisy(rng, rows.take(wanted), 0.6)
    shares = []
    for probes in (1, 2, 4, 8, 16):
        index = LshIndex(rows, tables=1, bits=12, probes=probes)
        shares.append(np.mean(index.search(queries, 1)[1][:, 0] == wanted))
    gains = np.diff(shares) / [1, 2, 4, 8]
    assert (gains > 0).all()
    assert (np.diff(gains) < 0).all()


def test_damaged_rows_are_not_found_and_hide_no_other():
    rng = np.random.default_rng(5)
    rows = unit_rows(rng, 200)
    damaged = rows.astype(np.float16)
    damaged[7, 3], damaged[9, 2] = np.nan, np.inf
    index = LshIndex(stored(damaged), tables=3, bits=2, probes=12)
    scores, found = index.search(rows[[50, 7, 9]], 200)
    assert found[0, 0] == 50
    assert not np.isin(found, [7, 9]).any()
    assert np.isfinite(scores).all()


def test_empty_index_and_empty_query():
    index = LshIndex(stored(), tables=2, bits=4, probes=4)
    scores, rows = index.search(np.ones((2, DIM), np.float32), 3)
    assert len(index) == 0
    assert (scores == 0).all()
    assert (rows == -1).all()
    index = LshIndex(stored(np.eye(DIM)), tables=2, bits=4, probes=4)
    scores, rows = index.search(np.ones((0, DIM), np.float32), 3)
    assert scores.shape == rows.shape == (0, 3)


def test_rows_are_handed_through():
    rows = unit_rows(np.random.default_rng(6), 30).astype(np.float16)
    index = LshIndex(stored(rows[:7], rows[7:]), tables=1, bits=2, probes=1)
    assert len(index) == 30
    assert np.array_equal(index.vectors(3, 12), rows[3:12])
    assert np.array_equal(index.take(np.array([9, 2])), rows[[9, 2]])


@pytest.mark.parametrize("setting", [{"tables": 0}, {"bits": 0}, {"probes": 0}, {"bits": 25}])
def test_settings_that_make_no_sense_are_refused(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        LshIndex(stored(np.eye(DIM)), **setting)


def test_wrong_shapes_are_refused():
    index = LshIndex(stored(np.eye(DIM)), tables=1, bits=2, probes=1)
    with pytest.raises(ValueError, match="16-d"):
        index.search(np.ones((1, 3), np.float32), 1)
    with pytest.raises(ValueError, match="at least one"):
        index.search(np.ones((1, DIM), np.float32), 0)
