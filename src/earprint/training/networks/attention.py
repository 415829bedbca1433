"""The paper's network: a residual CNN with channel-wise spectral-temporal attention (section 2.3).

It sees one 64 x 96 log-mel segment at a time. The paper leaves some details open; they follow the authors'
later publications: six residual blocks, two attention modules in each, a split head. `PlainNetwork` has no
attention, for the paper's ablation (table 6).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from earprint.constants import N_MELS, SEGMENT_FRAMES
from earprint.training.networks.head import SegmentNetwork
from earprint.training.networks.registry import register_network

MASK_SCALE = 100.0
"""The paper's scaling factor of the attention mask (table 2)."""

LARGE_MAP = 256
"""Default size of a channel's map, F x T, from which attention on a CPU uses matrix products."""


class SpectralTemporalAttention(nn.Module):
    """Reweigh each channel's map by the outer product of its attention over frequency and over time.

    For channel c of a map X (F x T), with learnable vectors ``spectral[c]`` (T) and ``temporal[c]`` (F):
    ``a_F = softmax_F tanh(X[c] spectral[c])``, ``a_T = softmax_T tanh(X[c]^T temporal[c])``, and the
    output is ``100 X[c] * outer(a_F, a_T)`` (paper, equations 2 to 5).

    Parameters
    ----------
    channels, n_freq, n_time : int
        C, F and T of the maps.
    large_map : int
        Maps of at least this many values use matrix products on a CPU; smaller ones a product and a sum.
    """

    def __init__(self, channels: int, n_freq: int, n_time: int, large_map: int = LARGE_MAP) -> None:
        super().__init__()
        self.large_map = large_map
        self.spectral = nn.Parameter(torch.randn(channels, n_time) / n_time**0.5)
        self.temporal = nn.Parameter(torch.randn(channels, n_freq) / n_freq**0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Apply to (batch, channels, F, T)."""
        # The softmax runs in float32 at least.
        exact = torch.promote_types(x.dtype, torch.float32)
        spectral, temporal = self.spectral.to(x.dtype), self.temporal.to(x.dtype)
        if x.shape[2] * x.shape[3] >= self.large_map and not x.is_cuda:
            # A product and a sum would write the whole map to memory twice.
            by_freq = torch.matmul(x, spectral[:, :, None]).squeeze(3)
            by_time = torch.matmul(temporal[:, None, :], x).squeeze(2)
        else:  # many tiny matrix products are slower, and on a GPU all of these are tiny
            by_freq = (x * spectral[:, None, :]).sum(dim=3)
            by_time = (x * temporal[:, :, None]).sum(dim=2)
        over_freq = MASK_SCALE * by_freq.to(exact).tanh().softmax(dim=2)
        over_time = by_time.to(exact).tanh().softmax(dim=2)
        return x * over_freq[..., None].to(x.dtype) * over_time[:, :, None, :].to(x.dtype)


class ResidualBlock(nn.Module):
    """conv, norm, ReLU, attention, conv, norm, + skip, ReLU, attention; attention is optional."""

    def __init__(
        self, c_in: int, c_out: int, stride: int, n_freq: int, n_time: int, *, attention: bool
    ) -> None:
        super().__init__()

        def reweigh() -> nn.Module:
            return SpectralTemporalAttention(c_out, n_freq, n_time) if attention else nn.Identity()

        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(c_out)
        self.attention1 = reweigh()
        self.conv2 = nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(c_out)
        self.skip: nn.Module = nn.Identity()
        if stride != 1 or c_in != c_out:
            self.skip = nn.Conv2d(c_in, c_out, 1, stride, bias=False)
        self.attention2 = reweigh()

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block."""
        y = self.attention1(functional.relu(self.norm1(self.conv1(x))))
        y = self.norm2(self.conv2(y))
        out: Tensor = self.attention2(functional.relu(y + self.skip(x)))
        return out


@register_network("attention", encoder="windowed", head_width=6144)
class AttentionNetwork(SegmentNetwork):
    """The network of the ISMIR 2022 paper, which fingerprints segments of 960 ms.

    See `SegmentNetwork` for its parameters, inputs and outputs.
    """

    CHANNELS = (32, 32, 64, 128, 256, 512, 1024)
    ATTENTION = True

    def build_blocks(self) -> tuple[nn.Sequential, int]:
        """Make the stem and the residual blocks."""
        stem, *blocks = self.CHANNELS
        self.stem = nn.Conv2d(1, stem, 3, 1, 1, bias=False)
        self.stem_norm = nn.BatchNorm2d(stem)
        n_freq, n_time, width = N_MELS, SEGMENT_FRAMES, stem
        layers = []
        for number, out in enumerate(blocks):
            stride = 1 if number == 0 else 2
            n_freq, n_time = -(-n_freq // stride), -(-n_time // stride)
            layers.append(ResidualBlock(width, out, stride, n_freq, n_time, attention=self.ATTENTION))
            width = out
        return nn.Sequential(*layers), width * n_freq * n_time

    def prepare(self, x: Tensor) -> Tensor:
        """Apply the stem."""
        return functional.relu(self.stem_norm(self.stem(x)))


@register_network("plain", encoder="windowed", head_width=6144)
class PlainNetwork(AttentionNetwork):
    """The network of the paper without attention."""

    ATTENTION = False
