"""Tasks: how networks of each encoder kind are trained.

A task turns batches of audio into the inputs of its network, and says which rows the loss compares and how
much each row counts. `DenseTask` serves networks that run over a whole clip, `WindowedTask` those that see
one segment.
"""

from collections.abc import Callable
from typing import Final, Protocol

import torch
from torch import Tensor, nn

from earprint.constants import FINGERPRINT_DIM, FRAME_HOP, FRAME_RATE, SAMPLE_RATE, SEGMENT_FRAMES
from earprint.encoders.dense_geometry import CONTEXT_LEFT, CONTEXT_RIGHT, HEAD_STEPS, STEP_FRAMES
from earprint.encoders.windowed import DECIBELS_PER_NEPER
from earprint.errors import TrainingError
from earprint.features import DENSE_FRONT_END, PAPER_FRONT_END
from earprint.training.front_end import TorchFrontEnd, normalise_batch
from earprint.training.losses import SequenceLoss
from earprint.training.networks import build_network, network_spec
from earprint.training.sampler import CONTEXT_S, CONTEXT_STEPS, Batch

SPARSE_FROM_S: Final = 1.2
"""In clips of at least this length the loss compares every second row: neighbouring rows are nearly equal."""

MAX_BEYOND_STEPS: Final = HEAD_STEPS // 2
"""Most rows that can be trained before and after a query: the outermost window is half inside the query."""

LogMelAugment = Callable[[Tensor], Tensor]
"""Changes log-mel spectrograms, shape (batch, frames, bands); see `Batch`."""


class Task(Protocol):
    """How one network is trained.

    Attributes
    ----------
    network : nn.Module
    """

    network: nn.Module

    def features(self, audio: Tensor, augment: LogMelAugment | None = None) -> Tensor:
        """Compute the network's input from audio of shape (batch, samples)."""
        ...

    def inputs(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Compute the network's inputs of the clean and of the distorted side of a batch."""
        ...

    def positions(self, length_s: float) -> int:
        """Return how many rows of a clip of this length, in seconds, the loss compares."""
        ...

    def row_weights(self, rows: int) -> Tensor:
        """Return how much each row of a query counts, shape (rows,)."""
        ...

    def loss(self, distorted: Tensor, clean: Tensor, length_s: float, criterion: SequenceLoss) -> Tensor:
        """Apply a loss to the fingerprints of both sides; returns a scalar.

        Parameters
        ----------
        distorted, clean : Tensor, shape (batch, rows, dim) or (batch, dim)
        length_s : float
            Length of the distorted clips, in seconds.
        criterion : callable
            A loss of `earprint.training.losses`.
        """
        ...


def task_for(name: str, dim: int = FINGERPRINT_DIM, query_beyond_steps: int = 0) -> Task:
    """Build a network and its task.

    Parameters
    ----------
    name : str
        A key of `earprint.training.networks.NETWORKS`.
    dim : int
        Components of a fingerprint.
    query_beyond_steps : int
        For dense networks: rows before and after a query whose windows extend past its ends, at most
        `MAX_BEYOND_STEPS`.

    Raises
    ------
    TrainingError
        If there is no network of that name, or the number of rows is not possible.
    """
    network = build_network(name, dim)
    if network_spec(name).encoder == "windowed":
        return WindowedTask(network)
    return DenseTask(network, query_beyond_steps)


def overlap_share(rows: int, beyond_steps: int) -> Tensor:
    """Return the share of each row's window that lies within the query, shape (rows,), from 0.5 to 1.

    Parameters
    ----------
    rows : int
        All rows of the query, those before and after it included.
    beyond_steps : int
        Rows before, and rows after, whose windows extend past its ends.
    """
    step = torch.arange(rows)
    inside = torch.minimum(step, rows - 1 - step) - beyond_steps
    return (1 + inside / HEAD_STEPS).clamp(0, 1)


class DenseTask:
    """Trains a network that runs once over a clip and gives a row each 40 ms.

    Parameters
    ----------
    network : nn.Module
    beyond_steps : int
        See `task_for`.

    Raises
    ------
    TrainingError
        If ``beyond_steps`` is odd or out of range.
    """

    def __init__(self, network: nn.Module, beyond_steps: int = 0) -> None:
        if not 0 <= beyond_steps <= MAX_BEYOND_STEPS or beyond_steps % 2:
            raise TrainingError(
                f"{beyond_steps} rows beyond a query; give an even number from 0 to {MAX_BEYOND_STEPS}"
            )
        self.network, self.beyond_steps = network, beyond_steps
        self.front_end = TorchFrontEnd(DENSE_FRONT_END)

    def features(self, audio: Tensor, augment: LogMelAugment | None = None, beyond_steps: int = 0) -> Tensor:
        """Compute normalised log-mel frames, with zeros as context and for ``beyond_steps`` more rows."""
        log_mel = _log_mel(self.front_end, audio, augment)
        more_frames = beyond_steps * STEP_FRAMES
        padding = (0, 0, CONTEXT_LEFT + more_frames, CONTEXT_RIGHT + more_frames)
        return nn.functional.pad(normalise_batch(log_mel), padding)

    def inputs(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """See `Task.inputs`."""
        distorted = self.features(batch.distorted, batch.augment_log_mel, self.beyond_steps)
        return self.features(batch.clean), distorted

    def positions(self, length_s: float) -> int:
        """See `Task.positions`."""
        windows = (round(length_s * FRAME_RATE) - SEGMENT_FRAMES) // STEP_FRAMES + 1
        return -(-(windows + 2 * self.beyond_steps) // self._stride(length_s))

    def row_weights(self, rows: int) -> Tensor:
        """Return the square of each window's share within the query: a window can only tell what it holds."""
        return overlap_share(rows, self.beyond_steps).square()

    def loss(self, distorted: Tensor, clean: Tensor, length_s: float, criterion: SequenceLoss) -> Tensor:
        """See `Task.loss`."""
        weights = self.row_weights(distorted.shape[1]).to(distorted.device)
        return criterion(distorted, clean, CONTEXT_STEPS - self.beyond_steps, self._stride(length_s), weights)

    def _stride(self, length_s: float) -> int:
        return 1 if length_s < SPARSE_FROM_S and not self.beyond_steps else 2


class WindowedTask:
    """Trains a network that sees one segment at a time, as the paper's does.

    Parameters
    ----------
    network : nn.Module
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.front_end = TorchFrontEnd(PAPER_FRONT_END)

    def features(self, audio: Tensor, augment: LogMelAugment | None = None) -> Tensor:
        """Compute log-mel frames in decibels."""
        decibels: Tensor = _log_mel(self.front_end, audio, augment) * DECIBELS_PER_NEPER
        return decibels

    def inputs(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Cut one segment of each side.

        The store holds every track at full scale, so the clean segment has its level of the index. The
        encoder scales each query to full scale, so the distorted segment is scaled too.
        """
        samples, context = SEGMENT_FRAMES * FRAME_HOP, round(CONTEXT_S * SAMPLE_RATE)
        clean = batch.clean[:, context : context + samples]
        distorted = batch.distorted[:, :samples]
        distorted = distorted / distorted.abs().amax(dim=1, keepdim=True).clamp_min(1e-9)
        return self.features(clean), self.features(distorted, batch.augment_log_mel)

    def positions(self, length_s: float) -> int:
        """Return 1: a clip is one segment."""
        return 1

    def row_weights(self, rows: int) -> Tensor:
        """Return ones."""
        return torch.ones(rows)

    def loss(self, distorted: Tensor, clean: Tensor, length_s: float, criterion: SequenceLoss) -> Tensor:
        """See `Task.loss`."""
        return criterion(distorted[:, None], clean[:, None], 0, 1, None)


def _log_mel(front_end: TorchFrontEnd, audio: Tensor, augment: LogMelAugment | None) -> Tensor:
    log_mel: Tensor = front_end.to(audio.device)(audio)
    return log_mel if augment is None else augment(log_mel)
