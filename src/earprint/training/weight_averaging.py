"""The averaged weights of a run, and the batch-norm statistics that fit them.

The exponential moving average of the weights is validated and exported. Until the last part of the run, the
batch norms of the trained network normalise by the batch. The averaged network gets its own statistics,
estimated through the averaged weights on training batches. When the last part begins, these statistics are
copied to the trained network and frozen. So the weights train with exactly the statistics that are exported.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from earprint.training.batch_statistics import batch_norms, copy_statistics, estimate_statistics

STATISTICS_BATCHES = 8
"""Batches on which the statistics of the averaged network's batch norms are estimated."""


class WeightAverage:
    """Averages the weights of a network while it trains.

    Parameters
    ----------
    network : nn.Module
    decay : float
        Decay of the average per step.
    next_inputs : callable
        Returns the clean and distorted inputs of some batches of the run, which the run draws again later.
    chunk : int
        Clips that go through the network at a time; 0 for all of a batch.

    Attributes
    ----------
    average : AveragedModel
    norms_frozen : bool
        Whether the batch norms of the trained network keep their statistics.
    """

    def __init__(
        self,
        network: nn.Module,
        decay: float,
        next_inputs: Callable[[int], Iterable[tuple[Tensor, Tensor]]],
        chunk: int = 0,
    ) -> None:
        averaging = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        self.average = AveragedModel(network, multi_avg_fn=averaging)
        self.norms_frozen = False
        self._trained, self._next_inputs, self._chunk = network, next_inputs, chunk

    def update(self) -> None:
        """Add the weights of the trained network to the average."""
        self.average.update_parameters(self._trained)

    def set_training_mode(self, *, norms_frozen: bool) -> None:
        """Set the trained network to training mode; frozen norms keep the averaged network's statistics."""
        if norms_frozen and not self.norms_frozen:
            copy_statistics(self.averaged_network(), self._trained)
        self.norms_frozen = norms_frozen
        self._trained.train()
        if norms_frozen:
            for norm in batch_norms(self._trained):
                norm.eval()

    def averaged_network(self) -> nn.Module:
        """Return the averaged network in evaluation mode, with batch-norm statistics that fit its weights.

        Its statistics are estimated on the next training batches. Once the norms are frozen, it has the
        frozen statistics, since its weights were trained with these.
        """
        network: nn.Module = self.average.module
        if self.norms_frozen:
            return network.eval()
        return estimate_statistics(network, self._next_inputs(STATISTICS_BATCHES), self._chunk)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint holds of the average."""
        return {"average": self.average.state_dict(), "norms_frozen": self.norms_frozen}

    def restore(self, state: Mapping[str, Any], *, norms_frozen: bool) -> None:
        """Restore the average from a checkpoint.

        Parameters
        ----------
        state : mapping
        norms_frozen : bool
            Used if the checkpoint does not say whether the norms are frozen.

        Raises
        ------
        RuntimeError
            If the weights are those of another network.
        """
        self.average.load_state_dict(state["average"])
        self.norms_frozen = state.get("norms_frozen", norms_frozen)
