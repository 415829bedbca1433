"""The dense encoder: a fully convolutional network runs once over a recording.

Log-mel frames are normalised locally and pass through the network in chunks. Chunks overlap by the network's
context, so they give the same result as one pass. Outside the recording the network sees zeros, which is the
local mean. It computes one row every 40 ms. Queries keep all rows, references every Nth row (card key
``reference_steps``). Queries can also have margin rows (card key ``query_beyond_steps``), whose windows
extend past either end by up to half their length, so even a short query has rows near rows of the reference.
Queries may use a network of their own with the same receptive field (see `earprint.encoders.model_file`).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property, lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from earprint.constants import FRAME_RATE, N_MELS, SAMPLE_RATE, SEGMENT_FRAMES
from earprint.encoders.base import AudioBlocks, Fingerprints
from earprint.encoders.dense_geometry import CONTEXT_LEFT, CONTEXT_RIGHT, RECEPTIVE_FIELD, STEP_FRAMES
from earprint.encoders.model_file import ModelEncoder, ModelFile, Session
from earprint.features import DENSE_FRONT_END, FrontEnd, LogMelStream, normalise_stream, silent_windows

REFERENCE_STEPS: Final = 2
"""References keep every Nth row, 80 ms, if the card has no ``reference_steps``."""

EVERY_NTH: Final = "every_{}"
"""Name of an optional boolean input of a model. If it is true, the model computes every Nth row only."""

CHUNK_FRAMES: Final = 2048
"""Frames per call of the network, context included, 20 s."""


@lru_cache(maxsize=64)
def _front_end(pitch: float) -> FrontEnd:
    return DENSE_FRONT_END if pitch == 1.0 else replace(DENSE_FRONT_END, pitch=pitch)


class DenseEncoder(ModelEncoder):
    """Encoder of fully convolutional networks (see `earprint.encoders.Encoder`).

    Parameters
    ----------
    model : ModelFile
    threads : int
        Threads for one call of the query network; 0 for one per core. The network for references always uses
        one, as callers encode several references at a time.
    chunk_frames : int
        Frames per call of a network, context included.
    """

    query_hop_s: float = STEP_FRAMES / FRAME_RATE

    def __init__(self, model: ModelFile, threads: int = 0, chunk_frames: int = CHUNK_FRAMES) -> None:
        self.query_model = model.query_model()
        super().__init__(model, threads, Session(self.query_model, threads))
        self._chunk_frames = chunk_frames
        self._reference_steps = model.whole_number("reference_steps", REFERENCE_STEPS, least=1)
        self._query_margin_rows = self.query_model.whole_number("query_beyond_steps", 0, least=0)
        self.reference_hop_s = STEP_FRAMES * self._reference_steps / FRAME_RATE

    @property
    def expectation(self) -> Mapping[str, Any] | None:
        """The law of chance scores of the query network's model card."""
        law: Mapping[str, Any] | None = self.query_model.card.get("expectation")
        return law

    def encode(self, blocks: AudioBlocks, *, query: bool = False) -> Fingerprints:
        """Fingerprint one recording, see `earprint.encoders.Encoder`.

        A recording shorter than 960 ms gives one row, besides margin rows. An empty one gives silent rows.
        """
        return self._encode(DENSE_FRONT_END, blocks, query=query)

    def encode_at_pitch(self, blocks: AudioBlocks, pitch: float) -> Fingerprints:
        """Fingerprint a query at another pitch, see `earprint.encoders.base.SegmentEncoder`."""
        return self._encode(_front_end(pitch), blocks, query=True)

    def _encode(self, front_end: FrontEnd, blocks: AudioBlocks, *, query: bool) -> Fingerprints:
        stream = LogMelStream(front_end, blocks)
        steps, margin_rows = (1, self._query_margin_rows) if query else (self._reference_steps, 0)
        chunks = self._chunks(normalise_stream(stream), margin_rows * STEP_FRAMES, steps)
        if query:
            parts = [self._session.run(chunk)[0] for chunk in chunks]
        elif self._reference_session.switched:
            parts = [self._reference_session.run(chunk)[0] for chunk in chunks]
        else:
            # A copy, since a view would keep the other rows in memory.
            parts = [self._reference_session.run(chunk)[0, ::steps].copy() for chunk in chunks]
        vectors = np.concatenate(parts)
        silent = silent_windows(
            stream.energies,
            stream.peak,
            len(vectors),
            STEP_FRAMES * steps,
            SEGMENT_FRAMES,
            first=-margin_rows * STEP_FRAMES,
        )
        vectors[silent] = 0.0
        return Fingerprints(
            vectors,
            self.query_hop_s if query else self.reference_hop_s,
            stream.n_samples / SAMPLE_RATE,
            margin_rows,
        )

    def threshold(self, duration_s: float) -> float:
        """Return the least score of a match for a query of ``duration_s`` seconds."""
        return self.query_model.threshold(duration_s)

    @cached_property
    def _reference_session(self) -> Session:
        """The network for references, on one thread per call."""
        return Session(self.model, threads=1, switch=EVERY_NTH.format(self._reference_steps))

    def _chunks(
        self, frames: Iterable[NDArray[np.float32]], margin: int, steps: int
    ) -> Iterator[NDArray[np.float32]]:
        """Cut a recording's frames, padded by ``margin`` frames on either side, into overlapping chunks.

        Chunks have shape (1, n, 64). Each but the last gives a multiple of ``steps`` rows, so every chunk
        begins with a row of that grid.
        """
        rows_per_chunk = (self._chunk_frames - RECEPTIVE_FIELD) // STEP_FRAMES + 1
        rows_per_chunk = max(steps, rows_per_chunk - rows_per_chunk % steps)
        size = RECEPTIVE_FIELD + (rows_per_chunk - 1) * STEP_FRAMES
        pending = np.zeros((CONTEXT_LEFT + margin, N_MELS), np.float32)
        n_frames = 0
        for part in frames:
            n_frames += len(part)
            pending = np.concatenate((pending, part))
            while len(pending) >= size:
                yield pending[None, :size]
                pending = pending[rows_per_chunk * STEP_FRAMES :]
        missing = margin + CONTEXT_RIGHT + max(0, SEGMENT_FRAMES - n_frames)
        pending = np.concatenate((pending, np.zeros((missing, N_MELS), np.float32)))
        while len(pending) >= RECEPTIVE_FIELD:
            chunk = pending[:size]
            yield chunk[None]
            pending = pending[((len(chunk) - RECEPTIVE_FIELD) // STEP_FRAMES + 1) * STEP_FRAMES :]
