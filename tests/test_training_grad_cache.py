"""The cached two-pass step gives the gradient of the whole batch, and norms remember each input once."""

import copy

import pytest

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'earprint[train]'")
from torch import nn  # noqa: E402

from earprint.training.grad_cache import backward_of_batch, running_statistics_kept  # noqa: E402
from earprint.training.losses import loss_named  # noqa: E402
from earprint.training.networks import DenseNetwork, NafpNetwork  # noqa: E402

CLIPS = 7


class ThinNafp(NafpNetwork):
    CHANNELS = (4, 4, 4, 8, 8, 8, 16, 32)


def segments(seed, n=96):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(CLIPS, n, 64, generator=generator, dtype=torch.float64)


def gradients(network, sides, loss, chunk):
    """Loss and every gradient, in float64, which autocast leaves alone; the network is not changed."""
    network = copy.deepcopy(network)
    value = backward_of_batch(network, *sides, loss, chunk)
    return float(value), {name: p.grad for name, p in network.named_parameters()}, network


def rows(criterion):
    return lambda d, c: criterion(d.flatten(0, -2)[:, None], c.flatten(0, -2)[:, None], 0, 1)


@pytest.fixture(scope="module", params=["nafp", "dense"])
def case(request):
    """A network whose clips do not touch each other, and two sides of a batch."""
    torch.manual_seed(1)
    if request.param == "nafp":  # layer norms only
        return ThinNafp(dim=16, branch=2).double().train(), (segments(1), segments(2))
    network = DenseNetwork(channels=(2, 4, 4, 4, 8), dim=16, branch=2).double()
    for module in network.modules():  # frozen norms, with statistics that are not those of the start
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean += 0.1
            module.running_var *= 2.0
    return network.eval(), (segments(1, 151), segments(2, 151))


@pytest.mark.parametrize("name", ["nt-xent", "triplet"])
@pytest.mark.parametrize("chunk", [1, 3, 6])
def test_chunks_give_the_gradient_of_the_whole_batch(case, name, chunk):
    network, sides = case
    loss = rows(loss_named(name, 0.1, 0.5))
    value, expected, _ = gradients(network, sides, loss, 0)
    got_value, got, _ = gradients(network, sides, loss, chunk)
    assert got_value == pytest.approx(value, rel=1e-6)
    largest = max(float(gradient.abs().max()) for gradient in expected.values())
    for key, gradient in expected.items():
        torch.testing.assert_close(got[key], gradient, rtol=1e-5, atol=1e-5 * largest)


def test_one_pass_is_what_autograd_says(case):
    network, sides = case
    loss = rows(loss_named("nt-xent", 0.1, 0.5))
    value, got, _ = gradients(network, sides, loss, 0)
    other = copy.deepcopy(network)
    plain = loss(other(sides[0]), other(sides[1]))
    plain.backward()
    assert value == pytest.approx(plain.item(), rel=1e-6)
    for key, parameter in other.named_parameters():
        torch.testing.assert_close(got[key], parameter.grad, rtol=1e-5, atol=1e-7)


def test_adding_up_small_batches_is_something_else(case):
    network, sides = case
    loss = rows(loss_named("nt-xent", 0.1, 0.5))
    _, expected, _ = gradients(network, sides, loss, 0)
    _, small, _ = gradients(network, [side[:3] for side in sides], loss, 0)
    key = next(iter(expected))
    cosine = torch.cosine_similarity(small[key].flatten(), expected[key].flatten(), dim=0)
    assert float(cosine) < 0.99


def test_norms_remember_every_chunk_once():
    torch.manual_seed(1)
    network = DenseNetwork(channels=(2, 4, 4, 4, 8), dim=16, branch=2).double().train()
    sides = segments(1, 151), segments(2, 151)
    loss = rows(loss_named("nt-xent", 0.1, 0.5))
    _, _, after = gradients(network, sides, loss, 3)
    seen = copy.deepcopy(network)
    with torch.no_grad():
        for first in (0, 3, 6):
            seen(sides[0][first : first + 3])
            seen(sides[1][first : first + 3])
    for (name, got), expected in zip(after.named_buffers(), seen.buffers(), strict=True):
        torch.testing.assert_close(got, expected, msg=name)
    assert int(after.stem_norm.num_batches_tracked) == 6


def test_both_passes_normalise_alike():
    norm = nn.BatchNorm2d(3).train()
    x = 5 + torch.randn(4, 3, 5, 6)
    before = copy.deepcopy(norm.state_dict())
    with running_statistics_kept(norm):
        first = norm(x)
    assert all(torch.equal(before[key], value) for key, value in norm.state_dict().items())
    assert norm.track_running_stats
    torch.testing.assert_close(norm(x), first)
    frozen = copy.deepcopy(norm).eval()
    with running_statistics_kept(frozen):
        inside = frozen(x)
    torch.testing.assert_close(frozen(x), inside)
