import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earprint.errors import ModelError
from earprint.quantization.codebook import SILENT_LIST, read_codebook, write_codebook
from earprint.quantization.storage import CompactStorage, HalfStorage
from helpers.codebooks import random_codebook, unit_rows


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(0, 30),
    pieces=st.sampled_from([1, 3, 4, 16]),
    seed=st.integers(0, 99),
    residual=st.booleans(),
)
def test_codes_name_the_nearest_centroids_and_list(n, pieces, seed, residual):
    rng = np.random.default_rng(seed)
    book = random_codebook(pieces=pieces, seed=seed, residual=residual)
    rows = unit_rows(rng, n)
    codes = book.encode(rows)
    assert codes.shape == (n, 2 + pieces)
    rotated = rows @ book.rotation
    for row, vector, code in zip(rows, rotated, codes, strict=True):
        number = int(code[0]) + 256 * int(code[1])
        if not row.any():
            assert number == SILENT_LIST
            assert not code[2:].any()
            continue
        products = book.coarse_centroids @ vector
        assert products[number] == pytest.approx(products.max(), abs=1e-6)
        left = vector - book.coarse_centroids[number] if residual else vector
        for piece, part in enumerate(left.reshape(pieces, -1)):
            distances = ((book.centroids[piece] - part) ** 2).sum(axis=1)
            assert distances[code[2 + piece]] == pytest.approx(distances.min(), abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(n=st.integers(0, 30), seed=st.integers(0, 99), residual=st.booleans())
def test_decoding_gives_the_centroids_over_the_gain_or_in_unit_length(n, seed, residual):
    book = random_codebook(seed=seed, residual=residual)
    rows = unit_rows(np.random.default_rng(seed), n)
    codes = book.encode(rows)
    expected, over_gain = np.zeros((2, n, 16), np.float32)
    for i in np.flatnonzero(rows.any(axis=1)):
        chosen = np.concatenate([book.centroids[p, codes[i, 2 + p]] for p in range(4)])
        if residual:
            chosen += book.coarse_centroids[book.list_numbers(codes[i : i + 1])[0]]
        over_gain[i] = book.rotation @ chosen / book.gain
        expected[i] = book.rotation @ chosen / np.linalg.norm(chosen) if residual else over_gain[i]
    assert np.allclose(book.decode(codes), expected, atol=1e-5)
    assert np.allclose(book.decode_rotated(codes), book.rotate(over_gain), atol=5e-3)


def test_encoding_in_blocks_changes_nothing():
    book, rows = random_codebook(), unit_rows(np.random.default_rng(0), 50)
    assert np.array_equal(book.encode(rows, block_rows=7), book.encode(rows))


@pytest.mark.parametrize("residual", [False, True])
def test_a_written_codebook_reads_back_the_same(tmp_path, residual):
    book = random_codebook(thresholds={1.0: 0.6, 5.0: 0.4}, residual=residual)
    read = write_codebook(tmp_path / "m.codebook.npz", book)
    assert read.model_id == book.model_id
    assert read.thresholds == book.thresholds
    assert read.gain == book.gain
    assert read.residual == residual
    for name in ("rotation", "centroids", "coarse_centroids"):
        assert np.array_equal(getattr(read, name), getattr(book, name))
    assert read.digest == book.digest == read_codebook(tmp_path / "m.codebook.npz").digest
    # Codes do not depend on thresholds, so neither does what a library remembers.
    assert random_codebook(thresholds={2.0: 0.5}, residual=residual).digest == book.digest
    assert random_codebook(seed=1).digest != book.digest


@pytest.mark.parametrize("damage", ["empty", "cut", "text", "shape", "version"])
def test_a_damaged_codebook_is_named(tmp_path, damage):
    file = tmp_path / "m.codebook.npz"
    write_codebook(file, random_codebook())
    content = file.read_bytes()
    if damage == "empty":
        file.write_bytes(b"")
    elif damage == "cut":
        file.write_bytes(content[: len(content) // 2])
    elif damage == "text":
        file.write_text("no codebook")
    else:
        with np.load(file) as arrays:
            kept = dict(arrays)
        header = json.loads(kept["header"].tobytes())
        if damage == "shape":
            kept["centroids"] = kept["centroids"][:, :100]
        else:
            header["version"] = 99
        kept["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
        np.savez(file, **kept)
    with pytest.raises(ModelError, match=r"m\.codebook\.npz.*(make it again|upgrade)"):
        read_codebook(file)


def test_a_codebook_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(ModelError, match="cannot be written"):
        write_codebook(tmp_path / "nowhere" / "m.codebook.npz", random_codebook())


@pytest.mark.parametrize("storage", [HalfStorage(16), CompactStorage(random_codebook())])
def test_silence_stays_silence_in_any_storage(storage):
    rows = unit_rows(np.random.default_rng(3), 20, silent=0.5)
    packed = storage.pack(rows)
    assert packed.shape == (20, storage.width)
    assert packed.dtype == storage.dtype
    unpacked = storage.unpack(packed)
    assert unpacked.dtype == np.float32
    assert np.array_equal(unpacked.any(axis=1), rows.any(axis=1))


def test_storages_have_keys_of_their_own():
    assert HalfStorage(16).key == "half"
    book = random_codebook()
    assert CompactStorage(book).key == f"compact-{book.digest}"
