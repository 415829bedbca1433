"""Codec queries: excerpts of the store's music as a phone call or a voice message transmits them.

In reality the codec comes last, after room, noise, device and band limit. Codecs do not run in batches on a
GPU, so a pool of such queries is rendered in advance into the store. Each is music with one second of past
music, reverberated, mixed with noise, filtered by a device and a band, and coded. It is aligned with its
recording within a millisecond.

Each has a random generator of its own, seeded with the seed and its number. So codec queries do not depend
on the process that renders them. `earprint.training.codec_queries_packing` renders them for the training part
of a store. This module does not need torch.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from earprint.audio.codec_simulation import can_encode, round_trip
from earprint.constants import SAMPLE_RATE
from earprint.dsp.fft import fft_frequencies, fft_length
from earprint.dsp.filters import band_pass_gains, tilt_gains
from earprint.dsp.snr import mean_power, snr_gain
from earprint.errors import AudioError, TrainingError
from earprint.training.hierarchical_sampler import HierarchicalSampler
from earprint.training.packed_audio import Item, Pack
from earprint.training.packing import BIT_RATES

Audio = NDArray[np.float32]
Range = tuple[float, float]

PAST = SAMPLE_RATE
"""Past music whose reverberation reaches into a codec query, and the longest response, in samples."""

DEVICE_RESPONSE = SAMPLE_RATE // 4
"""Responses of devices are cut to this length, in samples."""

MIN_MUSIC_POWER = 1e-6
"""Mean square, of full scale, that the music of a codec query should have."""

MIN_NOISE_POWER = 1e-8
"""Mean square that its noise should have before it is scaled."""

ATTEMPTS = 4
"""Positions tried in a recording, noises tried, and then recordings tried, until one is loud enough."""


def _codec_shares() -> Mapping[str, float]:
    return {"opus": 0.5, "amr": 0.3, "mp3": 0.2}


@dataclass(frozen=True)
class CodecQuerySettings:
    """Probabilities and ranges of codec queries; ranges are uniform unless they say otherwise.

    Attributes
    ----------
    room_probability, device_probability : float
        Probability of a room's and of a device's response.
    second_noise_probability : float
        Probability of a second noise.
    noise_rate_probability, noise_tilt_probability : float
        Probability that a noise is played at another rate, and that the spectrum of the noise is tilted.
    noise_rate : tuple of float
        Playback rate; 1 is unchanged.
    noise_tilt_db : tuple of float
        Tilt in dB per octave.
    snr_db : tuple of float
        Signal-to-noise ratio after reverberation, in dB.
    telephone_probability : float
        Probability of a telephone's band; the others have a wider one.
    telephone_hz, wide_hz : tuple
        Ranges of the lower and of the upper corner, in Hz.
    clipping_probability : float
        Probability of clipped peaks.
    peak : tuple of float
        Peak of what is sent to the codec, of full scale, log-uniform.
    codec_shares : mapping of str to float
        Share of each codec, among those that FFmpeg can encode here.
    """

    room_probability: float = 0.75
    device_probability: float = 0.5
    second_noise_probability: float = 0.3
    noise_rate_probability: float = 0.5
    noise_tilt_probability: float = 0.5
    noise_rate: Range = (0.65, 1.35)
    noise_tilt_db: Range = (-4.0, 4.0)
    snr_db: Range = (-2.0, 22.0)
    telephone_probability: float = 0.75
    telephone_hz: tuple[Range, Range] = ((200.0, 400.0), (3_000.0, 4_000.0))
    wide_hz: tuple[Range, Range] = ((50.0, 300.0), (4_500.0, 7_500.0))
    clipping_probability: float = 0.1
    peak: Range = (0.1, 0.9)
    codec_shares: Mapping[str, float] = field(default_factory=_codec_shares)


@dataclass(frozen=True)
class CodecQuery:
    """One codec query.

    Attributes
    ----------
    recording : Item
        Its recording.
    at : int
        Sample of the recording at which it begins.
    samples : ndarray of int16, shape (n,)
    codec : str or None
        The codec; None if no codec could encode it.
    """

    recording: Item
    at: int
    samples: NDArray[np.int16]
    codec: str | None


class CodecQueryRenderer:
    """Renders codec queries by their numbers.

    Parameters
    ----------
    music, noise, rooms : Pack
        ``rooms`` holds responses in the categories ``room``, ``simulated`` and ``device``. Where one is
        missing, the others or none take its place.
    length : int
        Samples of a codec query.
    seed : int
    settings : CodecQuerySettings, optional

    Raises
    ------
    TrainingError
        If no recording with a unique name is as long as a codec query, or there is no noise.
    """

    def __init__(
        self,
        music: Pack,
        noise: Pack,
        rooms: Pack,
        length: int,
        seed: int,
        settings: CodecQuerySettings | None = None,
    ) -> None:
        self.music, self.noise, self.rooms = music, noise, rooms
        self.length, self.seed = length, seed
        self.settings = settings or CodecQuerySettings()
        names = Counter(item.name for item in music.items)  # a codec query knows its recording by its name
        self._recordings = [item for item in music.items if item.length >= length and names[item.name] == 1]
        if not self._recordings:
            raise TrainingError(
                f"music: no recording of {length / SAMPLE_RATE:g} s; make codec queries shorter"
            )
        if not noise.items:
            raise TrainingError("noise: none to train with in this store; pack more sources of it")
        self._noises = HierarchicalSampler(noise.items)
        samplers = [HierarchicalSampler(rooms.items, [category]) for category in ("room", "simulated")]
        self._rooms = [sampler for sampler in samplers if len(sampler)]
        self._devices = HierarchicalSampler(rooms.items, ["device"])
        self._codecs = [name for name in self.settings.codec_shares if can_encode(name)]
        # What a response leaves after the end wraps around into the past, and no farther.
        self._size = fft_length(PAST + length + DEVICE_RESPONSE)
        self._hz = fft_frequencies(self._size).astype(np.float32)
        self._round, self._order = -1, np.zeros(0, np.int64)

    def render(self, number: int) -> CodecQuery:
        """Render a codec query; the same number gives the same one."""
        rng = np.random.default_rng([self.seed, number])
        recording, at = self._excerpt(self._recording(number), rng)
        mixed = self._transmitted(recording, at, rng)
        peak = np.abs(mixed).max()
        if rng.random() < self.settings.clipping_probability:
            limit = peak * np.float32(1 - rng.uniform(0.1, 0.7))
            mixed = np.clip(mixed, -limit, limit)
            peak = limit
        wanted = np.exp(rng.uniform(*np.log(self.settings.peak)))
        if peak > 0:
            mixed = mixed * np.float32(wanted / peak)
        coded, codec = self._coded(mixed, rng)
        samples = np.clip(np.round(coded * 32_768), -32_768, 32_767).astype(np.int16)
        return CodecQuery(recording, at, samples, codec)

    def _recording(self, number: int) -> Item:
        """The recording of a number: all of them in a random order, then in another."""
        again, place = divmod(number, len(self._recordings))
        if again != self._round:
            rng = np.random.default_rng([self.seed, again, 1])
            self._round, self._order = again, rng.permutation(len(self._recordings))
        return self._recordings[int(self._order[place])]

    def _excerpt(self, recording: Item, rng: np.random.Generator) -> tuple[Item, int]:
        """A position that is not near silence, in this recording or another; the last one tried otherwise."""
        for tried in range(ATTEMPTS):
            if tried:
                recording = self._recordings[int(rng.integers(len(self._recordings)))]
            for _ in range(ATTEMPTS):
                at = int(rng.integers(recording.length - self.length + 1))
                if mean_power(_cut(self.music, recording, at, at + self.length)) >= MIN_MUSIC_POWER:
                    return recording, at
        return recording, at

    def _transmitted(self, recording: Item, at: int, rng: np.random.Generator) -> Audio:
        """Music in a room with noise, through a device and a band, shape (length,)."""
        settings, begin = self.settings, at - PAST
        padded = np.zeros(PAST + self.length, np.float32)
        music = _cut(self.music, recording, max(0, begin), at + self.length)
        padded[len(padded) - len(music) :] = music
        signal, noise = self._spectrum(padded), self._spectrum(self._noise(rng))
        if rng.random() < settings.noise_tilt_probability:
            noise *= tilt_gains(self._hz, rng.uniform(*settings.noise_tilt_db))
        if rng.random() < settings.room_probability and self._rooms:
            sampler = self._rooms[rng.integers(len(self._rooms))]
            response = self._response(sampler, PAST, rng)
            signal *= response
            noise *= response
        power, noise_power = mean_power(self._samples(signal)), mean_power(self._samples(noise))
        snr_db = rng.uniform(*settings.snr_db)
        if noise_power > 0:
            signal += noise * np.float32(snr_gain(power, noise_power, snr_db))
        if rng.random() < settings.device_probability and len(self._devices):
            signal *= self._response(self._devices, DEVICE_RESPONSE, rng)
        telephone = rng.random() < settings.telephone_probability
        corners = settings.telephone_hz if telephone else settings.wide_hz
        low_hz, high_hz = (rng.uniform(*corner) for corner in corners)
        signal *= band_pass_gains(self._hz, low_hz, high_hz, int(rng.integers(2, 7)))
        return self._samples(signal)

    def _noise(self, rng: np.random.Generator) -> Audio:
        """One noise or two, shape (PAST + length,)."""
        noise = self._unit_noise(rng)
        if rng.random() < self.settings.second_noise_probability:
            noise += np.float32(rng.uniform(0.3, 1.0)) * self._unit_noise(rng)
        return noise

    def _unit_noise(self, rng: np.random.Generator) -> Audio:
        """Noise from a random position on, looped, of unit power; silence if all tried are silent."""
        settings = self.settings
        changed = rng.random() < settings.noise_rate_probability
        rate = rng.uniform(*settings.noise_rate) if changed else 1.0
        at = rate * np.arange(PAST + self.length)
        n = math.ceil(at[-1]) + 1
        for _ in range(ATTEMPTS):
            item = self.noise.items[int(self._noises.draw(rng, 1)[0])]
            first = int(rng.integers(item.length))
            pieces = [_cut(self.noise, item, first, min(item.length, first + n))]
            if (missing := n - len(pieces[0])) > 0:
                pieces.append(np.resize(_cut(self.noise, item, 0, min(item.length, missing)), missing))
            noise = np.concatenate(pieces)
            if rate != 1:
                noise = np.interp(at, np.arange(n), noise).astype(np.float32)
            power = mean_power(noise[PAST:])
            if power >= MIN_NOISE_POWER:
                return noise / np.float32(np.sqrt(power))
        return np.zeros(len(at), np.float32)

    def _response(
        self, sampler: HierarchicalSampler, longest: int, rng: np.random.Generator
    ) -> NDArray[np.complex64]:
        item = self.rooms.items[int(sampler.draw(rng, 1)[0])]
        return self._spectrum(_cut(self.rooms, item, 0, min(item.length, longest)))

    def _spectrum(self, samples: Audio) -> NDArray[np.complex64]:
        return np.fft.rfft(samples, self._size).astype(np.complex64, copy=False)

    def _samples(self, spectrum: NDArray[np.complex64]) -> Audio:
        """Samples without the past, shape (length,)."""
        samples = np.fft.irfft(spectrum, self._size).astype(np.float32, copy=False)
        return samples[PAST : PAST + self.length]

    def _coded(self, samples: Audio, rng: np.random.Generator) -> tuple[Audio, str | None]:
        if not self._codecs:
            return samples, None
        shares = np.array([self.settings.codec_shares[name] for name in self._codecs])
        codec = self._codecs[rng.choice(len(shares), p=shares / shares.sum())]
        try:
            return round_trip(samples, codec, int(rng.choice(BIT_RATES[codec]))), codec
        except AudioError:
            return samples, None


def _cut(pack: Pack, item: Item, first: int, stop: int) -> Audio:
    """Samples of a part of an item, which holds them all, shape (stop - first,)."""
    return pack.audio(Item(item.name, item.group, item.start + first, stop - first))
