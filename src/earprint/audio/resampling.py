"""Resample mono audio to 16 kHz.

Callers average the channels first: both steps are linear, so this equals resampling every channel and
averaging afterwards, and costs less. FFmpeg's ``mono`` layout is not used, because it gives 0.707 (L + R),
may exceed full scale, and its gain depends on the sample format. FFmpeg's polyphase resampler (libswresample
with its defaults) is used for files and arrays alike, so that the same recording gives the same samples.
Output sample i is at time i / 16000 s of the input: the filter's delay is compensated.

Samples are float32 with full scale at +-1. Samples slightly beyond it, such as 1.05 from a lossy decoder, are
kept: clipping would add distortion, and fingerprints do not depend on the absolute level.
"""

from typing import Any

import av
import numpy as np
from av.filter import Graph
from numpy.typing import NDArray

from earprint.constants import SAMPLE_RATE


def as_float32(samples: NDArray[Any]) -> NDArray[np.float32]:
    """Convert samples of any numeric type to float32 with full scale at +-1.

    Parameters
    ----------
    samples : ndarray, any shape
        Floating point values are not scaled. Signed integers are divided by the magnitude of their type's
        minimum. Unsigned integers are centred at 0 first.

    Returns
    -------
    ndarray of float32, same shape
    """
    if samples.dtype == np.float32:
        return samples
    if samples.dtype.kind == "f":
        with np.errstate(over="ignore"):  # values beyond float32 become inf, which callers handle
            return samples.astype(np.float32)
    half_range = 2.0 ** (8 * samples.dtype.itemsize - 1)
    scaled = samples.astype(np.float32)
    if samples.dtype.kind == "u":
        scaled -= np.float32(half_range)
    scaled *= np.float32(1.0 / half_range)
    return scaled


class MonoResampler:
    """Resample one mono signal to 16 kHz, block by block.

    Blocks may have any lengths; the output does not depend on them. All blocks and `flush` together give
    ``ceil(n * 16000 / sample_rate)`` samples for n samples of input.

    Parameters
    ----------
    sample_rate : int
        Rate of the input, in Hz.
    """

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        if sample_rate != SAMPLE_RATE:
            self._graph, self._source, self._sink = _resampling_graph(sample_rate)
        self._n_in = 0
        self._n_out = 0

    def push(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Add the next block, shape (n,), and return the samples that are ready, shape (m,)."""
        if self.sample_rate == SAMPLE_RATE or len(samples) == 0:
            return samples
        self._n_in += len(samples)
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples)[np.newaxis], format="fltp", layout="mono"
        )
        frame.sample_rate = self.sample_rate
        self._source.push(frame)
        return self._pull()

    def flush(self) -> NDArray[np.float32]:
        """Return the last samples, shape (m,). No block may be added after this."""
        if self.sample_rate == SAMPLE_RATE:
            return np.zeros(0, dtype=np.float32)
        missing = -(-self._n_in * SAMPLE_RATE // self.sample_rate) - self._n_out
        self._source.push(None)
        blocks = []
        while len(block := self._pull()):
            blocks.append(block)
        tail = np.concatenate([np.zeros(0, np.float32), *blocks])[:missing]
        return np.pad(tail, (0, max(0, missing - len(tail))))

    def _pull(self) -> NDArray[np.float32]:
        """Return the next frame that is ready, shape (m,); empty if none is."""
        try:
            frame = self._sink.pull()
        except (BlockingIOError, EOFError):
            return np.zeros(0, np.float32)
        ready = np.frombuffer(memoryview(frame.planes[0]), np.float32, count=frame.samples)
        self._n_out += len(ready)
        return ready


def _resampling_graph(sample_rate: int) -> tuple[Graph, Any, Any]:
    """Build FFmpeg's resampler as PyAV's `AudioResampler` does; return the graph, its source and its sink.

    `AudioResampler` tries to pull a second frame after each one, which costs an exception. This graph is
    asked for one frame only.
    """
    graph = Graph()
    source = graph.add("abuffer", sample_rate=str(sample_rate), sample_fmt="fltp", channel_layout="mono")
    wanted = graph.add("aformat", sample_rates=str(SAMPLE_RATE), sample_fmts="fltp", channel_layouts="mono")
    sink = graph.add("abuffersink")
    source.link_to(wanted)
    wanted.link_to(sink)
    graph.configure()
    return graph, source, sink


def resample_mono(samples: NDArray[np.float32], sample_rate: int) -> NDArray[np.float32]:
    """Resample a whole mono signal to 16 kHz.

    Parameters
    ----------
    samples : ndarray of float32, shape (n,)
    sample_rate : int
        Its rate, in Hz.

    Returns
    -------
    ndarray of float32, shape (m,)
        A copy, with m = ceil(n * 16000 / sample_rate).

    See Also
    --------
    earprint.audio.arrays.array_to_mono : for arrays of any type and layout, which it checks.
    """
    resampler = MonoResampler(sample_rate)
    return np.concatenate([resampler.push(samples), resampler.flush()])
