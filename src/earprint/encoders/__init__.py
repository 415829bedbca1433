"""Encoders: from audio to fingerprints, run by onnxruntime with weights that come with the package."""

from earprint.encoders.base import AudioBlocks, Encoder, Fingerprints, sounds_of
from earprint.encoders.registry import describe_model, load_encoder, model_names

__all__ = [
    "AudioBlocks",
    "Encoder",
    "Fingerprints",
    "describe_model",
    "load_encoder",
    "model_names",
    "sounds_of",
]
