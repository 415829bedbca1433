"""The front ends of `earprint.features` in torch, for batches of clips of one length.

They use the same windows, filterbanks and constants; results agree to 1e-4.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from earprint.constants import FRAME_HOP
from earprint.features import FrontEnd
from earprint.features.normalise import MIN_DEVIATION, RADIUS_FRAMES, RELATIVE_FLOOR


class TorchFrontEnd(nn.Module):
    """Log-mel frames (natural logarithm) of a batch: (batch, n) samples to (batch, n // 160, 64)."""

    window: Tensor
    filterbank: Tensor

    def __init__(self, front_end: FrontEnd) -> None:
        super().__init__()
        self.front_end = front_end
        self.register_buffer("window", torch.from_numpy(front_end.window), persistent=False)
        self.register_buffer("filterbank", torch.from_numpy(front_end.filterbank), persistent=False)

    def forward(self, audio: Tensor) -> Tensor:
        """Compute the frames."""
        front_end = self.front_end
        n_frames = audio.shape[1] // FRAME_HOP
        padded = functional.pad(audio[:, : n_frames * FRAME_HOP], (front_end.pad, front_end.pad))
        frames = padded.unfold(1, front_end.n_fft, FRAME_HOP)
        spectrum = torch.fft.rfft(frames * self.window)
        power = (spectrum.real.square() + spectrum.imag.square()) @ self.filterbank
        log_mel: Tensor = power.clamp_min(front_end.floor).log()
        return log_mel


def normalise_batch(log_mel: Tensor) -> Tensor:
    """`earprint.features.normalise` for a batch (batch, frames, bands)."""
    power = _local_mean(log_mel.exp().mean(dim=2, keepdim=True))
    floored = torch.logaddexp(log_mel, (RELATIVE_FLOOR * power).log())
    mean = _local_mean(floored.mean(dim=2, keepdim=True))
    square = _local_mean(floored.square().mean(dim=2, keepdim=True))
    deviation = ((square - mean.square()).clamp_min(0) + MIN_DEVIATION**2).sqrt()
    return (floored - mean) / deviation


def _local_mean(values: Tensor) -> Tensor:
    """Mean over the frames within `RADIUS_FRAMES` of each, (batch, frames, 1) to the same shape."""
    width = 2 * RADIUS_FRAMES + 1
    local = functional.avg_pool1d(values.transpose(1, 2), width, 1, RADIUS_FRAMES, count_include_pad=False)
    return local.transpose(1, 2)
