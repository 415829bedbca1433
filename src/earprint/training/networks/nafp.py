"""The paper's baseline: the encoder of NAFP (Chang et al. 2021, "Neural audio fingerprint", section 2.2).

Eight blocks, as in Google's Now Playing, then the split head. A block is a 1x3 convolution over time and a
3x1 convolution over frequency; an ELU and a layer norm over the whole map follow each. Channels and strides
are NAFP's. The input is this project's 64 x 96 segment; NAFP's is 256 x 32.
"""

from torch import Tensor, nn
from torch.nn import functional

from earprint.constants import N_MELS, SEGMENT_FRAMES
from earprint.training.networks.head import SegmentNetwork
from earprint.training.networks.registry import register_network

LEVEL_DB = -30.0
"""Subtracted from the input, in decibels: a common level of music in a mel band."""

SPREAD_DB = 30.0
"""The input is divided by this, in decibels: an ELU saturates on large inputs."""


class SeparableBlock(nn.Module):
    """conv 1x3, ELU, layer norm, conv 3x1, ELU, layer norm.

    Input (batch, c_in, F, T); output (batch, c_out, F / 2, T / stride_time), rounded up.
    """

    def __init__(self, c_in: int, c_out: int, n_freq: int, n_time: int, stride_time: int) -> None:
        super().__init__()
        self.n_freq, self.n_time = -(-n_freq // 2), -(-n_time // stride_time)
        self.conv_time = nn.Conv2d(c_in, c_out, (1, 3), (1, stride_time), (0, 1))
        self.norm_time = nn.LayerNorm((c_out, n_freq, self.n_time))
        self.conv_freq = nn.Conv2d(c_out, c_out, (3, 1), (2, 1), (1, 0))
        self.norm_freq = nn.LayerNorm((c_out, self.n_freq, self.n_time))

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block."""
        x = self.norm_time(functional.elu(self.conv_time(x)))
        out: Tensor = self.norm_freq(functional.elu(self.conv_freq(x)))
        return out


@register_network("nafp", encoder="windowed", head_width=2048, channels_last=False)
class NafpNetwork(SegmentNetwork):
    """The paper's baseline, NAFP (Chang et al. 2021), which fingerprints segments of 960 ms.

    See `SegmentNetwork` for its parameters, inputs and outputs.
    """

    CHANNELS = (128, 128, 256, 256, 512, 512, 1024, 1024)
    STRIDES_TIME = (2, 2, 2, 2, 1, 2, 1, 2)

    def build_blocks(self) -> tuple[nn.Sequential, int]:
        """Make the blocks."""
        n_freq, n_time, width = N_MELS, SEGMENT_FRAMES, 1
        layers = []
        for out, stride_time in zip(self.CHANNELS, self.STRIDES_TIME, strict=True):
            block = SeparableBlock(width, out, n_freq, n_time, stride_time)
            layers.append(block)
            n_freq, n_time, width = block.n_freq, block.n_time, out
        return nn.Sequential(*layers), width * n_freq * n_time

    def prepare(self, x: Tensor) -> Tensor:
        """Scale decibels to about -1 to 1."""
        return (x - LEVEL_DB) / SPREAD_DB
