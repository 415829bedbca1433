"""The networks' shapes, fields of view, sizes, and the attention against a slow loop."""

import numpy as np
import pytest

from earprint.encoders import dense_geometry as geometry
from earprint.errors import TrainingError

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'earprint[train]'")
from earprint.training.networks import (  # noqa: E402
    NETWORKS,
    AttentionNetwork,
    DenseNetwork,
    build_network,
    register_network,
)
from earprint.training.networks.attention import SpectralTemporalAttention  # noqa: E402
from earprint.training.networks.dense import BandAttention, ValidBlock  # noqa: E402
from earprint.training.networks.head import windows_through  # noqa: E402
from helpers.thin_networks import ThinAttention  # noqa: E402


def settled(network):
    """Evaluation mode, after batch norms have seen inputs like the tests'."""
    torch.manual_seed(1)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # a plain average
    with torch.no_grad():
        network.train()(torch.randn(32, 160 if isinstance(network, DenseNetwork) else 96, 64))
    return network.eval().requires_grad_(requires_grad=False)


@pytest.fixture(scope="module")
def dense():
    torch.manual_seed(0)
    return settled(DenseNetwork())


@pytest.fixture(scope="module")
def thin():
    torch.manual_seed(0)
    return settled(ThinAttention())


def test_parameter_counts():
    def count(network):
        return sum(p.numel() for p in network.parameters())

    assert count(DenseNetwork()) == pytest.approx(0.886e6, rel=0.01)
    assert count(AttentionNetwork()) == pytest.approx(19.9e6, rel=0.01)


def test_build_by_name():
    assert isinstance(build_network("dense"), DenseNetwork)
    with pytest.raises(
        TrainingError,
        match="nope: unknown network; use one of attention, dense, dense-attention, dense-distilled, "
        "dense-pair, dense-query, nafp, plain",
    ):
        build_network("nope")


@pytest.mark.parametrize("name", NETWORKS)
def test_the_components_of_a_fingerprint_must_divide_the_heads_width(name):
    with pytest.raises(
        TrainingError, match=f"dim = 100: {name} has no fingerprints of 100 components.*try 64 or 128"
    ):
        build_network(name, 100)
    # The stated width is the largest for which the parts can be built.
    spec = NETWORKS[name]
    for part in ("query", "teacher", "reference", "student"):
        head = getattr(getattr(spec.build(dim=64), part, None), "gather", None)
        assert head is None or head.in_channels % spec.head_width == 0
    if spec.role == "both":
        network = spec.build(dim=64)
        gather = network.gather if spec.encoder == "dense" else network.head.gather
        assert gather.in_channels == spec.head_width


def test_a_network_is_registered_once():
    with pytest.raises(ValueError, match="dense: a network of this name is registered already"):
        register_network("dense", encoder="dense", head_width=128)(DenseNetwork)


def test_the_geometry_is_the_networks():
    """A network of the stated receptive field gives one row, and one more every `STEP_FRAMES`."""
    network = build_network("dense")
    with torch.no_grad():
        for more in range(3):
            frames = geometry.RECEPTIVE_FIELD + more * geometry.STEP_FRAMES
            assert network.eval()(torch.zeros(1, frames, 64)).shape[1] == more + 1
            if more:
                assert network(torch.zeros(1, frames - 1, 64)).shape[1] == more
    assert geometry.RECEPTIVE_FIELD == 147
    assert network.gather.kernel_size == (geometry.HEAD_STEPS,)
    assert geometry.HEAD_STEPS * geometry.STEP_FRAMES == 96


@pytest.mark.parametrize("frames", [147, 148, 150, 151, 260, 333])
def test_dense_length(dense, frames):
    got = dense(torch.randn(2, frames, 64))
    assert got.shape == (2, (frames - 147) // 4 + 1, 128)
    np.testing.assert_allclose(got.norm(dim=2), 1.0, atol=1e-5)


def test_dense_field_of_view(dense):
    """A row sees its window, 25 frames before it and 26 after it, and nothing else."""
    x = torch.randn(1, 147 + 4 * 50, 64, requires_grad=True)
    row = 25
    dense(x)[0, row].sum().backward()
    seen = np.flatnonzero(x.grad[0].abs().sum(dim=1))
    first = row * 4
    assert first <= seen[0] <= first + 4
    assert first + 142 <= seen[-1] <= first + 146
    weight = x.grad[0].abs().sum(dim=1).numpy()
    centre = (weight * np.arange(len(weight))).sum() / weight.sum()
    assert centre == pytest.approx(first + 25 + 47.5, abs=6)


@pytest.mark.parametrize("stride_t", [1, 2])
def test_a_blocks_skip_takes_the_middle_of_what_its_convolutions_see(stride_t):
    def seen(block, row):
        x = torch.rand(1, 2, 8, 40, requires_grad=True)
        block(x)[..., row].sum().backward()
        return np.flatnonzero(x.grad.abs().sum(dim=(0, 1, 2)))

    block = ValidBlock(2, 2, 2, stride_t).eval()
    with torch.no_grad():
        for conv in (block.conv1, block.conv2, block.skip):
            conv.weight.fill_(1.0)
        block.skip.weight.fill_(0.0)
    for row in (0, 5):
        field = seen(block, row)
        with torch.no_grad():
            block.skip.weight.fill_(1.0)
            block.conv2.weight.fill_(0.0)
        assert seen(block, row).tolist() == [(field[0] + field[-1]) / 2]
        with torch.no_grad():
            block.skip.weight.fill_(0.0)
            block.conv2.weight.fill_(1.0)


def test_dense_chunks_equal_one_pass(dense):
    x = torch.randn(1, 147 + 4 * 40, 64)
    whole = dense(x)
    parts = [dense(x[:, 4 * a : 4 * b + 143]) for a, b in ((0, 1), (1, 18), (18, 41))]
    np.testing.assert_allclose(torch.cat(parts, dim=1), whole, atol=1e-5)


def test_dense_moves_with_its_input(dense):
    x = torch.randn(1, 260, 64)
    np.testing.assert_allclose(dense(x)[:, 3:], dense(x[:, 12:]), atol=1e-5)


@pytest.mark.parametrize("name", ["dense", "thin"])
def test_the_batch_around_an_example_changes_nothing(name, request):
    network = request.getfixturevalue(name)
    x = torch.randn(4, 160 if name == "dense" else 96, 64)
    together = network(x)
    alone = torch.cat([network(x[i : i + 1]) for i in range(4)])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert float((together[0] - together[1]).abs().max()) > 1e-3


def test_attention_output(thin):
    got = thin(torch.randn(3, 96, 64))
    assert got.shape == (3, 128)
    np.testing.assert_allclose(got.norm(dim=1), 1.0, atol=1e-5)


def softmax(values):
    e = np.exp(values - values.max())
    return e / e.sum()


def test_attention_mask_equals_a_slow_loop():
    torch.manual_seed(0)
    module = SpectralTemporalAttention(channels=3, n_freq=8, n_time=12).double()
    x = torch.randn(2, 3, 8, 12, dtype=torch.float64)
    spectral, temporal = module.spectral.detach().numpy(), module.temporal.detach().numpy()
    got = module(x).detach().numpy()
    for b in range(2):
        for c in range(3):
            one = x[b, c].numpy()
            over_freq = softmax(np.tanh(one @ spectral[c]))
            over_time = softmax(np.tanh(one.T @ temporal[c]))
            mask = 100 * np.outer(over_freq, over_time)
            np.testing.assert_allclose(got[b, c], one * mask, rtol=1e-10)
            assert (got[b, c] / one).sum() == pytest.approx(100.0)


def test_dense_attention_begins_as_the_network_without(dense):
    torch.manual_seed(0)
    with_attention = DenseNetwork(attention=True)
    known = with_attention.state_dict()
    # Blocks and attentions alternate after the first block.
    moved = {0: 0, 1: 1, 3: 2, 5: 3}
    for key, value in dense.state_dict().items():
        name, _, rest = key.partition(".")
        if name == "blocks":
            number, _, tail = rest.partition(".")
            key = f"blocks.{next(new for new, old in moved.items() if old == int(number))}.{tail}"
        assert key in known
        known[key] = value
    with_attention.load_state_dict(known)
    x = torch.randn(2, 200, 64)
    with torch.no_grad():
        torch.testing.assert_close(with_attention.eval()(x), dense(x), atol=1e-5, rtol=1e-5)


def test_band_attention_is_the_formula():
    torch.manual_seed(0)
    attention = BandAttention(3)
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.randn(1, 3, 4, 2)
    with torch.no_grad():
        got = attention(x)[0].numpy()
        layers = attention.spectral, attention.temporal
        w, v = (layer.weight[:, :, 0, 0].numpy() for layer in layers)
        b, d = (layer.bias.numpy() for layer in layers)
    values = x[0].numpy()
    for t in range(2):
        weights = np.exp(np.tanh(w @ values[:, :, t] + b[:, None]))
        weights /= weights.sum(axis=1, keepdims=True)
        gate = 2 / (1 + np.exp(-(v @ values[:, :, t].mean(axis=1) + d)))
        np.testing.assert_allclose(got[:, :, t], values[:, :, t] * 4 * weights * gate[:, None], atol=1e-5)


@pytest.mark.parametrize("kernel", [1, 24])
def test_matrix_products_are_the_grouped_convolutions(kernel):
    torch.manual_seed(0)
    gather = torch.nn.Conv1d(24, 32, kernel, groups=8)
    project = torch.nn.Conv1d(32, 8, 1, groups=8)
    x = torch.randn(3, 24, 30)
    with torch.no_grad():
        expected = project(torch.nn.functional.elu(gather(x)))
        torch.testing.assert_close(windows_through(x, gather, project), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("shape", [(4, 6), (32, 48)])
def test_attention_of_small_and_large_maps_is_the_same_formula(shape):
    torch.manual_seed(0)
    attention = SpectralTemporalAttention(5, *shape)
    x = torch.randn(2, 5, *shape)
    with torch.no_grad():
        attention.large_map = 0
        products = attention(x)
        attention.large_map = 10**9
        torch.testing.assert_close(attention(x), products, atol=1e-4, rtol=1e-4)
