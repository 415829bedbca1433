"""The paper's baseline: the encoder of NAFP (Chang et al. 2021, "Neural audio fingerprint", section 2.2).

Eight blocks after Google's Now Playing, each a 1x3 convolution over time and a 3x1 convolution over
frequency with an ELU and a layer norm over the whole map after each, then the split head. Channels and
strides are NAFP's; the input is this project's 64 x 96 segment where NAFP has 256 x 32.
"""

from torch import Tensor, nn
from torch.nn import functional

from earprint.constants import FINGERPRINT_DIM, N_MELS, SEGMENT_FRAMES
from earprint.training.networks.head import SplitHead

LEVEL_DB = -30.0
"""Brought to 0 at the input, in decibels: a common level of music in a mel band."""

SPREAD_DB = 30.0
"""Brought to 1 at the input, in decibels: ELU saturates on inputs as large as decibels are."""


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


class NafpNetwork(nn.Module):
    """NAFP's encoder: (batch, 96, 64) log-mel segments in decibels to (batch, dim) unit vectors.

    Parameters
    ----------
    dim : int
        Components of a fingerprint.
    branch : int
        Hidden units of each component's branch in the split head.
    """

    CHANNELS = (128, 128, 256, 256, 512, 512, 1024, 1024)
    STRIDES_TIME = (2, 2, 2, 2, 1, 2, 1, 2)

    def __init__(self, dim: int = FINGERPRINT_DIM, branch: int = 32) -> None:
        super().__init__()
        n_freq, n_time, width = N_MELS, SEGMENT_FRAMES, 1
        layers = []
        for out, stride_time in zip(self.CHANNELS, self.STRIDES_TIME, strict=True):
            block = SeparableBlock(width, out, n_freq, n_time, stride_time)
            layers.append(block)
            n_freq, n_time, width = block.n_freq, block.n_time, out
        self.blocks = nn.Sequential(*layers)
        self.head = SplitHead(width * n_freq * n_time, dim, branch)

    def forward(self, x: Tensor) -> Tensor:
        """Fingerprint a batch of segments."""
        x = ((x - LEVEL_DB) / SPREAD_DB).transpose(1, 2).unsqueeze(1)
        out: Tensor = self.head(self.blocks(x).flatten(1))
        return out
