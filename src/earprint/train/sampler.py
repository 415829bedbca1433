"""Batches of clean and distorted clips, drawn and distorted on whatever device holds the audio.

The distorted side is what a query is: a short crop with nothing beyond its edges, reverberated with one
second of real past, mixed with noise, filtered, clipped. The clean side is what a reference is: the same
music with `CONTEXT_S` more on either end. Their fingerprints line up `CONTEXT_STEPS` rows in.

Everything is distorted in batches on the device that trains. What is drawn at random is drawn on the CPU from
one generator, so that the same seed gives the same batches on every device.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from earprint.constants import SAMPLE_RATE
from earprint.train import augment
from earprint.train.device_pack import DevicePack
from earprint.train.distortions import PAPER_DISTORTIONS, Distortions
from earprint.train.store import Item, Pack

__all__ = ["CONTEXT_S", "CONTEXT_STEPS", "PAPER_DISTORTIONS", "Batch", "Distortions", "Sampler"]

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
class Batch:
    """Clean (batch, n + 2 context) and distorted (batch, n) audio, and the bands to mask."""

    clean: Tensor
    distorted: Tensor
    mask_first: Tensor
    mask_width: Tensor


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

    def draw(self, batch: int, length_s: float, clips_per_track: int = 1) -> Batch:
        """Draw clips, the distorted side ``length_s`` seconds long.

        Parameters
        ----------
        batch : int
            Clips. With one clip per track they come from distinct tracks as long as there are enough.
        length_s : float
        clips_per_track : int
            So many clips of a track stand next to each other in the batch, fewer where the track has no room
            for them: the music of one is nowhere in the clean side of another, context included, so that
            they are true negatives of each other, and hard ones. The batch is smaller than asked if all
            tracks together have no room for it.

        Returns
        -------
        Batch
        """
        n = round(length_s * SAMPLE_RATE)
        context, past = round(CONTEXT_S * SAMPLE_RATE), round(PAST_S * SAMPLE_RATE)
        counted = self._tracks(batch, clips_per_track, n)
        items = [item for item, count in counted for _ in range(count)]
        batch = len(items)
        starts, lengths = self._places(items)
        first = self._loud_places(counted, starts, lengths, n)

        around = torch.arange(-context, n + context, device=self.device)
        clean = self.music.gather(starts, lengths, first + around)

        starts = self._maybe_coded(items, starts)
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

    def _tracks(self, batch: int, clips_per_track: int, n: int) -> list[tuple[Item, int]]:
        """Tracks and how many clips of ``n`` samples of each make up a batch."""
        if clips_per_track == 1:
            return [(self.music.items[i], 1) for i in self._distinct(batch)]
        waiting = self._distinct(min(batch, len(self.music.items)))
        counted: list[tuple[Item, int]] = []
        missing = batch
        while waiting and missing:
            item = self.music.items[waiting.pop(0)]
            room = 1 + max(0, item.length - n) // _apart(n)
            counted.append((item, min(clips_per_track, room, missing)))
            missing -= counted[-1][1]
        self._order = waiting + self._order
        return counted

    def _loud_places(
        self, counted: list[tuple[Item, int]], starts: Tensor, lengths: Tensor, n: int
    ) -> Tensor:
        """Random places (batch, 1) where ``n`` samples are not near silence, or the last of a few tries.

        Clips of a track are redrawn together, in the order of time and `_apart` from each other.
        """
        owner = torch.tensor([i for i, (_, count) in enumerate(counted) for _ in range(count)])
        owner = owner.to(self.device)
        first = torch.zeros(len(owner), 1, dtype=torch.long, device=self.device)
        wanted = list(range(len(counted)))
        for _ in range(PLACES_TRIED):
            drawn: list[int] = []
            for item, count in (counted[i] for i in wanted):
                between = _apart(n) * np.arange(count)
                free = max(1, item.length - n - between[-1])
                drawn += (np.sort([self.rng.integers(0, free) for _ in range(count)]) + between).tolist()
            rows = torch.isin(owner, torch.tensor(wanted, device=self.device)).nonzero()[:, 0]
            first[rows, 0] = torch.tensor(drawn, device=self.device)
            at = first[rows] + torch.arange(n, device=self.device)
            power = augment.mean_square(self.music.gather(starts[rows], lengths[rows], at))[:, 0]
            quiet = owner[rows[power < self.distortions.quietest]]
            wanted = sorted(set(quiet.tolist()))
            if not wanted:
                break
        return first

    def _maybe_coded(self, items: list[Item], starts: Tensor) -> Tensor:
        """Starts (batch,) of the recordings or, now and then, of their coded twins."""
        if all(item.twin is None for item in items):
            return starts
        coded = self.rng.random(len(items)) < self.distortions.codec
        heard = [
            item.twin if item.twin is not None and yes else item.start
            for item, yes in zip(items, coded, strict=True)
        ]
        return torch.tensor(heard, device=self.device)

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
        rows, items = [], []
        for row, kind in enumerate(drawn):
            groups = self._rooms_by_category.get(kinds[kind]) if kind < len(kinds) else None
            if groups:
                rows.append(row)
                items.append(self._pick({kinds[kind]: groups}))
        if rows:
            at = torch.arange(n, device=self.device).expand(len(rows), n)
            out[rows] = self.rooms.gather(*self._places(items), at)
            heard[rows] = True
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
        drawn = self.rng.uniform(low, high, count)
        drawn *= self.rng.random(count) < probability
        return torch.from_numpy(drawn).to(self.device)


def _apart(n: int) -> int:
    """Samples between the beginnings of two clips of a track whose music must not meet, context included."""
    return n + round(CONTEXT_S * SAMPLE_RATE)


def _nested(items: list[Item]) -> dict[str, dict[str, list[Item]]]:
    """Items by category and group."""
    out: dict[str, dict[str, list[Item]]] = {}
    for item in items:
        out.setdefault(item.category, {}).setdefault(item.group, []).append(item)
    return out
