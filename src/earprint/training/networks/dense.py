"""The dense encoder's network: fully convolutional, one pass over a track of any length.

The paper's network sees each 960 ms window by itself and so computes almost everything ten times. Here the
convolutions run once over the whole track and are shared by all windows that overlap; only the head, a
grouped convolution over 24 steps of 40 ms, gathers a window into one vector.

No convolution pads in time. A track (or a chunk of one) that is to give fingerprints for frames
``[0, n)`` is given with `CONTEXT_LEFT` frames before and `CONTEXT_RIGHT` frames after, zeros where the
recording has ended; so a chunk with its true neighbours gives exactly what one pass gives.
"""

from typing import Final

from torch import Tensor, nn
from torch.nn import functional

from earprint.constants import FINGERPRINT_DIM, N_MELS
from earprint.training.networks.head import through_branches

STEP_FRAMES: Final = 4
"""Spectrogram frames between two fingerprints, 40 ms."""

HEAD_STEPS: Final = 24
"""Steps under one fingerprint: 24 x 40 ms = 960 ms."""

CONTEXT_LEFT: Final = 25
"""Frames before a window that its fingerprint also sees (the receptive field is 147 frames)."""

CONTEXT_RIGHT: Final = 26
"""Frames after a window that its fingerprint also sees."""


class ValidBlock(nn.Module):
    """Residual block of two 3x3 convolutions, padded in frequency and never in time.

    Input (batch, c_in, F, T); output (batch, c_out, F / stride_f, about T / stride_t - 4): the skip takes
    the input frames that stand in the middle of each output's receptive field.
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
    """The paper's spectral-temporal attention for a track without end: from each step alone.

    The paper weighs the bands of a segment by a softmax over frequency, and its frames by one over time. Here
    a frame's weights may depend on what lies around it only, or chunks would differ from one pass. For
    channel c of a map X (C x F x T): ``a_F = softmax_F tanh(W X)`` at each step, and
    ``a_T = 2 sigmoid(V mean_F X)``, where W and V mix the channels; the output is ``X * F a_F * a_T``. Both
    weights are 1 where W and V are 0, as they are in the beginning.
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


class DenseNetwork(nn.Module):
    """Normalised log-mel frames in, unit vectors out, one each 40 ms.

    Parameters
    ----------
    channels : tuple of int
        Channels of the stem and of the four blocks.
    dim : int
        Components of a fingerprint.
    branch : int
        Hidden units of each component's branch in the split head.
    attention : bool
        Weigh bands and steps after every block but the first, see `BandAttention`.
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
        """Everything below the head: (batch, T, 64) normalised frames to (batch, width, steps of 40 ms)."""
        x = x.transpose(1, 2).unsqueeze(1)
        x = functional.relu(self.stem_norm(self.stem(x)))
        x = self.blocks(x)
        return x.flatten(1, 2)

    def head(self, x: Tensor, every: int = 1) -> Tensor:
        """Gather windows of steps into unit vectors (batch, rows, dim), computing only ``every`` nth row."""
        x = through_branches(x, self.gather, self.project, every).transpose(1, 2)
        return functional.normalize(x.float(), dim=2, eps=1e-6)
