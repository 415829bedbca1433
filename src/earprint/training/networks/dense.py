"""The dense encoder's network: fully convolutional, one pass over a track of any length.

The paper's network computes each 960 ms window alone, and so computes almost everything ten times. Here the
convolutions run once over the whole track, and all overlapping windows share their results. Only the head, a
grouped convolution over 24 steps of 40 ms, gathers a window into one vector.

No convolution pads in time. For fingerprints of the windows that begin in frames ``[0, n)``, the input also
holds `CONTEXT_LEFT` frames before and `CONTEXT_RIGHT` frames after these windows, zeros beyond the ends of
the recording. So a chunk with its true neighbours gives exactly what one pass over the track gives.
"""

from functools import partial

from torch import Tensor, nn
from torch.nn import functional

from earprint.constants import FINGERPRINT_DIM, N_MELS
from earprint.encoders.dense_geometry import HEAD_STEPS
from earprint.training.networks.head import through_branches
from earprint.training.networks.registry import register_network


class ValidBlock(nn.Module):
    """Residual block of two 3x3 convolutions, padded in frequency and never in time.

    Input (batch, c_in, F, T); output (batch, c_out, F / stride_f, about T / stride_t - 4). The skip takes the
    input frame in the middle of each output's receptive field.
    """

    def __init__(self, c_in: int, c_out: int, stride_f: int, stride_t: int) -> None:
        super().__init__()
        self.stride_f, self.stride_t = stride_f, stride_t
        self.conv1 = nn.Conv2d(c_in, c_out, 3, (stride_f, stride_t), (1, 0), bias=False)
        self.norm1 = nn.BatchNorm2d(c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, 1, (1, 0), bias=False)
        self.norm2 = nn.BatchNorm2d(c_out)
        self.skip = nn.Conv2d(c_in, c_out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block."""
        y = functional.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        # Output i is centred on input frame (i + 1) * stride_t + 1.
        first = self.stride_t + 1
        last = first + (y.shape[3] - 1) * self.stride_t
        middle = x[:, :, :: self.stride_f, first : last + 1 : self.stride_t]
        return functional.relu(y + self.skip(middle))


class BandAttention(nn.Module):
    """Spectral-temporal attention like the paper's, for a track of any length.

    The paper takes a softmax over the frequencies and one over the frames of a segment. Here a step's weights
    depend on that step alone, or chunks would differ from one pass. For a map X (C x F x T):
    ``a_F = softmax_F tanh(W X)`` at each step, and ``a_T = 2 sigmoid(V mean_F X)``, where W and V mix the
    channels. The output is ``X * F a_F * a_T``. W and V begin at 0, where both weights are 1.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.spectral = nn.Conv2d(channels, channels, 1)
        self.temporal = nn.Conv2d(channels, channels, 1)
        for layer in (self.spectral, self.temporal):
            nn.init.zeros_(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Apply to (batch, channels, F, T)."""
        over_bands = x.shape[2] * self.spectral(x).tanh().softmax(dim=2)
        over_steps = 2 * self.temporal(x.mean(dim=2, keepdim=True)).sigmoid()
        out: Tensor = x * over_bands.to(x.dtype) * over_steps
        return out


@register_network("dense", encoder="dense", head_width=384)
class DenseNetwork(nn.Module):
    """Fully convolutional: one pass over a recording gives a fingerprint each 40 ms. The default.

    Parameters
    ----------
    channels : tuple of int
        Channels of the stem and of the four blocks.
    dim : int
        Components of a fingerprint.
    branch : int
        Hidden units of each component's branch in the split head.
    attention : bool
        Apply `BandAttention` after every block but the first.
    """

    def __init__(
        self,
        channels: tuple[int, int, int, int, int] = (16, 32, 64, 96, 192),
        dim: int = FINGERPRINT_DIM,
        branch: int = 16,
        *,
        attention: bool = False,
    ) -> None:
        super().__init__()
        stem, *blocks = channels
        self.stem = nn.Conv2d(1, stem, 3, (2, 2), (1, 0), bias=False)
        self.stem_norm = nn.BatchNorm2d(stem)
        strides = ((2, 1), (2, 2), (2, 1), (2, 1))
        layers: list[nn.Module] = []
        width = stem
        for number, (out, (stride_f, stride_t)) in enumerate(zip(blocks, strides, strict=True)):
            layers.append(ValidBlock(width, out, stride_f, stride_t))
            if attention and number > 0:
                layers.append(BandAttention(out))
            width = out
        self.blocks = nn.Sequential(*layers)
        flat = width * (N_MELS // 32)
        self.gather = nn.Conv1d(flat, dim * branch, HEAD_STEPS, groups=dim)
        self.project = nn.Conv1d(dim * branch, dim, 1, groups=dim)

    def forward(self, x: Tensor) -> Tensor:
        """Fingerprint (batch, T, 64) normalised frames: (batch, (T - 147) // 4 + 1, dim) unit vectors."""
        return self.head(self.steps(x))

    def steps(self, x: Tensor) -> Tensor:
        """Apply all below the head: (batch, T, 64) normalised frames to (batch, width, steps of 40 ms)."""
        x = x.transpose(1, 2).unsqueeze(1)
        x = functional.relu(self.stem_norm(self.stem(x)))
        x = self.blocks(x)
        return x.flatten(1, 2)

    def head(self, x: Tensor, every: int = 1) -> Tensor:
        """Turn windows of steps into unit vectors (batch, rows, dim); compute only every Nth row."""
        x = through_branches(x, self.gather, self.project, every).transpose(1, 2)
        return functional.normalize(x.float(), dim=2, eps=1e-6)


register_network(
    "dense-attention",
    encoder="dense",
    head_width=384,
    summary="The network dense with attention over bands and steps.",
)(partial(DenseNetwork, attention=True))
