"""Batches of clean and distorted clips, drawn and distorted on whatever device holds the audio.

The distorted side is what a query is: a short crop with nothing beyond its edges, reverberated with one
second of real past, mixed with noise, filtered, clipped. The clean side is what a reference is: the same
music with `CONTEXT_S` more on either end. Their fingerprints line up `CONTEXT_STEPS` rows in.
"""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from earprint.constants import SAMPLE_RATE
from earprint.train import augment
from earprint.train.store import Item, Pack

CONTEXT_S = 0.8
"""Clean music around the query on the reference side, in seconds."""

CONTEXT_STEPS = 20
"""The same in the dense encoder's steps of 40 ms."""

PAST_S = 1.0
"""Past music whose reverberation reaches into the query, in seconds (paper notes)."""

RESPONSE_S = 1.0
"""Responses are cut here, in seconds."""

PLACES_TRIED = 4
"""Places drawn for a clip, at most, until one is loud enough."""


@dataclass(frozen=True)
class Distortions:
    """How often and how strongly queries are distorted. Probabilities are per clip.

    Attributes
    ----------
    snr_db : tuple of float
        Range of the signal-to-noise ratio, uniform.
    measured, simulated, device : float
        Probability of a measured room's, simulated room's or device's response; else none.
    second_noise : float
        Probability that a second noise sounds too.
    band_limit : float
        Probability of a high- and a low-pass.
    clip : float
        Probability of clipped peaks.
    mask : float
        Probability of a masked stretch of mel bands.
    speed : float
        Probability of another speed, up to ``speed_range`` faster or slower.
    shift_s : float
        Time offset of the query against the reference grid, uniform in +-shift_s, in seconds.
    gain_db : tuple of float
        Range of the level, uniform.
    noise_with_response : float
        Probability of noise where there is a response; without one there is always noise.
    quietest : float
        Mean square, of full scale, that a clip has at least: the energy gate of the paper notes.
    """

    snr_db: tuple[float, float] = (-4.0, 20.0)
    measured: float = 0.25
    simulated: float = 0.25
    device: float = 0.1
    second_noise: float = 0.3
    band_limit: float = 0.35
    clip: float = 0.1
    mask: float = 0.2
    speed: float = 0.15
    speed_range: float = 0.04
    shift_s: float = 0.022
    gain_db: tuple[float, float] = (-30.0, 3.0)
    noise_with_response: float = 1.0
    quietest: float = 1e-6


PAPER_DISTORTIONS = Distortions(
    snr_db=(0.0, 25.0), measured=1 / 3, simulated=1 / 3, device=0.0, second_noise=0.0, band_limit=0.0,
    clip=0.0, mask=0.0, speed=0.0, shift_s=0.04, gain_db=(0.0, 0.0), noise_with_response=0.5, quietest=1e-4,
)  # fmt: skip
"""Noise, reverberation, or both, a third each (paper, section 2.2, and its notes)."""


@dataclass(frozen=True)
class Batch:
    """Clean (batch, n + 2 context) and distorted (batch, n) audio, and the bands to mask."""

    clean: Tensor
    distorted: Tensor
    mask_first: Tensor
    mask_width: Tensor


class DevicePack:
    """A pack whose samples lie on the training device, and whose items can be drawn by category."""

    def __init__(self, pack: Pack, device: torch.device) -> None:
        self.samples = _as_tensor(pack.samples).to(device)
        self.scale = 1 / 32_768 if pack.samples.dtype == np.int16 else 1.0
        self.items = pack.items

    def gather(self, starts: Tensor, lengths: Tensor, at: Tensor, *, loop: bool = False) -> Tensor:
        """Samples at whole positions within items.

        Parameters
        ----------
        starts, lengths : Tensor of int64, shape (batch,)
            Where each item lies.
        at : Tensor of int64, shape (batch, n)
            In samples from each item's start.
        loop : bool
            Positions outside the item wrap around; otherwise they are silence.

        Returns
        -------
        Tensor of float32, shape (batch, n)
        """
        limit = lengths[:, None]
        if loop:
            return self.samples[at.remainder(limit).add_(starts[:, None])].float().mul_(self.scale)
        index = at.clamp_min(0).minimum(limit - 1).add_(starts[:, None])
        return self.samples[index].float().mul_(self.scale).mul_((at >= 0) & (at < limit))

    def interpolate(self, starts: Tensor, lengths: Tensor, at: Tensor) -> Tensor:
        """Samples at fractional positions (float64), linearly interpolated; outside is silence."""
        whole = at.floor()
        index = whole.long()
        before = self.gather(starts, lengths, index)
        after = self.gather(starts, lengths, index + 1)
        return before + (at - whole).float() * (after - before)


class Sampler:
    """Draws batches from a store.

    Parameters
    ----------
    music, noise, rooms : Pack
        ``rooms`` holds responses in the categories ``room``, ``simulated`` and ``device``; a
        category may be missing, its share then goes to no response.
    distortions : Distortions
    device : torch.device
    seed : int
    """

    def __init__(
        self,
        music: Pack,
        noise: Pack,
        rooms: Pack,
        distortions: Distortions,
        device: torch.device,
        seed: int,
    ) -> None:
        self.music, self.noise = DevicePack(music, device), DevicePack(noise, device)
        self.rooms = DevicePack(rooms, device)
        self.distortions, self.device = distortions, device
        self.rng = np.random.default_rng(seed)
        self._order: list[int] = []
        self._noise_by_category = _nested(self.noise.items)
        self._rooms_by_category = _nested(self.rooms.items)

    def state(self) -> dict[str, Any]:
        """What the next batches depend on, for a checkpoint."""
        return {"generator": self.rng.bit_generator.state, "order": self._order}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from where `state` was taken."""
        self.rng.bit_generator.state = state["generator"]
        self._order = list(state["order"])

    def draw(self, batch: int, length_s: float) -> Batch:
        """Draw ``batch`` clips of distinct tracks, the distorted side ``length_s`` seconds long."""
        n = round(length_s * SAMPLE_RATE)
        context, past = round(CONTEXT_S * SAMPLE_RATE), round(PAST_S * SAMPLE_RATE)
        items = [self.music.items[i] for i in self._distinct(batch)]
        starts, lengths = self._places(items)
        first = self._loud_places(items, starts, lengths, n)

        around = torch.arange(-context, n + context, device=self.device)
        clean = self.music.gather(starts, lengths, first + around)

        shift = self._uniform(batch, -self.distortions.shift_s, self.distortions.shift_s)
        shift = (shift * SAMPLE_RATE).round().long()[:, None]
        signal = self.music.gather(
            starts, lengths, first + shift + torch.arange(-past, n, device=self.device)
        )
        change = self._sometimes(
            batch, self.distortions.speed, -self.distortions.speed_range, self.distortions.speed_range
        )
        rows = change.nonzero()[:, 0]
        if len(rows):
            from_middle = torch.arange(-past, n, device=self.device).double() - n / 2
            at = (first + shift)[rows] + n / 2 + from_middle * (1 + change[rows, None])
            signal[rows] = self.music.interpolate(starts[rows], lengths[rows], at)
        return self._distort(clean, signal, n)

    def _loud_places(self, items: list[Item], starts: Tensor, lengths: Tensor, n: int) -> Tensor:
        """Random places (batch, 1) where ``n`` samples are not near silence, or the last of a few tries."""
        first = torch.zeros(len(items), 1, dtype=torch.long, device=self.device)
        wanted = torch.arange(len(items), device=self.device)
        for _ in range(PLACES_TRIED):
            drawn = [self.rng.integers(0, max(1, items[row].length - n)) for row in wanted.tolist()]
            first[wanted, 0] = torch.tensor(drawn, device=self.device)
            at = first[wanted] + torch.arange(n, device=self.device)
            power = augment.mean_square(self.music.gather(starts[wanted], lengths[wanted], at))[:, 0]
            wanted = wanted[power < self.distortions.quietest]
            if not len(wanted):
                break
        return first

    def _distort(self, clean: Tensor, signal: Tensor, n: int) -> Batch:
        options, batch = self.distortions, len(signal)
        noise = self._noises(batch, signal.shape[1])
        responses, heard = self._responses(batch)
        length = augment.fft_length(signal.shape[1] + responses.shape[1])
        curves = augment.band_limit_curve(*self._band_limits(batch), length)
        signal = augment.filter_spectra(signal, responses, curves, n)
        noise = augment.filter_spectra(noise, responses, curves, n)
        if options.noise_with_response < 1:
            noisy = torch.from_numpy(self.rng.random(batch) < options.noise_with_response).to(self.device)
            noise = noise * (noisy | ~heard)[:, None]
        mixed = augment.mix_at_snr(signal, noise, self._uniform(batch, *options.snr_db).float())
        mixed = augment.clip_peaks(mixed, 1 - self._sometimes(batch, options.clip, 0.1, 0.7).float())
        gain = 10 ** (self._uniform(batch, *options.gain_db) / 20)
        width = self._sometimes(batch, options.mask, 3, 14).long()
        first = (self._uniform(batch, 0, 1) * (64 - width)).long()
        return Batch(clean, mixed * gain[:, None].float(), first, width)

    def _noises(self, batch: int, n: int) -> Tensor:
        total = self._levelled_noise(batch, n)
        loud = self._sometimes(batch, self.distortions.second_noise, 0.3, 1.0).float()
        rows = loud.nonzero()[:, 0]
        if len(rows):
            total[rows] += self._levelled_noise(len(rows), n) * loud[rows, None]
        return total

    def _levelled_noise(self, batch: int, n: int) -> Tensor:
        items = [self._pick(self._noise_by_category) for _ in range(batch)]
        starts, lengths = self._places(items)
        first = torch.tensor([self.rng.integers(0, item.length) for item in items], device=self.device)
        at = first[:, None] + torch.arange(n, device=self.device)
        noise = self.noise.gather(starts, lengths, at, loop=True)
        return noise / (augment.mean_square(noise).sqrt() + 1e-5)

    def _responses(self, batch: int) -> tuple[Tensor, Tensor]:
        """Responses (batch, n), an impulse where there is none, and where there is one (batch,)."""
        options, n = self.distortions, round(RESPONSE_S * SAMPLE_RATE)
        out = torch.zeros(batch, n, device=self.device)
        out[:, 0] = 1.0
        heard = torch.zeros(batch, dtype=torch.bool, device=self.device)
        kinds = ("room", "simulated", "device")
        shares = np.array((options.measured, options.simulated, options.device))
        drawn = self.rng.choice(4, size=batch, p=[*shares, 1 - shares.sum()])
        for row, kind in enumerate(drawn):
            groups = self._rooms_by_category.get(kinds[kind]) if kind < len(kinds) else None
            if groups:
                item = self._pick({kinds[kind]: groups})
                part = self.rooms.samples[item.start : item.start + min(item.length, n)]
                out[row] = 0.0
                out[row, : len(part)] = part.float()
                heard[row] = True
        return out, heard

    def _band_limits(self, batch: int) -> tuple[Tensor, Tensor, Tensor]:
        on = self._sometimes(batch, self.distortions.band_limit, 1, 1) > 0
        low = torch.exp(self._uniform(batch, np.log(40), np.log(500)))
        high = torch.exp(self._uniform(batch, np.log(2500), np.log(7500)))
        order = torch.exp(self._uniform(batch, np.log(1), np.log(8)))
        low, high = torch.where(on, low, 0.0), torch.where(on, high, 1e6)
        return low.float(), high.float(), order.float()

    def _distinct(self, count: int) -> list[int]:
        """Indices of tracks, every track once before any comes again."""
        while len(self._order) < count:
            again = self.rng.permutation(len(self.music.items)).tolist()
            # Those still waiting go behind the rest, or a batch could hold a track twice.
            self._order += sorted(again, key=set(self._order).__contains__)
        chosen, self._order = self._order[:count], self._order[count:]
        return chosen

    def _pick(self, nested: dict[str, dict[str, list[Item]]]) -> Item:
        """An item of a random category, then of a random group: no source dominates by size."""
        groups = nested[list(nested)[self.rng.integers(len(nested))]]
        items = groups[list(groups)[self.rng.integers(len(groups))]]
        return items[self.rng.integers(len(items))]

    def _places(self, items: list[Item]) -> tuple[Tensor, Tensor]:
        starts = torch.tensor([item.start for item in items], device=self.device)
        lengths = torch.tensor([item.length for item in items], device=self.device)
        return starts, lengths

    def _uniform(self, count: int, low: float, high: float) -> Tensor:
        return torch.from_numpy(self.rng.uniform(low, high, count)).to(self.device)

    def _sometimes(self, count: int, probability: float, low: float, high: float) -> Tensor:
        """Uniform values with a probability, else 0."""
        drawn: NDArray[np.float64] = self.rng.uniform(low, high, count)
        drawn *= self.rng.random(count) < probability
        return torch.from_numpy(drawn).to(self.device)


def _as_tensor(samples: NDArray[np.generic]) -> Tensor:
    """The memory-mapped samples as a tensor, without a copy; nothing ever writes to it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(np.asarray(samples))


def _nested(items: list[Item]) -> dict[str, dict[str, list[Item]]]:
    """Items by category and group."""
    out: dict[str, dict[str, list[Item]]] = {}
    for item in items:
        out.setdefault(item.category, {}).setdefault(item.group, []).append(item)
    return out
