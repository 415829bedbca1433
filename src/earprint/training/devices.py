"""The device of a run: chosen by its name, set up and described."""

import torch

from earprint.errors import TrainingError


def pick_device(name: str) -> torch.device:
    """Return the torch device of a name; ``auto`` is CUDA if there is one.

    Raises
    ------
    TrainingError
        If there is no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise TrainingError(f"{name}: no CUDA device here; use --device cpu")
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise TrainingError(f"{name}: no such device; use cpu, cuda or cuda:N") from error


def set_up_device(device: torch.device, *, threads: int, fixed_length: bool) -> None:
    """Set torch's options for training on a device.

    Parameters
    ----------
    device : torch.device
    threads : int
        CPU threads; 0 is torch's choice.
    fixed_length : bool
        Whether all clips have the same length. Only then the benchmarks of cuDNN save time.
    """
    if threads:
        torch.set_num_threads(threads)
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")  # for the loss, whose inputs come from bfloat16
        torch.backends.cudnn.benchmark = fixed_length


def device_name(device: torch.device) -> str:
    """Return the name of a device, for the model card."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads"
