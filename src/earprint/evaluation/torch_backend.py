"""The torch backend: network and exact search on a GPU or, for tests, on the CPU.

A model's torch weights lie beside its ONNX file, as ``NAME.pt``: the ``weights.pt`` of its training run. The
front end, the matching and everything else stay on the CPU. On a GPU the network computes in half precision
and the search in single precision. Before a network is used, its fingerprints are compared with those of
the ONNX file. Only this module and `earprint.training` need torch.
"""

import threading
from contextlib import nullcontext
from typing import Final
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray

from earprint.constants import SAMPLE_RATE
from earprint.encoders.model_file import BATCH, ModelFile
from earprint.encoders.registry import SessionFactory
from earprint.encoders.windowed import WindowedEncoder
from earprint.errors import EvaluationError
from earprint.evaluation.search import GROUP
from earprint.index import ExactIndex
from earprint.index.base import Index
from earprint.training.checkpoint import SAME_COSINE, load_weights
from earprint.training.networks import build_network, network_spec

GPU_BATCH: Final = 256
"""Windows in one call of the network on a GPU: at most 2 GB of its memory for each process."""

CHECK_S: Final = 5.0
"""Length of the signal that the weights are checked with, in seconds."""

BLOCK_ROWS: Final = 65_536
"""Stored rows multiplied at a time, a multiple of `GROUP`."""

QUERY_ROWS: Final = 1_024
"""Query rows that are searched together: with a block of stored rows 256 MB of products."""

GATHERED_VALUES: Final = 2**26
"""Values of stored rows that are gathered at a time to be compared: 256 MB."""


def find_device(name: str) -> torch.device:
    """Return the torch device of a name: ``torch`` is the CPU, ``cuda`` the first GPU, ``cuda:1`` the second.

    Raises
    ------
    EvaluationError
        If the name is unknown, or torch sees no such device.
    """
    if name == "torch":
        return torch.device("cpu")
    kind, _, number = name.partition(":")
    if kind != "cuda" or not (number.isdecimal() or name == "cuda"):
        raise EvaluationError(f"--compute {name}: is no device; use cpu, cuda, cuda:N or torch")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(number or 0) >= count:
        raise EvaluationError(
            f"--compute {name}: torch {torch.__version__} sees {count} CUDA devices; install a driver and a "
            "torch with CUDA, name another device, or leave the option out"
        )
    return torch.device("cuda", int(number or 0))


def describe(device: torch.device) -> str:
    """Return torch's version and the device, for reports."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "the CPU"
    return f"torch {torch.__version__} on {name}"


def use_one_thread() -> None:
    """Use one thread, because other processes use the other cores."""
    torch.set_num_threads(1)


class TorchSession:
    """A model's network in torch; see `earprint.encoders.model_file.NetworkSession`.

    Parameters
    ----------
    model : ModelFile
        A model of windows, with its torch weights beside it.
    device : torch.device

    Raises
    ------
    EvaluationError
        If the torch weights are missing.
    TrainingError
        If the weights are those of another network.
    """

    def __init__(self, model: ModelFile, device: torch.device) -> None:
        file = model.path.with_suffix(".pt")
        if not file.is_file():
            raise EvaluationError(
                f"{file}: is missing, and --compute needs the model's torch weights; copy weights.pt of the "
                "run that the model was exported from there, or leave the option out"
            )
        network = build_network(model.network, model.dim)
        load_weights(network, model.network, file, torch.device("cpu"))
        network = network.float().eval().requires_grad_(False).to(device)
        if device.type == "cuda" and network_spec(model.network).channels_last:
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._network, self._device = network, device
        self.batch = GPU_BATCH if device.type == "cuda" else BATCH

    def run(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run the network: windows (n, 96, 64) to fingerprints (n, dim).

        Raises
        ------
        EvaluationError
            If torch fails, for instance because memory runs out.
        """
        gpu = self._device.type == "cuda"
        windows = torch.from_numpy(np.ascontiguousarray(features, dtype=np.float32))
        precision = torch.autocast("cuda", torch.float16) if gpu else nullcontext()
        try:
            with torch.inference_mode(), precision:
                vectors = self._network(windows.to(self._device))
                out: NDArray[np.float32] = vectors.float().cpu().numpy()
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            raise EvaluationError(
                f"torch cannot run the network ({reason}); give fewer --jobs, or leave --compute out"
            ) from error
        return out


def make_session_factory(device: torch.device, *, check: bool) -> SessionFactory:
    """Return a function for `earprint.encoders.registry.use_sessions`.

    Parameters
    ----------
    device : torch.device
    check : bool
        Compare each model's fingerprints with those of its ONNX file first.
    """

    def make(model: ModelFile) -> TorchSession:
        session = TorchSession(model, device)
        if check:
            _check_weights(model, session)
        return session

    return make


def _check_signal() -> NDArray[np.float32]:
    """Return a tone that rises from 200 Hz to 4 kHz in white noise, always the same, shape (n,)."""
    t = np.arange(round(CHECK_S * SAMPLE_RATE)) / SAMPLE_RATE
    sweep = np.sin(2 * np.pi * 200 * CHECK_S / np.log(20) * (20 ** (t / CHECK_S) - 1))
    noise = np.random.default_rng(0).standard_normal(len(t))
    return np.asarray(0.3 * sweep + 0.02 * noise, dtype=np.float32)


def _check_weights(model: ModelFile, session: TorchSession) -> None:
    """Check that torch makes the same fingerprints as onnxruntime.

    Raises
    ------
    EvaluationError
        If it does not.
    """
    blocks = [_check_signal()]
    torch_rows = WindowedEncoder(model, session=session).encode(blocks).vectors
    onnx_rows = WindowedEncoder(model).encode(blocks).vectors
    audible = onnx_rows.any(axis=1)
    cosine = float((torch_rows * onnx_rows).sum(axis=1)[audible].mean())
    if not cosine >= SAME_COSINE:
        raise EvaluationError(
            f"{model.path.with_suffix('.pt')}: gives other fingerprints than {model.path.name} (mean cosine "
            f"{cosine:.3f}); copy weights.pt of the run that the model was exported from there"
        )


class DeviceSearch:
    """Exact search on a device. The stored rows are copied there when an index is first searched.

    The method is that of `earprint.evaluation.search`: the largest product of each group of rows, then all
    products of the best groups. Safe to use from several threads.

    Parameters
    ----------
    device : torch.device
    query_rows : int
        Query rows that are searched together.
    block_rows : int
        Stored rows multiplied at a time, a multiple of `GROUP`.
    gathered_values : int
        Values of stored rows that are gathered at a time to be compared.
    """

    def __init__(
        self,
        device: torch.device,
        *,
        query_rows: int = QUERY_ROWS,
        block_rows: int = BLOCK_ROWS,
        gathered_values: int = GATHERED_VALUES,
    ) -> None:
        self._device = device
        self._query_rows, self._block_rows = query_rows, block_rows
        self._gathered_values = gathered_values
        self._stored: WeakKeyDictionary[Index, torch.Tensor] = WeakKeyDictionary()
        self._lock = threading.Lock()

    @torch.inference_mode()
    def search(
        self, index: Index, queries: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Find the nearest rows, see `earprint.evaluation.search.search_exactly`.

        Of equal products the lower row comes first.
        """
        scores = np.zeros((len(queries), k), np.float32)
        rows = np.full((len(queries), k), -1, np.int64)
        if not len(index):
            return scores, rows
        with self._lock:
            if index not in self._stored:
                self._stored[index] = self._upload(index)
            stored = self._stored[index]
        for begin in range(0, len(queries), self._query_rows):
            batch = np.array(queries[begin : begin + self._query_rows], dtype=np.float32)
            found = self._search_batch(stored, torch.from_numpy(batch).to(self._device), k)
            end, hits = begin + len(batch), found[0].shape[1]
            scores[begin:end, :hits] = found[0].cpu().numpy()
            rows[begin:end, :hits] = found[1].cpu().numpy()
        return scores, rows

    def _upload(self, index: Index) -> torch.Tensor:
        """Copy the stored rows to the device, shape (groups, `GROUP`, dim), with zeros after the last.

        They keep half precision on a GPU if they are stored so. Damaged rows become zeros.
        """
        n = len(index)
        dim = index.vectors(0, 1).shape[1]
        keep_half = self._device.type == "cuda" and isinstance(index, ExactIndex) and index.half
        dtype = torch.float16 if keep_half else torch.float32
        stored = torch.zeros((-(-n // GROUP) * GROUP, dim), dtype=dtype, device=self._device)
        for start in range(0, n, self._block_rows):
            stop = min(start + self._block_rows, n)
            block = index.vectors(start, stop)
            block[~np.isfinite(block).all(axis=1)] = 0.0
            stored[start:stop] = torch.from_numpy(block).to(self._device).to(dtype)
        return stored.reshape(-1, GROUP, dim)

    def _search_batch(
        self, stored: torch.Tensor, queries: torch.Tensor, k: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return scores and rows of the nearest rows, shape (n, at most k) each, on the device."""
        groups = self._best_groups(stored, queries, k)
        n, m = groups.shape
        at_a_time = max(1, self._gathered_values // (m * stored[0].numel()))
        scores, rows = [], []
        for begin in range(0, n, at_a_time):
            part = groups[begin : begin + at_a_time]
            gathered = stored[part].reshape(len(part), m * GROUP, -1).float()
            products = torch.bmm(gathered, queries[begin : begin + at_a_time, :, None])[:, :, 0]
            numbers = (part[:, :, None] * GROUP + torch.arange(GROUP, device=self._device)).flatten(1)
            # Groups are ascending, so a stable sort keeps equal products in the order of their rows.
            best, places = torch.sort(products, dim=1, descending=True, stable=True)
            best, hit = best[:, :k], best[:, :k] > 0
            scores.append(torch.where(hit, best, torch.zeros_like(best)))
            found = torch.gather(numbers, 1, places[:, :k])
            rows.append(torch.where(hit, found, torch.full_like(found, -1)))
        return torch.cat(scores), torch.cat(rows)

    def _best_groups(self, stored: torch.Tensor, queries: torch.Tensor, k: int) -> torch.Tensor:
        """Return the groups with the largest products of each query row, ascending, (n, at most k)."""
        per_block = self._block_rows // GROUP
        parts = []
        for begin in range(0, len(stored), per_block):
            block = stored[begin : begin + per_block]
            products = queries @ block.reshape(-1, block.shape[2]).float().T
            parts.append(products.reshape(len(queries), len(block), GROUP).amax(dim=2))
        largest = torch.cat(parts, dim=1)
        groups = torch.topk(largest, min(k, largest.shape[1]), dim=1).indices
        return torch.sort(groups, dim=1).values
