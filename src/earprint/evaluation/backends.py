"""What runs the network and the exact search of an evaluation, in this process.

``cpu``: onnxruntime and NumPy. ``cuda`` or ``cuda:N``: torch on a GPU. ``torch``: torch on the CPU, to try
it. Torch is loaded for these alone. Each worker process begins with the same, see
`earprint.evaluation.workers`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from earprint.encoders.registry import use_sessions
from earprint.errors import EvaluationError
from earprint.evaluation import search
from earprint.evaluation.search import Nearest

CPU: Final = "cpu"
"""Name of onnxruntime and NumPy."""


@dataclass(frozen=True)
class Compute:
    """What computes.

    Attributes
    ----------
    name : str
        As it was asked for.
    nearest : callable
        Exact search for many query rows, see `earprint.evaluation.search.nearest`.
    described : str
        For reports: library, version and device.
    """

    name: str = CPU
    nearest: Nearest = search.nearest
    described: str = "onnxruntime and NumPy on the CPU"

    @property
    def in_torch(self) -> bool:
        """Whether torch computes: with large batches in few calls."""
        return self.name != CPU


_here = Compute()
"""This process's."""


def here() -> Compute:
    """Return what computes in this process."""
    return _here


def begin(name: str, *, worker: bool = False) -> Compute:
    """Choose what computes in this process from now on.

    Parameters
    ----------
    name : str
        ``cpu``, ``torch``, ``cuda`` or ``cuda:N``.
    worker : bool
        Other processes compute too: one thread, and the weights have been checked.

    Raises
    ------
    EvaluationError
        If there is no such device, or no torch.
    """
    global _here
    if name == CPU:
        use_sessions(None)
        _here = Compute()
        return _here
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise EvaluationError(
            f"--compute {name}: needs torch, which cannot be loaded ({error}); install it with "
            "`pip install 'earprint[train]'`, or leave the option out"
        ) from error
    from earprint.evaluation import torch_backend as accelerated

    device = accelerated.find_device(name)
    if worker:
        accelerated.use_one_thread()
    use_sessions(accelerated.session_maker(device, check=not worker))
    nearest = accelerated.DeviceSearch(device).nearest
    _here = Compute(name, nearest, accelerated.describe(device))
    return _here


@contextmanager
def computing(name: str) -> Iterator[Compute]:
    """Choose what computes in this process for a while; see `begin`."""
    try:
        yield begin(name)
    finally:
        begin(CPU)
