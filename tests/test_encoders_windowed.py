"""The paper's windowed encoder: full-scale decibels, and a random network of the paper's shape, exported."""

import numpy as np
import pytest

from earprint.encoders.windowed import DECIBELS_PER_NEPER, FRONT_END, decibels_of_full_scale
from earprint.features import PAPER_FRONT_END
from earprint.synth.composer import compose


@pytest.fixture(scope="module")
def music():
    return compose(5, 7.0)[:80_000]


@pytest.mark.parametrize("peak", [0.05, 0.3, 1.5])
def test_decibels_equal_those_of_normalised_audio(music, peak):
    samples = music * np.float32(peak / np.abs(music).max())
    got = decibels_of_full_scale(FRONT_END.log_mel(samples), peak)
    direct = DECIBELS_PER_NEPER * PAPER_FRONT_END.log_mel(samples / np.float32(peak))
    assert got.dtype == np.float32
    # Single precision leaves the emptiest bands their rounding noise.
    np.testing.assert_allclose(got, direct, atol=2e-3 if peak > 0.1 else 2e-2)
    assert (direct > -100.0).mean() > 0.9


def test_decibels_of_a_full_scale_sine():
    n = np.arange(16_000)
    sine = np.sin(2 * np.pi * 1_000 * n / 16_000).astype(np.float32)
    got = decibels_of_full_scale(PAPER_FRONT_END.log_mel(0.01 * sine), 0.01)[20:-20]
    # Two neighbouring bands share the line; a Hann window's bins hold (n_fft / 4)^2 (1 + 2 / 4).
    total = 10 * np.log10((10 ** (got / 10)).sum(axis=1))
    np.testing.assert_allclose(total, 20 * np.log10(512 / 4) + 10 * np.log10(1.5), atol=0.5)


def test_decibels_of_silence_are_the_floor():
    log_mel = PAPER_FRONT_END.log_mel(np.zeros(2_000, np.float32))
    np.testing.assert_allclose(decibels_of_full_scale(log_mel, 0.0), -100.0, atol=1e-4)
    assert decibels_of_full_scale(log_mel, 100.0).min() == -100.0


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A random network of the paper's shape with few channels: torch module, encoder and report."""
    torch = pytest.importorskip("torch", reason="export needs torch: pip install 'earprint[train]'")
    pytest.importorskip("onnx", reason="export needs onnx: pip install 'earprint[train]'")
    pytest.importorskip("onnxscript", reason="export needs onnxscript: pip install 'earprint[train]'")
    from earprint.encoders import load_encoder
    from earprint.training.export import export_network
    from earprint.training.networks import AttentionNetwork

    class ThinAttention(AttentionNetwork):
        CHANNELS = (8, 8, 8, 16, 16, 32, 64)

    torch.manual_seed(0)
    network = ThinAttention()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    seen = DECIBELS_PER_NEPER * PAPER_FRONT_END.log_mel(compose(1, 32.0))
    with torch.no_grad():
        network.train()(torch.from_numpy(seen[: 96 * 33].reshape(-1, 96, 64).astype(np.float32)))
    path = tmp_path_factory.mktemp("model") / "paper.onnx"
    card = {"name": "paper", "network": "attention", "dim": 128, "threshold": {"1": 0.8, "5": 0.6}}
    report = export_network(network, path, card)
    return network.eval(), load_encoder(str(path), threads=1), report


EXPORT = pytest.mark.filterwarnings("ignore")  # the exporter's own


@EXPORT
@pytest.mark.slow
def test_torch_and_onnx_agree(model):
    assert model[2].difference < 1e-4
    assert model[2].rounding_cosine > 0.9999


@EXPORT
@pytest.mark.parametrize(("n", "rows"), [(0, 1), (1, 1), (8_000, 1), (15_360, 1), (16_959, 1), (16_960, 2),
                                         (48_000, 21), (80_000, 41)])  # fmt: skip
def test_windows_and_grid(model, music, n, rows):
    encoder = model[1]
    for query in (False, True):
        got = encoder.encode([music[:n]], query=query)
        assert got.vectors.shape == (rows, 128)
        assert got.vectors.dtype == np.float32
        assert got.hop_s == encoder.reference_hop_s == encoder.query_hop_s == 0.1
        assert got.duration_s == n / 16_000
    if n > 1:
        np.testing.assert_allclose(np.linalg.norm(got.vectors, axis=1), 1.0, atol=1e-5)
    if n == 0:
        assert got.silent.all()


@EXPORT
def test_each_window_by_itself_in_torch(model, music):
    import torch

    network, encoder, _ = model
    peak = float(np.abs(music).max())
    decibels = DECIBELS_PER_NEPER * PAPER_FRONT_END.log_mel(music / np.float32(peak))
    vectors = encoder.encode([music]).vectors
    for row in (0, 1, 17, 40):
        window = torch.from_numpy(decibels[10 * row : 10 * row + 96].astype(np.float32))
        with torch.no_grad():
            expected = network(window[None])[0].numpy()
        # The weights were rounded to half precision on the way.
        np.testing.assert_allclose(vectors[row], expected, atol=5e-3)
        assert vectors[row] @ expected > 0.9999
    assert vectors[0] @ vectors[17] < 0.9999


@EXPORT
def test_peak_makes_no_difference(model, music):
    vectors = model[1].encode([music]).vectors
    quiet = model[1].encode([music * np.float32(0.1)]).vectors
    assert (vectors * quiet).sum(axis=1).min() > 0.999


@EXPORT
def test_blocks_and_batches_make_no_difference(model, music):
    long = np.concatenate((music, music[::-1]))
    encoder = model[1]
    vectors = encoder.encode([long]).vectors
    assert len(vectors) == 91  # more than one batch
    blocks = np.split(long, [1, 777, 20_001, 100_003])
    np.testing.assert_allclose(encoder.encode(blocks).vectors, vectors, atol=1e-5)


@EXPORT
def test_silence_keeps_its_place(model, music):
    gap = music.copy()
    gap[16_000:48_000] = 0.0
    got = model[1].encode([gap])
    np.testing.assert_array_equal(np.flatnonzero(got.silent), np.arange(10, 21))
    whole = model[1].encode([music]).vectors
    np.testing.assert_allclose(got.vectors[31:], whole[31:], atol=1e-4)
