"""From a run's checkpoint to a model with its description: what it learned from, how long, how well.

A run for queries becomes two more files beside the model whose fingerprints it finds; see
`earprint.encoders.model_file`. A run in which both learned becomes the model and those.
"""

import datetime
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.optim.swa_utils import AveragedModel

from earprint.constants import FINGERPRINT_DIM, N_MELS
from earprint.encoders.model_file import FINDS, ModelFile, open_model
from earprint.errors import TrainingError
from earprint.training.checkpoint import CHECKPOINT, SAME_COSINE, SUMMARY, load_weights
from earprint.training.distortions import Distortions
from earprint.training.export import ExportReport, export_network, run_onnx
from earprint.training.networks import build_network, network_spec
from earprint.training.quantize import calibration_features
from earprint.training.sampler import Sampler
from earprint.training.store import Pack, open_pack
from earprint.training.tasks import task_for
from earprint.training.thresholds import parse_thresholds

__all__ = ["DEFAULT_THRESHOLD", "export_run", "parse_thresholds"]

DEFAULT_THRESHOLD = {"5": 0.5}
"""Used until thresholds have been chosen on held-out audio."""

DEFAULT_NAME = "dense"
"""Name of an exported model that is given none."""

COMPARED_FRAMES = 600
"""Random frames on which the network that a run was trained for is compared with a model."""


def export_run(
    run: Path,
    out: Path,
    name: str | None,
    thresholds: list[str],
    *,
    int8_store: Path | None = None,
    reference_steps: int | None = None,
) -> list[ExportReport]:
    """Export a run's averaged weights.

    Parameters
    ----------
    run : Path
        With a checkpoint.
    out : Path
        The ``.onnx`` file; of a run for queries, the model that it was trained to find.
    name : str or None
        The model's name; None for ``dense``, or for what a run for queries finds.
    thresholds : list of str
        ``SECONDS=SCORE`` pairs.
    int8_store : Path, optional
        Store of the run; given, the convolutions are quantised to 8 bits, calibrated on its training part.
    reference_steps : int, optional
        For ``dense``: every so manieth row is kept of a reference; the encoder's default otherwise.

    Returns
    -------
    list of ExportReport
        Of each network that was written: two if references and queries learned together.

    Raises
    ------
    TrainingError
        If the run has no checkpoint, a pair cannot be read, the run is for queries to another model, or
        something is asked for that such a network does not have.
    ModelError
        If the run is for queries and ``out`` is no model.
    """
    network, state = averaged_weights(run)
    config = json.loads(state["config"])
    dim = config.get("dim", FINGERPRINT_DIM)
    _check_asked(config["network"], reference_steps)
    card = {
        "name": name or DEFAULT_NAME,
        "network": network_spec(config["network"]).card_name,
        "dim": dim,
        "threshold": parse_thresholds(thresholds) or DEFAULT_THRESHOLD,
        "exported": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "training": {
            "steps": state["step"],
            "minutes": round(state["trained_s"] / 60, 1),
            "device": state.get("device", "unknown"),
            "store": state.get("store", {}),
            "started_from": state.get("started_from"),
            "config": config,
            "validation": _last_validation(run),
        },
    }
    spec = network_spec(config["network"])
    if spec.encoder == "dense":
        card["query_beyond_steps"] = config.get("query_beyond_steps", 0)
    calibration = None
    if int8_store is not None:
        card["precision"] = "int8 convolutions"
        calibration = _calibration(int8_store, config, dim)

    def export(exported: nn.Module, path: Path, **changes: Any) -> ExportReport:
        count = sum(p.numel() for p in exported.parameters())
        return export_network(exported, path, {**card, "parameters": count, **changes}, calibration)

    sparse = {}
    if reference_steps is not None:
        sparse["reference_steps"] = reference_steps
    if spec.role in ("both", "student"):
        return [export(network if spec.role == "both" else network.get_submodule("student"), out, **sparse)]
    reference, query = network.get_submodule("reference"), network.get_submodule("query")
    reports = []
    if spec.role == "pair":
        reports.append(export(reference, out, **sparse))
    finds = open_model(out)
    if spec.role == "query":
        _check_finds(reference, finds)
        if name not in (None, finds.name):
            raise TrainingError(
                f"{out}: its name is {finds.name}, and a network for queries has no other; leave out --name"
            )
    known: dict[str, Any] = {"name": finds.name, "network": finds.network, FINDS: finds.model_id}
    if not thresholds:
        known["threshold"] = finds.card["threshold"]
    return [*reports, export(query, finds.query_path, **known)]


def _check_asked(network: str, reference_steps: int | None) -> None:
    """Raise a TrainingError if references' rows are asked for that the network does not make."""
    spec = network_spec(network)
    if reference_steps is None or (spec.encoder == "dense" and spec.role != "query"):
        return
    reason = (
        "what references keep is settled by the model that the run finds"
        if spec.role == "query"
        else f"{network} has one row for each segment"
    )
    raise TrainingError(f"--reference-steps {reference_steps}: {reason}; leave it out")


def _check_finds(reference: nn.Module, model: ModelFile) -> None:
    """See that a run for queries was trained to find what a model stores.

    Raises
    ------
    TrainingError
        If it was not.
    """
    torch.manual_seed(0)
    frames = torch.randn(1, COMPARED_FRAMES, N_MELS)
    with torch.no_grad():
        trained_for = reference.eval().float()(frames).numpy()
    cosine = float((trained_for * run_onnx(model.path, frames.numpy())).sum(axis=-1).mean())
    if not cosine >= SAME_COSINE:
        raise TrainingError(
            f"{model.path}: is not what the run learned to find (mean cosine of fingerprints {cosine:.3f}); "
            "name the model that was exported from the weights of its --start-from"
        )


def averaged_weights(run: Path) -> tuple[nn.Module, dict[str, Any]]:
    """The averaged network of a run and how it was trained.

    From its checkpoint, or else from what a finished run also leaves: ``weights.pt`` (half precision) and
    ``run.json``, which are small enough to be kept and sent.

    Raises
    ------
    TrainingError
        If the run has neither.
    """
    file, weights, summary = run / CHECKPOINT, run / "weights.pt", run / SUMMARY
    if file.exists():
        state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    elif weights.exists() and summary.exists():
        state = json.loads(summary.read_text(encoding="utf-8"))
    else:
        raise TrainingError(f"{file}: no checkpoint; train first with `earprint train fit`")
    config = json.loads(state["config"])
    network = build_network(config["network"], config.get("dim", FINGERPRINT_DIM))
    if not file.exists():
        load_weights(network, config["network"], weights, torch.device("cpu"))
        return network, state
    average = AveragedModel(network)
    average.load_state_dict(state["average"])
    network.load_state_dict(average.module.state_dict())
    return network, state


def _calibration(store: Path, config: dict[str, Any], dim: int) -> list[NDArray[np.float32]]:
    """Inputs of the network, drawn as in training from what it was trained on."""

    def training_part(kind: str) -> Pack:
        return open_pack(store, kind).split(config["validation_percent"])[0]

    distortions: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in config["distortions"].items()
    }
    sampler = Sampler(
        training_part("music"), training_part("noise"), training_part("rooms"),
        Distortions(**distortions), torch.device("cpu"), config["seed"],
    )  # fmt: skip
    task = task_for(config["network"], dim, config.get("query_beyond_steps", 0))
    return calibration_features(task, sampler, max(config["lengths_s"]))


def _last_validation(run: Path) -> dict[str, Any]:
    file = run / "validation.jsonl"
    if not file.exists():
        return {}
    last: dict[str, Any] = json.loads(file.read_text(encoding="utf-8").splitlines()[-1])
    return last
