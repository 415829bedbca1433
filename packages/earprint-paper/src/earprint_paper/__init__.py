"""Weights of the paper's encoder. earprint finds them through the entry point ``earprint.models``."""

from pathlib import Path

PLAIN = Path(__file__).parent / "plain.onnx"
"""The model ``plain``: the paper's residual network without attention."""
