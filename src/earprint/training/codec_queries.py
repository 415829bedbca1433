"""Calls: excerpts of the store's music as a telephone call or a voice message brings them, ready made.

In the world the codec comes last, after room, noise, device and band limits, and codecs do not run in batches
on a GPU. So a pool of such queries is rendered beforehand into the store's pack ``calls``: each is music with
a second of real past, reverberated, mixed with noise, sent through a device and a band, and coded. A call is
in step with its recording, within a millisecond.

Each call has a random generator of its own, made of the seed and the call's number, so that calls do not
depend on who renders them; `earprint.training.codec_queries_packing` does, of the training part of a store. Nothing here
needs torch.
"""

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from earprint.audio.codec import can_encode, round_trip
from earprint.constants import SAMPLE_RATE
from earprint.dsp.fft import fft_length
from earprint.errors import AudioError, TrainingError
from earprint.training.distortions import TILT_FROM_HZ, TILT_HZ
from earprint.training.hierarchical_sampler import Nested
from earprint.training.packing import BIT_RATES
from earprint.training.store import Item, Pack

Audio = NDArray[np.float32]

CODEC_SHARES = {"opus": 0.5, "amr": 0.3, "mp3": 0.2}
"""How often each codec is taken, of those that are there."""

PAST = SAMPLE_RATE
"""Past music whose reverberation reaches into a call, and the longest response, in samples."""

DEVICE_RESPONSE = SAMPLE_RATE // 4
"""Devices' responses are cut here, in samples."""

QUIETEST = 1e-6
"""Mean square, of full scale, that the music of a call has at least."""

QUIETEST_NOISE = 1e-8
"""Mean square that its noise has at least, before it is levelled."""

PLACES_TRIED = 4
"""Places drawn in a recording, and pieces of noise, until one is loud enough; and recordings after that."""

ROOM, DEVICE, SECOND_NOISE, TELEPHONE_BAND, CLIPPED = 0.75, 0.5, 0.3, 0.75, 0.1
"""How often a call has each."""

NOISE_PACE, NOISE_TILT = 0.5, 0.5
"""How often a noise is played at another pace, and how often its spectrum is tilted."""

PACES, TILTS_DB = (0.65, 1.35), (-4.0, 4.0)
"""Paces, and tilts in dB per octave, uniform: so few recorded noises become many."""

SNR_DB = (-2.0, 22.0)
"""Signal-to-noise ratio after reverberation, uniform."""

TELEPHONE_HZ = ((200.0, 400.0), (3_000.0, 4_000.0))
"""Where the corners of a telephone's band lie, uniform."""

WIDER_HZ = ((50.0, 300.0), (4_500.0, 7_500.0))
"""Where those of the other calls' band lie."""

PEAKS = (0.1, 0.9)
"""Peak that is sent to the codec, of full scale, uniform in dB."""


@dataclass(frozen=True)
class Call:
    """One call.

    Attributes
    ----------
    recording : Item
        What it is a call of.
    at : int
        Sample of the recording at which it begins.
    samples : ndarray of int16, shape (n,)
    codec : str or None
        What coded it; None if it could not be coded.
    """

    recording: Item
    at: int
    samples: NDArray[np.int16]
    codec: str | None


class Caller:
    """Renders calls by their numbers.

    Parameters
    ----------
    music, noise, rooms : Pack
        ``rooms`` holds responses in the categories ``room``, ``simulated`` and ``device``; where one is
        missing, the others or none take its place.
    length : int
        Samples of a call.
    seed : int

    Raises
    ------
    TrainingError
        If no recording, of those whose name is theirs alone, is as long as a call, or there is no noise.
    """

    def __init__(self, music: Pack, noise: Pack, rooms: Pack, length: int, seed: int) -> None:
        self.music, self.noise, self.rooms = music, noise, rooms
        self.length, self.seed = length, seed
        named = Counter(item.name for item in music.items)  # a call knows its recording by its name
        self._recordings = [item for item in music.items if item.length >= length and named[item.name] == 1]
        if not self._recordings:
            raise TrainingError(f"music: no recording of {length / SAMPLE_RATE:g} s; make calls shorter")
        if not noise.items:
            raise TrainingError("noise: none to train with in this store; pack more sources of it")
        self._noises = Nested(noise.items)
        self._rooms = [nested for kind in ("room", "simulated") if len(nested := Nested(rooms.items, [kind]))]
        self._devices = Nested(rooms.items, ["device"])
        self._codecs = [name for name in CODEC_SHARES if can_encode(name)]
        # What a response leaves beyond the end wraps around into the past, and no farther.
        self._size = fft_length(PAST + length + DEVICE_RESPONSE)
        self._hz = np.fft.rfftfreq(self._size, 1 / SAMPLE_RATE).astype(np.float32)
        self._round, self._order = -1, np.zeros(0, np.int64)

    def call(self, number: int) -> Call:
        """Render a call; the same number gives the same call."""
        rng = np.random.default_rng([self.seed, number])
        recording, at = self._excerpt(self._recording(number), rng)
        mixed = self._heard(recording, at, rng)
        peak = np.abs(mixed).max()
        if rng.random() < CLIPPED:
            limit = peak * np.float32(1 - rng.uniform(0.1, 0.7))
            mixed = np.clip(mixed, -limit, limit)
            peak = limit
        wanted = np.exp(rng.uniform(*np.log(PEAKS)))
        if peak > 0:
            mixed = mixed * np.float32(wanted / peak)
        coded, codec = self._coded(mixed, rng)
        samples = np.clip(np.round(coded * 32_768), -32_768, 32_767).astype(np.int16)
        return Call(recording, at, samples, codec)

    def _recording(self, number: int) -> Item:
        """Recordings by a call's number: all of them in some order, then in another."""
        again, place = divmod(number, len(self._recordings))
        if again != self._round:
            rng = np.random.default_rng([self.seed, again, 1])
            self._round, self._order = again, rng.permutation(len(self._recordings))
        return self._recordings[int(self._order[place])]

    def _excerpt(self, recording: Item, rng: np.random.Generator) -> tuple[Item, int]:
        """A place that is not near silence, in this recording or else another; or the last one tried."""
        for tried in range(PLACES_TRIED):
            if tried:
                recording = self._recordings[int(rng.integers(len(self._recordings)))]
            for _ in range(PLACES_TRIED):
                at = int(rng.integers(recording.length - self.length + 1))
                if _power(_cut(self.music, recording, at, at + self.length)) >= QUIETEST:
                    return recording, at
        return recording, at

    def _heard(self, recording: Item, at: int, rng: np.random.Generator) -> Audio:
        """Music in a room with noise, as a device with a band takes it, shape (length,)."""
        past, begin = PAST, at - PAST
        padded = np.zeros(past + self.length, np.float32)
        music = _cut(self.music, recording, max(0, begin), at + self.length)
        padded[len(padded) - len(music) :] = music
        signal, noise = self._spectrum(padded), self._spectrum(self._noise(rng))
        if rng.random() < NOISE_TILT:
            noise *= self._tilt(rng.uniform(*TILTS_DB))
        if rng.random() < ROOM and self._rooms:
            nested = self._rooms[rng.integers(len(self._rooms))]
            response = self._response(nested, PAST, rng)
            signal *= response
            noise *= response
        power, noise_power = _power(self._samples(signal)), _power(self._samples(noise))
        snr_db = rng.uniform(*SNR_DB)
        if noise_power > 0:
            signal += noise * np.float32(np.sqrt(power / noise_power) * 10 ** (-snr_db / 20))
        if rng.random() < DEVICE and len(self._devices):
            signal *= self._response(self._devices, DEVICE_RESPONSE, rng)
        telephone = rng.random() < TELEPHONE_BAND
        low_hz, high_hz = (rng.uniform(*corner) for corner in (TELEPHONE_HZ if telephone else WIDER_HZ))
        signal *= self._band(low_hz, high_hz, int(rng.integers(2, 7)))
        return self._samples(signal)

    def _noise(self, rng: np.random.Generator) -> Audio:
        """One noise or two, shape (PAST + length,)."""
        noise = self._levelled_noise(rng)
        if rng.random() < SECOND_NOISE:
            noise += np.float32(rng.uniform(0.3, 1.0)) * self._levelled_noise(rng)
        return noise

    def _levelled_noise(self, rng: np.random.Generator) -> Audio:
        """A piece of noise from a random place on, looped, of unit power; silence if all tried are silent."""
        pace = rng.uniform(*PACES) if rng.random() < NOISE_PACE else 1.0
        at = pace * np.arange(PAST + self.length)
        n = math.ceil(at[-1]) + 1
        for _ in range(PLACES_TRIED):
            item = self.noise.items[int(self._noises.draw(rng, 1)[0])]
            first = int(rng.integers(item.length))
            pieces = [_cut(self.noise, item, first, min(item.length, first + n))]
            if (missing := n - len(pieces[0])) > 0:
                pieces.append(np.resize(_cut(self.noise, item, 0, min(item.length, missing)), missing))
            noise = np.concatenate(pieces)
            if pace != 1:
                noise = np.interp(at, np.arange(n), noise).astype(np.float32)
            power = _power(noise[PAST:])
            if power >= QUIETEST_NOISE:
                return noise / np.float32(np.sqrt(power))
        return np.zeros(len(at), np.float32)

    def _response(self, nested: Nested, longest: int, rng: np.random.Generator) -> NDArray[np.complex64]:
        item = self.rooms.items[int(nested.draw(rng, 1)[0])]
        return self._spectrum(_cut(self.rooms, item, 0, min(item.length, longest)))

    def _band(self, low_hz: float, high_hz: float, order: int) -> Audio:
        """Gains of a Butterworth-shaped high- and low-pass, half power at the corners, zero phase."""
        above = (self._hz / np.float32(low_hz)) ** (2 * order)
        beyond = (self._hz / np.float32(high_hz)) ** (2 * order)
        return np.sqrt(above / ((1 + above) * (1 + beyond)))

    def _tilt(self, db_per_octave: float) -> Audio:
        """Gains of a spectral tilt about 1 kHz, see `earprint.training.augment.tilt_curve`."""
        octaves = np.log2(np.maximum(self._hz, TILT_FROM_HZ) / TILT_HZ)
        return np.asarray(10 ** (np.float32(db_per_octave / 20) * octaves), np.float32)

    def _spectrum(self, samples: Audio) -> NDArray[np.complex64]:
        return np.fft.rfft(samples, self._size).astype(np.complex64, copy=False)

    def _samples(self, spectrum: NDArray[np.complex64]) -> Audio:
        """The call's own samples, without its past."""
        samples = np.fft.irfft(spectrum, self._size).astype(np.float32, copy=False)
        return samples[PAST : PAST + self.length]

    def _coded(self, samples: Audio, rng: np.random.Generator) -> tuple[Audio, str | None]:
        if not self._codecs:
            return samples, None
        shares = np.array([CODEC_SHARES[name] for name in self._codecs])
        codec = self._codecs[rng.choice(len(shares), p=shares / shares.sum())]
        try:
            return round_trip(samples, codec, int(rng.choice(BIT_RATES[codec]))), codec
        except AudioError:
            return samples, None


def _cut(pack: Pack, item: Item, first: int, stop: int) -> Audio:
    """Samples of a part of an item, which holds them all, shape (stop - first,)."""
    return pack.audio(Item(item.name, item.group, item.start + first, stop - first))


def _power(samples: Audio) -> float:
    return float(np.dot(samples, samples)) / len(samples)
