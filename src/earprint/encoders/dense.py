"""The dense encoder: one pass of a fully convolutional network over a track, in chunks.

Log-mel frames are normalised locally and go through the network in chunks that carry their neighbours as
context, so that chunks give what one pass would. Beyond the ends of the recording the network sees zeros,
the local mean. A row comes out each 40 ms: queries keep all, references every second one or fewer, as the
model's card says. A model that learned to also gives rows for windows that lie half beyond the ends of a
query: a short query then has rows on every reference grid. Queries may have a network of their own, of the
same fields of view (`earprint.encoders.model_file`).
"""

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from earprint.constants import FRAME_RATE, N_MELS, SAMPLE_RATE, SEGMENT_FRAMES
from earprint.encoders.base import AudioBlocks, Fingerprints
from earprint.encoders.dense_geometry import CONTEXT_LEFT, CONTEXT_RIGHT, RECEPTIVE_FIELD, STEP_FRAMES
from earprint.encoders.model_file import ModelEncoder, ModelFile, Session
from earprint.features import DENSE_FRONT_END, LogMelStream, normalise_stream, silent_windows

REFERENCE_STEPS: Final = 2
"""Every so manieth row is kept of a reference if the card does not say: 80 ms."""

EVERY_NTH: Final = "every_{}"
"""Optional input of a model: set, it computes only every so manieth row of what it is given."""

CHUNK_FRAMES: Final = 2048
"""Frames given to the network at once, context included, 20 s."""


class DenseEncoder(ModelEncoder):
    """`earprint.encoders.Encoder` of the ``dense`` network."""

    query_hop_s: float = STEP_FRAMES / FRAME_RATE

    def __init__(self, model: ModelFile, threads: int = 0, chunk_frames: int = CHUNK_FRAMES) -> None:
        self.query_model = model.query_model()
        super().__init__(model, threads, Session(self.query_model, threads))
        self._chunk_frames = chunk_frames
        self._reference_steps = model.whole_number("reference_steps", REFERENCE_STEPS, least=1)
        self._query_beyond = self.query_model.whole_number("query_beyond_steps", 0, least=0)
        self.reference_hop_s = STEP_FRAMES * self._reference_steps / FRAME_RATE

    def encode(self, blocks: AudioBlocks, *, query: bool = False) -> Fingerprints:
        """Fingerprint one recording; see `earprint.encoders.Encoder`.

        A recording shorter than 960 ms gives one row, besides those that reach beyond it; an empty one
        gives silent rows.
        """
        stream = LogMelStream(DENSE_FRONT_END, blocks)
        steps, beyond = (1, self._query_beyond) if query else (self._reference_steps, 0)
        chunks = self._chunks(normalise_stream(stream), beyond * STEP_FRAMES, steps)
        if query:
            parts = [self._session.run(chunk)[0] for chunk in chunks]
        elif self._reference_session.switched:
            parts = [self._reference_session.run(chunk)[0] for chunk in chunks]
        else:
            # Only the rows of the grid are kept: copied, or a view would hold the others in memory.
            parts = [self._reference_session.run(chunk)[0, ::steps].copy() for chunk in chunks]
        vectors = np.concatenate(parts)
        silent = silent_windows(
            stream.energies,
            stream.peak,
            len(vectors),
            STEP_FRAMES * steps,
            SEGMENT_FRAMES,
            first=-beyond * STEP_FRAMES,
        )
        vectors[silent] = 0.0
        return Fingerprints(
            vectors,
            self.query_hop_s if query else self.reference_hop_s,
            stream.n_samples / SAMPLE_RATE,
            beyond,
        )

    def threshold(self, duration_s: float) -> float:
        """Score of a match for a query of some length, by the network that queries go through."""
        return self.query_model.threshold(duration_s)

    @cached_property
    def _reference_session(self) -> Session:
        """The network on one thread for each call: references are fingerprinted several at a time."""
        return Session(self.model, threads=1, switch=EVERY_NTH.format(self._reference_steps))

    def _chunks(
        self, frames: Iterable[NDArray[np.float32]], beyond: int, steps: int
    ) -> Iterator[NDArray[np.float32]]:
        """Cut a track's frames, with ``beyond`` more on either side, into overlapping inputs (1, n, 64).

        Each but the last gives a multiple of ``steps`` rows: every chunk begins with a row of that grid.
        """
        window = RECEPTIVE_FIELD
        rows_per_chunk = (self._chunk_frames - window) // STEP_FRAMES + 1
        rows_per_chunk = max(steps, rows_per_chunk - rows_per_chunk % steps)
        size = window + (rows_per_chunk - 1) * STEP_FRAMES
        held = np.zeros((CONTEXT_LEFT + beyond, N_MELS), np.float32)
        n_frames = 0
        for part in frames:
            n_frames += len(part)
            held = np.concatenate((held, part))
            while len(held) >= size:
                yield held[None, :size]
                held = held[rows_per_chunk * STEP_FRAMES :]
        missing = beyond + CONTEXT_RIGHT + max(0, SEGMENT_FRAMES - n_frames)
        held = np.concatenate((held, np.zeros((missing, N_MELS), np.float32)))
        while len(held) >= window:
            part = held[:size]
            yield part[None]
            held = held[((len(part) - window) // STEP_FRAMES + 1) * STEP_FRAMES :]
