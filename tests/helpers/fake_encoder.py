"""A stand-in for the encoder: a fixed random projection of log-spectral frames.

It has the grid of the dense model (80 ms for references, 40 ms for queries) and the same
conventions, needs no weights, and gives equal vectors for equal windows, so that shifts of whole
hops match exactly.
"""

import numpy as np

from earprint.audio import wav
from earprint.encoders.base import Fingerprints

RATE = 16_000
HOP = 640
WINDOW = 24 * HOP
DIM = 32
BANDS = 32


class FakeEncoder:
    name = "fake"
    codebook = None
    dim = DIM
    reference_hop_s = 2 * HOP / RATE
    query_hop_s = HOP / RATE

    def __init__(self, model_id="fake-0001"):
        self.model_id = model_id
        rng = np.random.default_rng(7)
        self._projection = rng.standard_normal((WINDOW // HOP * BANDS, DIM)) / 10

    def threshold(self, duration_s):
        return 0.6

    def encode(self, blocks, *, query=False):
        samples = np.concatenate([np.zeros(0, np.float32), *blocks]).astype(np.float64)
        duration_s = len(samples) / RATE
        samples = np.pad(samples, (0, max(0, WINDOW - len(samples))))
        frames = samples[: len(samples) // HOP * HOP].reshape(-1, HOP)
        spectrum = np.abs(np.fft.rfft(frames * np.hanning(HOP), axis=1))[:, 1:]
        bands = np.log(spectrum.reshape(len(frames), BANDS, -1).mean(axis=2) + 1e-3)
        starts = range(0, len(frames) - WINDOW // HOP + 1, 1 if query else 2)
        peak = np.abs(samples).max()
        vectors = np.zeros((len(starts), DIM), dtype=np.float32)
        for row, start in enumerate(starts):
            window = slice(start, start + WINDOW // HOP)
            if peak > 0 and np.mean(frames[window] ** 2) > 1e-6 * peak**2:
                vector = (bands[window] - bands[window].mean()).ravel() @ self._projection
                vectors[row] = vector / np.linalg.norm(vector)
        hop_s = self.query_hop_s if query else self.reference_hop_s
        return Fingerprints(vectors, hop_s, duration_s)


def tune(seed, seconds=6.0):
    """A few seconds of notes over noise, different for every seed, float32."""
    rng = np.random.default_rng(seed)
    samples = rng.standard_normal(int(seconds * RATE)) * 0.01
    for begin in range(0, len(samples), RATE // 5):
        part = samples[begin : begin + RATE // 5]
        for frequency in rng.uniform(100, 6000, 4):
            part += 0.15 * np.sin(2 * np.pi * frequency / RATE * np.arange(len(part)))
    return samples.astype(np.float32)


def write_tunes(folder, count, seconds):
    """Make a folder of tunes 0.wav, 1.wav and so on."""
    folder.mkdir()
    for i in range(count):
        write_wav(folder / f"{i}.wav", tune(i, seconds))
    return folder


def write_wav(path, samples):
    """Write mono 16 kHz float samples as 16-bit PCM; return the path."""
    wav.write_wav(path, samples)
    return path
