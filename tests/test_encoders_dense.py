"""The dense encoder: what holds whatever its weights have learned."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from earprint.encoders import load_encoder
from earprint.encoders.dense import DenseEncoder
from earprint.encoders.model_file import open_model
from earprint.encoders.registry import find_model
from earprint.errors import ModelError
from earprint.synth.composer import compose


def variant(folder, name, *, query=False, **changes):
    """The shipped network, or that for queries, with another card."""
    model = find_model("dense")
    model = model.query_model() if query else model
    path = folder / f"{name}.onnx"
    path.write_bytes(model.path.read_bytes())
    path.with_suffix(".json").write_text(json.dumps({**model.card, **changes}))
    return path


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """Every second row of a reference, and no windows beyond a query."""
    folder = tmp_path_factory.mktemp("model")
    return load_encoder(str(variant(folder, "plain", query_beyond_steps=0, reference_steps=2)))


@pytest.fixture(scope="module")
def music():
    """Ten seconds of a piece, without its end, which fades out."""
    return compose(3, 11.0)[:160_000]


def encode(encoder, samples, *, query=False):
    return encoder.encode([samples], query=query)


def rows(n, hop):
    """Rows of n samples: every place of a 960 ms window in n // 160 frames, but one at least."""
    frames = max(96, n // 160)
    return len(range(0, frames - 96 + 1, hop))


@pytest.mark.parametrize("n", [1, 100, 8_000, 15_360, 15_999, 16_000, 16_639, 16_640, 160_000])
def test_shapes_and_types(encoder, music, n):
    for query, hop in ((False, 8), (True, 4)):
        got = encode(encoder, music[2_000 : 2_000 + n] if n < 160_000 else music, query=query)
        assert got.vectors.shape == (rows(n, hop), 128)
        assert got.vectors.dtype == np.float32
        assert got.hop_s == pytest.approx(hop / 100)
        assert got.duration_s == n / 16_000
        np.testing.assert_allclose(got.times_s, np.arange(rows(n, hop)) * hop / 100)


def test_no_samples_give_one_silent_row(encoder):
    for blocks in ([], [np.zeros(0, np.float32)]):
        got = encoder.encode(blocks)
        assert got.vectors.shape == (1, 128)
        assert got.silent.all()
        assert got.duration_s == 0


def test_rows_are_unit_vectors(encoder, music):
    vectors = encode(encoder, music, query=True).vectors
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


def test_rows_tell_places_apart(encoder, music):
    vectors = encode(encoder, music).vectors
    similarity = vectors[::24] @ vectors[::24].T
    assert np.abs(similarity[np.triu_indices(len(similarity), 1)]).max() < 0.999


def test_grids_are_whole_multiples(encoder):
    assert (encoder.reference_hop_s, encoder.query_hop_s) == (0.08, 0.04)


@pytest.mark.parametrize(
    ("n", "chunk_frames"),
    [(15_360, 147), (30_000, 147), (15_360, 400), (40_000, 400), (156_137, 400), (156_137, 401)],
)
def test_chunks_give_what_one_pass_gives(encoder, music, n, chunk_frames):
    chunked = DenseEncoder(encoder.model, threads=1, chunk_frames=chunk_frames)
    sizes = np.cumsum(np.random.default_rng(n).integers(1, 9_001, 60))
    blocks = np.split(music[:n], sizes[sizes < n])
    got = chunked.encode(blocks, query=True).vectors
    np.testing.assert_allclose(got, encode(encoder, music[:n], query=True).vectors, atol=1e-5)


def test_longer_than_one_chunk(encoder, music):
    twice = np.concatenate((music, music[::-1], music))
    got = encode(encoder, twice).vectors
    assert got.shape == (rows(480_000, 8), 128)
    whole = DenseEncoder(encoder.model, chunk_frames=4_000)
    np.testing.assert_allclose(got, whole.encode([twice]).vectors, atol=1e-5)


def test_references_are_every_second_query_row(encoder, music):
    query = encode(encoder, music, query=True).vectors
    np.testing.assert_array_equal(encode(encoder, music).vectors, query[::2])
    # Chunks of three rows begin on either parity.
    odd = DenseEncoder(encoder.model, chunk_frames=155)
    np.testing.assert_allclose(odd.encode([music]).vectors, query[::2], atol=1e-5)


@pytest.mark.parametrize("steps", [1, 5])
def test_a_shift_by_hops_shifts_the_rows(encoder, music, steps):
    vectors = encode(encoder, music).vectors
    later = encode(encoder, music[1_280 * steps :]).vectors
    # A row sees 0.25 s before its window, and the normalisation there one second more.
    np.testing.assert_allclose(later[16:], vectors[16 + steps :], atol=1e-4)


def test_silence_keeps_its_place(encoder, music):
    gap = music.copy()
    gap[48_000:96_000] = 0.0
    got = encode(encoder, gap, query=True)
    # Windows of 960 ms inside [3 s, 6 s).
    np.testing.assert_array_equal(np.flatnonzero(got.silent), np.arange(75, 127))
    assert (got.vectors[75:127] == 0).all()
    norms = np.linalg.norm(got.vectors[~got.silent], axis=1)
    np.testing.assert_allclose(norms, 1.0, atol=1e-5)
    # Away from the gap nothing has moved.
    whole = encode(encoder, music, query=True).vectors
    np.testing.assert_allclose(got.vectors[:15], whole[:15], atol=1e-4)
    np.testing.assert_allclose(got.vectors[-40:], whole[-40:], atol=1e-4)


def test_only_silence(encoder):
    got = encode(encoder, np.zeros(50_000, np.float32))
    assert got.silent.all()
    assert got.vectors.shape == (rows(50_000, 8), 128)


@pytest.mark.parametrize("gain_db", [-20.0, 6.0])
def test_a_gain_changes_nothing(encoder, music, gain_db):
    vectors = encode(encoder, music).vectors
    other = encode(encoder, music * np.float32(10 ** (gain_db / 20))).vectors
    assert (vectors * other).sum(axis=1).min() > 0.999


def test_float64_and_strided_blocks(encoder, music):
    expected = encode(encoder, music[:40_000]).vectors
    strided = np.stack((music[:40_000], music[:40_000]), axis=1)[:, 0]
    np.testing.assert_array_equal(encode(encoder, strided).vectors, expected)
    np.testing.assert_array_equal(encode(encoder, music[:40_000].astype(np.float64)).vectors, expected)


def test_samples_are_left_alone(encoder, music):
    before = music.copy()
    encode(encoder, music)
    np.testing.assert_array_equal(music, before)


def test_threads_do_not_disturb_each_other(encoder, music):
    pieces = [music[i * 20_000 : i * 20_000 + 60_000] for i in range(5)]
    expected = [encode(encoder, piece).vectors for piece in pieces]
    with ThreadPoolExecutor(2) as pool:
        got = list(pool.map(lambda piece: encode(encoder, piece).vectors, pieces * 2))
    for vectors, right in zip(got, expected * 2, strict=True):
        np.testing.assert_array_equal(vectors, right)


@pytest.fixture(scope="module")
def reaching(tmp_path_factory):
    """The same network with a card that asks for windows beyond the query and a sparser grid."""
    path = variant(tmp_path_factory.mktemp("model"), "reaching", query_beyond_steps=12, reference_steps=8)
    return DenseEncoder(open_model(path), threads=1, chunk_frames=300)


def test_windows_beyond_the_query(tmp_path, music):
    # Rows beyond are asked of the queries' network, which alone has learned them.
    encoder, reaching = (
        DenseEncoder(open_model(variant(tmp_path, f"{n}", query=True, query_beyond_steps=n)), threads=1)
        for n in (0, 12)
    )
    samples = music[:48_000]
    plain, more = (one.encode([samples], query=True) for one in (encoder, reaching))
    assert (plain.margin_rows, more.margin_rows) == (0, 12)
    assert len(more.vectors) == len(plain.vectors) + 24
    np.testing.assert_allclose(more.vectors[12:-12], plain.vectors, atol=2e-5)
    np.testing.assert_allclose(more.times_s[[0, 12]], [-0.48, 0.0], atol=1e-9)
    # A row beyond the ends is that of the same audio with silence around it.
    quiet = np.zeros(12 * 640, np.float32)
    around = encoder.encode([np.concatenate((quiet, samples, quiet))], query=True)
    beyond = np.r_[0:12, len(more.vectors) - 12 : len(more.vectors)]
    alike = (around.vectors[: len(more.vectors)] * more.vectors).sum(axis=1)
    assert alike[beyond].min() > 0.5
    assert more.duration_s == plain.duration_s


def test_a_sparser_reference_grid_keeps_some_of_the_rows(encoder, reaching, music):
    every_second, every_eighth = (one.encode([music]) for one in (encoder, reaching))
    assert every_eighth.hop_s == reaching.reference_hop_s == pytest.approx(0.32)
    np.testing.assert_allclose(every_eighth.vectors, every_second.vectors[::4], atol=2e-5)


@pytest.mark.parametrize("chunk_frames", [147, 160, 300, 2048])
def test_every_chunk_begins_on_the_reference_grid(encoder, reaching, music, chunk_frames):
    expected = encode(encoder, music, query=True).vectors[::8]
    chunked = DenseEncoder(reaching.model, threads=1, chunk_frames=chunk_frames)
    np.testing.assert_allclose(chunked.encode([music]).vectors, expected, atol=1e-5)


def test_a_query_shorter_than_a_window_reaches_beyond_it(reaching, music):
    short = reaching.encode([music[:8000]], query=True)
    assert len(short.vectors) == 25
    assert reaching.encode([np.zeros(0, np.float32)], query=True).silent.all()


@pytest.mark.parametrize("value", [0, "2", 1.5])
def test_a_card_with_an_impossible_grid(tmp_path, value):
    path = variant(tmp_path, "odd", reference_steps=value)
    with pytest.raises(ModelError, match=r"odd\.json: reference_steps is .* export the model again"):
        DenseEncoder(open_model(path))


def test_the_shipped_model_has_both_grids():
    shipped = load_encoder("dense")
    assert (shipped.query_hop_s, shipped.reference_hop_s) == (0.04, 0.32)
    assert shipped.encode([np.ones(16_000, np.float32)], query=True).margin_rows == 12
