import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earprint.encoders import load_encoder
from earprint.errors import LibraryError
from earprint.index import ExactIndex, InvertedIndex, Rows, SegmentLists, Span, make_index
from earprint.index.inverted import MIN_RERANKED
from earprint.index.rows import release_pages
from earprint.quantization.storage import CompactStorage, HalfStorage
from helpers.codebooks import random_codebook, unit_rows

STORAGE = CompactStorage(random_codebook())
STORAGE_1 = CompactStorage(random_codebook(residual=False))  # of a codebook of the first version


def make(segments, spans, probes=10**6, storage=STORAGE):
    """Rows of some spans of packed segments, and their inverted index."""
    rows = Rows([segments[span.segment][span.first : span.stop] for span in spans], storage)
    lists = {number: SegmentLists(part, storage.codebook) for number, part in segments.items()}
    return rows, InvertedIndex(rows, storage.codebook, spans, lists, probes)


@st.composite
def libraries(draw):
    """Segments of some storage, and live spans of them in any order of segments."""
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    storage = draw(st.sampled_from([STORAGE, STORAGE_1]))
    segments, spans = {}, []
    for number in range(draw(st.integers(1, 3))):
        n = draw(st.integers(0, MIN_RERANKED // 3))
        segments[number] = storage.pack(unit_rows(rng, n, silent=0.2))
        cuts = sorted(draw(st.lists(st.integers(0, n), max_size=5)))
        bounds = [0, *cuts, n]
        live = draw(st.lists(st.booleans(), min_size=len(bounds) - 1, max_size=len(bounds) - 1))
        spans += [
            Span(number, a, b) for a, b, yes in zip(bounds, bounds[1:], live, strict=False) if yes and b > a
        ]
    return storage, segments, spans, unit_rows(rng, 5, silent=0.2)


@settings(max_examples=80, deadline=None)
@given(library=libraries(), k=st.integers(1, 80))
@pytest.mark.slow
def test_reading_every_list_finds_what_exact_search_finds(library, k):
    storage, segments, spans, queries = library
    rows, index = make(segments, spans, storage=storage)
    scores, found = index.search(queries, k)
    expected, _ = ExactIndex(rows).search(queries, k)
    assert len(index) == len(rows)
    assert scores.shape == found.shape == (5, k)
    assert np.allclose(scores, expected, atol=1e-5)
    assert np.array_equal(found == -1, scores == 0)
    for query, hits, values in zip(queries, found, scores, strict=True):
        hits = hits[hits >= 0]
        assert len(set(hits.tolist())) == len(hits)
        if len(hits):
            assert np.allclose(rows.take(hits) @ query, values[: len(hits)], atol=1e-5)


@pytest.mark.parametrize("segments", [1, 3])
def test_the_scan_finds_what_exact_search_finds_of_the_shipped_codes(segments):
    """The row that a query comes from always, and most of those that are like it by chance."""
    storage = CompactStorage(load_encoder("dense").codebook)
    rng = np.random.default_rng(3)
    packed = {
        number: rng.integers(0, 256, (20_000 // segments, storage.width), dtype=np.uint8)
        for number in range(segments)
    }
    for part in packed.values():
        part[:, 1] %= 16  # 4,096 lists
    spans = [Span(number, 0, len(part)) for number, part in packed.items()]
    rows, index = make(packed, spans, storage=storage)
    asked = rows.take(rng.choice(len(rows), 40, replace=False))
    asked += 1.7 * rng.standard_normal(asked.shape, dtype=np.float32) / asked.shape[1] ** 0.5
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    scores, found = index.search(asked, 16)
    expected, right = ExactIndex(rows).search(asked, 16)
    assert (found[:, 0] == right[:, 0]).all()
    missed = [len(set(row) - set(hits)) for row, hits in zip(right.tolist(), found.tolist(), strict=True)]
    assert np.mean(missed) < 0.2 * 16
    assert np.allclose(scores[:, 0], expected[:, 0], atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(library=libraries(), probes=st.integers(1, 12))
def test_few_probes_find_the_rows_of_the_nearest_lists_and_no_others(library, probes):
    storage, segments, spans, queries = library
    book = storage.codebook
    rows, index = make(segments, spans, probes, storage)
    codes = [segments[span.segment][span.first : span.stop] for span in spans]
    mine = book.list_numbers(np.concatenate([np.zeros((0, storage.width), np.uint8), *codes]))
    _, found = index.search(queries, 200)
    for query, hits in zip(queries, found, strict=True):
        if not query.any():
            assert (hits == -1).all()
            continue
        nearness = book.rotate(query[None])[0] @ book.coarse_centroids.T
        read = np.argsort(-nearness)[:probes]
        products = rows.vectors(0, len(rows)) @ query if len(rows) else np.zeros(0)
        expected = np.flatnonzero(np.isin(mine, read) & (products > 1e-5))
        assert set(expected) <= set(hits.tolist())
        assert np.isin(mine[hits[hits >= 0]], read).all()


def test_codes_of_a_damaged_file_that_name_no_list_are_passed_over():
    packed = STORAGE.pack(unit_rows(np.random.default_rng(1), 10, silent=0))
    packed[4, :2] = [200, 7]
    rows, index = make({0: packed}, [Span(0, 0, 10)])
    _, found = index.search(rows.vectors(0, 10), 10)
    assert 4 not in found
    assert {*range(10)} - {4} <= set(found[:, 0].tolist()) | {4}


def test_choice_by_size_and_name():
    rng = np.random.default_rng(0)
    vectors = unit_rows(rng, 30)
    packed = STORAGE.pack(vectors)
    spans, lists = [Span(7, 0, 30)], {}

    def chosen(name, storage, part, exact_rows=None):
        rows = Rows([part], storage)
        return type(make_index(name, rows, spans, {7: part}, lists, exact_rows=exact_rows)).__name__

    assert chosen("auto", STORAGE, packed) == "ExactIndex"
    assert not lists
    assert chosen("auto", STORAGE, packed, exact_rows=29) == "InvertedIndex"
    assert list(lists) == [7]
    kept = lists[7]
    assert chosen("inverted", STORAGE, packed) == "InvertedIndex"
    assert lists[7] is kept
    assert chosen("exact", STORAGE, packed) == "ExactIndex"
    half = vectors.astype(np.float16)
    assert chosen("auto", HalfStorage(16), half) == "ExactIndex"
    assert chosen("lsh", HalfStorage(16), half) == "LshIndex"
    with pytest.raises(LibraryError, match="half precision"):
        chosen("inverted", HalfStorage(16), half)


def test_rows_refuse_parts_of_another_kind():
    with pytest.raises(ValueError, match="does not hold compact rows"):
        Rows([np.zeros((3, 16), np.float16)], STORAGE)
    rows = Rows([STORAGE.pack(unit_rows(np.random.default_rng(0), 3))], STORAGE)
    for wrong in ([3], [-1]):
        with pytest.raises(IndexError, match="out of bounds"):
            rows.take(np.array(wrong))


def test_a_map_whose_pages_were_released_reads_the_same(tmp_path):
    packed = STORAGE.pack(unit_rows(np.random.default_rng(0), 5000))
    (tmp_path / "rows").write_bytes(packed.tobytes())
    mapped = np.asarray(np.memmap(tmp_path / "rows", np.uint8, "r", shape=packed.shape))
    assert np.array_equal(mapped, packed)
    release_pages(mapped)
    assert np.array_equal(mapped, packed)
    release_pages(packed)  # no map: nothing happens
    assert np.array_equal(mapped, packed)


def test_lists_are_no_longer_than_their_codes_in_blocks_of_rows():
    lists = SegmentLists(
        STORAGE.pack(unit_rows(np.random.default_rng(2), 3000, silent=0.1)), STORAGE.codebook
    )
    index = lists._index
    blocks = [-(-index.get_list_size(number) // index.bbs) for number in range(index.nlist)]
    assert lists._codes.size == sum(blocks) * index.bbs * STORAGE.codebook.n_subquantizers
    assert lists._codes.ctypes.data % 32 == index.bbs * STORAGE.codebook.n_subquantizers % 32 == 0
    assert sum(index.get_list_size(number) for number in range(index.nlist)) == index.ntotal


def test_threads_of_faiss_are_as_many_after_lists_are_built_and_searched_as_before():
    import faiss

    before = faiss.omp_get_max_threads()
    try:
        faiss.omp_set_num_threads(3)
        rows = unit_rows(np.random.default_rng(2), 30)
        lists = SegmentLists(STORAGE.pack(rows), STORAGE.codebook)
        assert faiss.omp_get_max_threads() == 3
        rotated = STORAGE.codebook.rotate(rows[:2])
        lists.search(rotated, 4, lists.nearest(rotated, 2), None)
        assert faiss.omp_get_max_threads() == 3
    finally:
        faiss.omp_set_num_threads(before)


@pytest.mark.parametrize("there", [[], [2], [0, 1, 2, 3, 4]])
def test_lists_of_many_segments_are_made_side_by_side_and_once(there):
    rng = np.random.default_rng(5)
    segments = {number: STORAGE.pack(unit_rows(rng, 300 + number)) for number in range(5)}
    spans = [Span(number, 3, len(part)) for number, part in segments.items()]
    rows = Rows([segments[span.segment][span.first : span.stop] for span in spans], STORAGE)
    lists = {number: SegmentLists(segments[number], STORAGE.codebook) for number in there}
    before = dict(lists)
    index = make_index("inverted", rows, spans, segments, lists)
    assert sorted(lists) == sorted(segments)
    assert all(lists[number] is made for number, made in before.items())
    queries = unit_rows(rng, 20, silent=0.0)
    scores, found = index.search(queries, 12)
    expected, right = make(segments, spans)[1].search(queries, 12)
    assert np.array_equal(scores, expected)
    assert np.array_equal(found, right)
