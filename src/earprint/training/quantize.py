"""From a float32 ONNX file to one whose convolutions count in 8-bit whole numbers.

Static quantisation by onnxruntime: weights per output channel, signed; activations unsigned with the range
that they have on calibration input. Weights take seven bits of the eight: processors without VNNI add
products in pairs in 16 bits, and full weights overflow there. Only two-dimensional convolutions are
quantised: they are nearly all of the weights and the work, while attention multiplies by masks of very
different scales, and the grouped one-dimensional convolutions of the heads are three times slower in 8 bits
than in float32. The first one is left out too: its single channel is slower in 8 bits, and the rare loud
frame that calibration did not see would be cut off.
"""

import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

from earprint.training.recipes import Recipe
from earprint.training.sampler import Sampler

CALIBRATION_BATCHES = 8
"""Batches of clean and distorted clips whose activations set the ranges."""

CALIBRATION_CLIPS = 24
"""Clips in each."""


def calibration_features(recipe: Recipe, sampler: Sampler, length_s: float) -> list[NDArray[np.float32]]:
    """Draw what the network sees in training: clean and distorted inputs by turns.

    Parameters
    ----------
    recipe : Recipe
        Of the network.
    sampler : Sampler
        Over the training part of a store.
    length_s : float
        Length of the clips.

    Returns
    -------
    list of ndarray of float32
        Each a batch of inputs of the network, `CALIBRATION_CLIPS` clips.
    """
    features = []
    with torch.no_grad():
        for _ in range(CALIBRATION_BATCHES):
            clips = min(CALIBRATION_CLIPS, len(sampler.music.items))
            features += [side.numpy() for side in recipe.inputs(sampler.draw(clips, length_s))]
    return features


def quantise(source: Path, target: Path, features: Sequence[NDArray[np.float32]]) -> None:
    """Write ``target``, the model of ``source`` with 8-bit convolutions.

    Parameters
    ----------
    source : Path
        A float32 ONNX file with one input.
    target : Path
    features : sequence of ndarray
        Calibration input.
    """
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        options = onnxruntime.SessionOptions()
        # Batch norms are folded into convolutions and shapes inferred before ranges are taken.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(prepared)
        session = onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        quiet, root = logging.CRITICAL, logging.getLogger()
        before = root.level
        root.setLevel(quiet)  # it warns that the preparation above was not its own
        try:
            quantize_static(
                prepared,
                target,
                _Reader(name, features),
                quant_format=QuantFormat.QDQ,
                reduce_range=True,  # see above
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                op_types_to_quantize=["Conv"],
                nodes_to_exclude=_exact(onnx.load(str(prepared))),
                calibrate_method=CalibrationMethod.MinMax,
            )
        finally:
            root.setLevel(before)


def _exact(model: onnx.ModelProto) -> list[str]:
    """Name the convolutions that stay as they are: one-dimensional ones, and the one that sees the input."""
    dimensions = {tensor.name: len(tensor.dims) for tensor in model.graph.initializer}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    return [
        node.name for node in convolutions if node is convolutions[0] or dimensions.get(node.input[1]) == 3
    ]


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Hands calibration input to onnxruntime, one batch at a time."""

    def __init__(self, name: str, features: Sequence[NDArray[np.float32]]) -> None:
        self._batches: Iterator[dict[str, NDArray[np.float32]]] = ({name: batch} for batch in features)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """Return the next input, or None."""
        return next(self._batches, None)
