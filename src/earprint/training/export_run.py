"""Exports a run as a model with its description: configuration, data, duration and validation.

A run of a query network becomes files beside the model whose fingerprints its queries find, see
`earprint.encoders.model_file`. A run that trained both becomes both models.
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
from earprint.training.config import augmentations_of
from earprint.training.export import ExportReport, export_network, run_onnx
from earprint.training.legacy_settings import current_settings
from earprint.training.model_card import write_model_card
from earprint.training.networks import build_network, network_spec
from earprint.training.packed_audio import Pack, open_pack
from earprint.training.quantize import calibration_features
from earprint.training.sampler import Sampler
from earprint.training.tasks import task_for
from earprint.training.thresholds import parse_thresholds

__all__ = ["DEFAULT_THRESHOLD", "export_run", "parse_thresholds"]

DEFAULT_THRESHOLD = {"5": 0.5}
"""Threshold of a model for which none was chosen on held-out audio."""

DEFAULT_NAME = "dense"
"""Default name of a model."""

COMPARED_FRAMES = 600
"""Random frames on which a run's reference network is compared with a model."""


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
        The ``.onnx`` file; of a run of a query network, the model whose fingerprints its queries find.
    name : str or None
        The model's name; None for ``dense``, and for a query network the name of ``out``.
    thresholds : list of str
        ``SECONDS=SCORE`` pairs.
    int8_store : Path, optional
        Store of the run. Quantises convolutions to 8 bits, calibrated on its training part.
    reference_steps : int, optional
        For ``dense``: references keep every Nth row; the encoder's default otherwise.

    Returns
    -------
    list of ExportReport
        One for each network that was written.

    Raises
    ------
    TrainingError
        If the run has no checkpoint, a threshold cannot be parsed, a query network was trained for another
        model, or the network does not have ``reference_steps``.
    ModelError
        If the run is of a query network and ``out`` is no model.
    """
    network, state = averaged_weights(run)
    config = current_settings(json.loads(state["config"]))
    dim = config.get("dim", FINGERPRINT_DIM)
    _check_reference_steps(config["network"], reference_steps)
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
        described = {**card, "parameters": count, **changes}
        report = export_network(exported, path, described, calibration)
        write_model_card(path.with_suffix(".md"), described)
        return report

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
                f"{out}: its name is {finds.name}, and its query network has the same name; leave out --name"
            )
    known: dict[str, Any] = {"name": finds.name, "network": finds.network, FINDS: finds.model_id}
    if not thresholds:
        known["threshold"] = finds.card["threshold"]
    return [*reports, export(query, finds.query_path, **known)]


def _check_reference_steps(network: str, reference_steps: int | None) -> None:
    """Raise a TrainingError if the network does not have reference steps."""
    spec = network_spec(network)
    if reference_steps is None or (spec.encoder == "dense" and spec.role != "query"):
        return
    reason = (
        "the model that the queries find determines what references keep"
        if spec.role == "query"
        else f"{network} has one row for each segment"
    )
    raise TrainingError(f"--reference-steps {reference_steps}: {reason}; leave it out")


def _check_finds(reference: nn.Module, model: ModelFile) -> None:
    """Check that a query network was trained for the fingerprints of a model.

    Raises
    ------
    TrainingError
        If it was trained for another one.
    """
    torch.manual_seed(0)
    frames = torch.randn(1, COMPARED_FRAMES, N_MELS)
    with torch.no_grad():
        trained_for = reference.eval().float()(frames).numpy()
    cosine = float((trained_for * run_onnx(model.path, frames.numpy())).sum(axis=-1).mean())
    if not cosine >= SAME_COSINE:
        raise TrainingError(
            f"{model.path}: the run was trained for another model (mean cosine {cosine:.3f}); "
            "name the model that was exported from the weights of its --start-from"
        )


def averaged_weights(run: Path) -> tuple[nn.Module, dict[str, Any]]:
    """The averaged network of a run, and the summary of the run.

    They come from the checkpoint, or from the small files of a finished run: ``weights.pt`` (half precision)
    and ``run.json``.

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
    """Inputs of the network, drawn as in training from the training part of a store."""

    def training_part(kind: str) -> Pack:
        return open_pack(store, kind).split(config["validation_percent"])[0]

    augmentations, min_power = augmentations_of(config)
    sampler = Sampler(
        training_part("music"), training_part("noise"), training_part("rooms"),
        augmentations, torch.device("cpu"), config["seed"], min_power=min_power,
    )  # fmt: skip
    task = task_for(config["network"], dim, config.get("query_beyond_steps", 0))
    return calibration_features(task, sampler, max(config["lengths_s"]))


def _last_validation(run: Path) -> dict[str, Any]:
    file = run / "validation.jsonl"
    if not file.exists():
        return {}
    last: dict[str, Any] = json.loads(file.read_text(encoding="utf-8").splitlines()[-1])
    return last
