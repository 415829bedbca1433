"""Encoders: audio to fingerprints, with networks that onnxruntime runs."""

from earprint.encoders.base import AudioBlocks, Encoder, Fingerprints, cohort_of
from earprint.encoders.registry import describe_model, load_encoder, model_names

__all__ = [
    "AudioBlocks",
    "Encoder",
    "Fingerprints",
    "cohort_of",
    "describe_model",
    "load_encoder",
    "model_names",
]
