"""Static quantisation of an ONNX model: convolutions compute in 8-bit integers.

onnxruntime quantises weights per output channel, signed, and activations unsigned, in the range that they
have on calibration inputs. Weights use seven of the eight bits: processors without VNNI add pairs of products
in 16 bits, and full weights overflow there.

Only two-dimensional convolutions are quantised, which hold nearly all weights and work. Attention multiplies
by masks of very different scales. The grouped one-dimensional convolutions of the heads are three times
slower in 8 bits than in float32. The first convolution stays in float32 too: its single channel is slower in
8 bits, and rare loud frames would be clipped.
"""

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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

from earprint.training.sampler import Sampler
from earprint.training.tasks import Task

CALIBRATION_BATCHES = 8
"""Batches of clips, clean and distorted, whose activations set the ranges."""

CALIBRATION_CLIPS = 24
"""Clips in each batch."""


def calibration_features(task: Task, sampler: Sampler, length_s: float) -> list[NDArray[np.float32]]:
    """Draw inputs as in training, alternately of the clean and of the distorted side.

    Parameters
    ----------
    task : Task
    sampler : Sampler
        Over the training part of a store.
    length_s : float
        Length of the clips.

    Returns
    -------
    list of ndarray of float32
        Each holds the network's inputs for `CALIBRATION_CLIPS` clips.
    """
    features = []
    with torch.no_grad():
        for _ in range(CALIBRATION_BATCHES):
            clips = min(CALIBRATION_CLIPS, len(sampler.music.items))
            features += [side.numpy() for side in task.inputs(sampler.draw(clips, length_s))]
    return features


def quantise(source: Path, target: Path, features: Sequence[NDArray[np.float32]]) -> None:
    """Write the model of ``source`` to ``target`` with 8-bit convolutions.

    Parameters
    ----------
    source : Path
        A float32 ONNX file with one input.
    target : Path
    features : sequence of ndarray
        Calibration inputs.
    """
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        options = onnxruntime.SessionOptions()
        # This folds batch norms into convolutions and infers shapes before calibration.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(prepared)
        session = onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        with without_log(""):  # quantize_static warns that it did not prepare the model itself
            quantize_static(
                prepared,
                target,
                _Reader(name, features),
                quant_format=QuantFormat.QDQ,
                reduce_range=True,  # seven bits
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                op_types_to_quantize=["Conv"],
                nodes_to_exclude=_exact(onnx.load(str(prepared))),
                calibrate_method=CalibrationMethod.MinMax,
            )


@contextmanager
def without_log(name: str) -> Iterator[None]:
    """Suppress the messages of a logger, below critical ones; the name of the root logger is empty."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def _exact(model: onnx.ModelProto) -> list[str]:
    """Return the names of convolutions that stay in float32: the first, and one-dimensional ones."""
    dimensions = {tensor.name: len(tensor.dims) for tensor in model.graph.initializer}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    return [
        node.name for node in convolutions if node is convolutions[0] or dimensions.get(node.input[1]) == 3
    ]


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Passes calibration inputs to onnxruntime, one batch at a time."""

    def __init__(self, name: str, features: Sequence[NDArray[np.float32]]) -> None:
        self._batches: Iterator[dict[str, NDArray[np.float32]]] = ({name: batch} for batch in features)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """Return the next input, or None."""
        return next(self._batches, None)
