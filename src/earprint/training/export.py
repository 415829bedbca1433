"""Export of a trained network: an ONNX file, and the model card that says how to run it.

onnxruntime folds batch norms into convolutions. Weights are stored as float16 and cast to float32 at run
time, which halves the file; `earprint train export` prints how much the rounding changes fingerprints. With
calibration inputs, convolutions become 8-bit integers, see `earprint.training.quantize`.
"""

import json
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import nn

from earprint.constants import N_MELS, SEGMENT_FRAMES
from earprint.encoders.dense import EVERY_NTH
from earprint.encoders.dense_geometry import RECEPTIVE_FIELD
from earprint.training.networks import network_spec
from earprint.training.quantize import quantise, without_log
from earprint.training.strided_head import BothGrids, HasStridedHead, make_switch

SMALLEST_HALVED = 256
"""Tensors with fewer elements stay float32."""

EXAMPLE_FRAMES = 600
"""Frames of the random input with which a dense network is exported and compared."""


@dataclass(frozen=True)
class ExportReport:
    """Difference between the exported model and the trained network.

    Attributes
    ----------
    path : Path
        The ONNX file.
    difference : float
        Largest difference of any component between torch and onnxruntime, before rounding, on random inputs.
    rounding_cosine : float
        Smallest cosine between a fingerprint before and after rounding, on random inputs or, for 8 bits, on
        calibration inputs.
    mean_cosine : float
        Mean of these cosines.
    """

    path: Path
    difference: float
    rounding_cosine: float
    mean_cosine: float


def export_network(
    network: nn.Module,
    path: Path,
    card: dict[str, Any],
    calibration: Sequence[NDArray[np.float32]] | None = None,
) -> ExportReport:
    """Write the ONNX file and the model card beside it, and compare the model with the network.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode.
    path : Path
        Ends in ``.onnx``.
    card : dict
        Must hold ``name``, ``network``, ``dim`` and ``threshold`` (score by query length in seconds). The
        written card also holds ``encoder``, ``dense`` or ``windowed``: how to run the model. With
        ``reference_steps``, a dense model can compute those rows alone, see `earprint.training.strided_head`.
    calibration : sequence of ndarray, optional
        Inputs of the network. If given, convolutions become 8-bit; the last input is for the comparison only.

    Returns
    -------
    ExportReport
    """
    network = network.eval().float().cpu()
    encoder = network_spec(card["network"]).encoder
    card = {"encoder": encoder, **card}
    if encoder == "windowed":
        example = torch.randn(2, SEGMENT_FRAMES, N_MELS)
        dynamic: dict[int, Any] = {0: torch.export.Dim("segments", min=1)}
    else:
        example = torch.randn(1, EXAMPLE_FRAMES, N_MELS)
        dynamic = {1: torch.export.Dim("frames", min=RECEPTIVE_FIELD)}
    every = card.get("reference_steps", 1)
    whole, outputs = network, ["fingerprints"]
    if encoder == "dense" and every > 1 and isinstance(network, HasStridedHead):
        whole, outputs = BothGrids(network, every).eval(), ["fingerprints", "fewer"]
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "plain.onnx"
        # The exporter warns of packages that it does not need, and of its own use of torch.
        with without_log("torch.onnx"), warnings.catch_warnings(action="ignore"):
            program = torch.onnx.export(
                whole, (example,), dynamo=True, dynamic_shapes=(dynamic,), verbose=False,
                input_names=["features"], output_names=outputs,
            )  # fmt: skip
        assert program is not None
        program.save(str(plain))
        exported = run_onnx(plain, example.numpy())
        with torch.no_grad():
            expected = network(example).numpy()
        path.parent.mkdir(parents=True, exist_ok=True)
        compared = example.numpy()
        exact = plain
        if calibration is not None:
            if encoder == "dense":  # the exported model takes one recording at a time
                calibration = [clip[None] for batch in calibration for clip in batch]
            *features, compared = calibration
            exact = Path(folder) / "quantised.onnx"
            quantise(plain, exact, features)
        model = onnx.load(str(exact))
        for node in model.graph.node:  # source locations of the exporting machine
            del node.metadata_props[:]
        if len(outputs) > 1:
            make_switch(model, EVERY_NTH.format(every))
        store_weights_as_half(model)
        onnx.save(model, str(path))
        before, after = run_onnx(plain, compared), run_onnx(path, compared)
    path.with_suffix(".json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    cosines = (before * after).sum(axis=-1)
    difference = float(np.abs(exported - expected).max())
    return ExportReport(path, difference, float(cosines.min()), float(cosines.mean()))


def run_onnx(path: Path, features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Evaluate an ONNX file on the CPU."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # no warning that the switch is not a constant
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    output: NDArray[np.float32] = session.run(None, {session.get_inputs()[0].name: features})[0]
    return output


def store_weights_as_half(model: onnx.ModelProto) -> None:
    """Replace large float32 initialisers by float16 ones and a cast back, in place."""
    graph = model.graph
    casts = []
    for index, tensor in enumerate(graph.initializer):
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < SMALLEST_HALVED:
            continue
        name = tensor.name
        stored = onnx.numpy_helper.from_array(values.astype(np.float16), f"{name}_half")
        graph.initializer[index].CopyFrom(stored)
        casts.append(onnx.helper.make_node("Cast", [f"{name}_half"], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
