"""The backend of an evaluation: what runs the network and the exact search in this process.

``cpu``: onnxruntime and NumPy. ``cuda`` or ``cuda:N``: torch on a GPU. ``torch``: torch on the CPU.
Only the last three import torch. Each worker process uses the same backend, see
`earprint.evaluation.workers`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from earprint.encoders.registry import use_sessions
from earprint.errors import EvaluationError
from earprint.evaluation.search import ExactSearch, search_exactly

CPU: Final = "cpu"
"""Name of the backend of onnxruntime and NumPy."""


@dataclass(frozen=True)
class Backend:
    """A backend.

    Attributes
    ----------
    name : str
        As given with ``--compute``.
    search : callable
        Exact search for many query rows, see `earprint.evaluation.search.search_exactly`.
    description : str
        Library, version and device, for reports.
    """

    name: str = CPU
    search: ExactSearch = search_exactly
    description: str = "onnxruntime and NumPy on the CPU"

    @property
    def uses_torch(self) -> bool:
        """Whether torch computes. Torch is faster with few calls of large batches."""
        return self.name != CPU


_current = Backend()


def current_backend() -> Backend:
    """Return this process's backend."""
    return _current


def set_backend(name: str, *, is_worker: bool = False) -> Backend:
    """Choose this process's backend.

    Parameters
    ----------
    name : str
        ``cpu``, ``torch``, ``cuda`` or ``cuda:N``.
    is_worker : bool
        For worker processes: use one thread, and do not check the weights again.

    Raises
    ------
    EvaluationError
        If there is no such device, or torch is not installed.
    """
    global _current
    if name == CPU:
        use_sessions(None)
        _current = Backend()
        return _current
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise EvaluationError(
            f"--compute {name}: needs torch, which cannot be loaded ({error}); install it with "
            "`pip install 'earprint[train]'`, or leave the option out"
        ) from error
    from earprint.evaluation import torch_backend

    device = torch_backend.find_device(name)
    if is_worker:
        torch_backend.use_one_thread()
    use_sessions(torch_backend.make_session_factory(device, check=not is_worker))
    search = torch_backend.DeviceSearch(device).search
    _current = Backend(name, search, torch_backend.describe(device))
    return _current


@contextmanager
def using_backend(name: str) -> Iterator[Backend]:
    """Choose this process's backend for the time of a ``with`` block; see `set_backend`."""
    try:
        yield set_backend(name)
    finally:
        set_backend(CPU)
