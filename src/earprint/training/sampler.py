"""Batches of clean and distorted clips, distorted on whatever device holds the audio.

The distorted side is what a query is: a short crop with nothing beyond its edges, reverberated with one
second of real past, mixed with noise, filtered, clipped. The clean side is what a reference is: the same
music with `CONTEXT_S` more on either end. Their fingerprints line up `CONTEXT_STEPS` rows in.

Everything is distorted in batches on the device that trains. What is drawn at random is drawn on the CPU
(`earprint.training.augment_sampler`). Only codecs cannot run in batches: their queries come ready made from the store
(`earprint.training.codec_queries`).
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from earprint.constants import SAMPLE_RATE
from earprint.dsp.fft import fft_length
from earprint.training import augment
from earprint.training.augment_params import NONE, Drawn
from earprint.training.augment_sampler import Drawing
from earprint.training.device_pack import DevicePack, on_device
from earprint.training.distortions import PAPER_DISTORTIONS, Distortions
from earprint.training.store import Pack

__all__ = ["CONTEXT_S", "CONTEXT_STEPS", "PAPER_DISTORTIONS", "Batch", "Distortions", "Sampler"]

CONTEXT_S = 0.8
"""Clean music around the query on the reference side, in seconds."""

CONTEXT_STEPS = 20
"""The same in the dense encoder's steps of 40 ms."""

PAST_S = 1.0
"""Past music whose reverberation reaches into the query, in seconds (paper notes)."""

RESPONSE_S = 1.0
"""Responses are cut here, in seconds."""

DEVICE_RESPONSE_S = 0.25
"""Devices' responses are cut here, in seconds."""


@dataclass(frozen=True)
class Batch:
    """Clean (batch, n + 2 context) and distorted (batch, n) audio, bands to mask, and the tracks' numbers."""

    clean: Tensor
    distorted: Tensor
    mask_first: Tensor
    mask_width: Tensor
    tracks: NDArray[np.int64]


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
    calls : Pack, optional
        Queries ready made, of recordings of ``music``; those of others are not used.
    """

    def __init__(
        self,
        music: Pack,
        noise: Pack,
        rooms: Pack,
        distortions: Distortions,
        device: torch.device,
        seed: int,
        calls: Pack | None = None,
    ) -> None:
        self.music, self.noise = DevicePack(music, device), DevicePack(noise, device)
        self.rooms = DevicePack(rooms, device)
        self.calls = None if calls is None else DevicePack(calls, device)
        self.distortions, self.device = distortions, device
        self.drawing = Drawing(
            self.music, self.noise, self.rooms, [] if calls is None else calls.items, distortions,
            round(CONTEXT_S * SAMPLE_RATE), seed,
        )  # fmt: skip

    @property
    def rng(self) -> np.random.Generator:
        """Where everything random comes from."""
        return self.drawing.rng

    def state(self) -> dict[str, Any]:
        """What the next batches depend on, for a checkpoint."""
        return self.drawing.state()

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from where `state` was taken."""
        self.drawing.restore(state)

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
        drawn = self.drawing.draw(batch, n, clips_per_track)
        context, past = round(CONTEXT_S * SAMPLE_RATE), round(PAST_S * SAMPLE_RATE)
        clean = self._music(
            drawn, self.music.starts[drawn.tracks], drawn.first, drawn.pace, -context, n + context
        )
        signal = self._music(
            drawn, drawn.starts, drawn.first + drawn.shift, drawn.pace * drawn.speed, -past, n, turn=n / 2
        )
        self._join(drawn, clean, signal, (-context, n + context), (-past, n))
        distorted = self._distort(drawn, signal, n)
        rows = np.flatnonzero(drawn.call != NONE)
        if self.calls is not None and len(rows):
            at = self._on_device(drawn.call_first[rows])[:, None] + torch.arange(n, device=self.device)
            distorted[self._on_device(rows)] = self.calls.gather(
                *self._places(self.calls, drawn.call[rows]), at
            )
        gain = 10 ** (drawn.gain_db / 20)
        distorted = distorted * self._reals(gain)[:, None]
        first, width = self._on_device(drawn.mask_first), self._on_device(drawn.mask_width)
        return Batch(clean, distorted, first, width, drawn.tracks)

    def _music(
        self,
        drawn: Drawn,
        starts: NDArray[np.int64],
        first: NDArray[np.int64],
        speed: NDArray[np.float64],
        begin: int,
        end: int,
        turn: float = 0.0,
    ) -> Tensor:
        """Samples from ``begin`` to ``end`` about each clip's first, played at a speed, (batch, end - begin).

        The query of another speed turns about its middle, ``turn`` samples in at the pace of both sides.
        """
        where = self._on_device(starts), self._on_device(self.music.lengths[drawn.tracks])
        place = self._on_device(first)[:, None]
        out = self.music.gather(*where, place + torch.arange(begin, end, device=self.device))
        rows = np.flatnonzero(speed != 1)
        if len(rows):
            chosen = self._on_device(rows)
            pace, whole = self._on_device(drawn.pace[rows])[:, None], self._on_device(speed[rows])[:, None]
            from_middle = torch.arange(begin, end, device=self.device, dtype=torch.float64) - turn
            at = place[chosen] + turn * pace + from_middle * whole
            out[chosen] = self.music.interpolate(where[0][chosen], where[1][chosen], at)
        return out

    def _join(
        self,
        drawn: Drawn,
        clean: Tensor,
        signal: Tensor,
        of_clean: tuple[int, int],
        of_signal: tuple[int, int],
    ) -> None:
        """Let other music sound with some clips, the same on both sides, in place."""
        rows = np.flatnonzero(drawn.others != NONE)
        if not len(rows):
            return
        chosen = self._on_device(rows)
        joined = replace(drawn, tracks=drawn.others[rows], pace=drawn.pace[rows])
        starts, first, pace = (
            self.music.starts[drawn.others[rows]],
            drawn.others_first[rows],
            drawn.pace[rows],
        )
        other = self._music(joined, starts, first, pace, *of_clean)
        gain = (augment.mean_square(clean[chosen]) / (augment.mean_square(other) + 1e-9)).sqrt()
        gain *= self._reals(10 ** (drawn.others_gain_db[rows] / 20))[:, None]
        clean[chosen] += gain * other
        first, pace = first + drawn.shift[rows], pace * drawn.speed[rows]
        signal[chosen] += gain * self._music(joined, starts, first, pace, *of_signal, turn=of_signal[1] / 2)

    def _distort(self, drawn: Drawn, signal: Tensor, n: int) -> Tensor:
        noise = self._noise(drawn, signal.shape[1])
        responses = self._rooms(drawn)
        length = fft_length(signal.shape[1] + responses.shape[1])
        low, high, order = (self._reals(values) for values in (drawn.low_hz, drawn.high_hz, drawn.order))
        curves = augment.band_limit_curve(low, high, order, length)
        rows = np.flatnonzero(drawn.colour_db.any(axis=1))
        if len(rows):
            colours = augment.colour_curve(self._reals(drawn.colour_db[rows]), length)
            curves[self._on_device(rows)] *= colours
        rows = np.flatnonzero(drawn.devices != NONE)
        if len(rows):
            devices = torch.fft.rfft(self._responses(drawn.devices[rows], DEVICE_RESPONSE_S), length)
            curves = curves.to(devices.dtype)
            curves[self._on_device(rows)] *= devices
        signal = augment.filter_spectra(signal, responses, curves, n)
        curves = self._noise_curves(drawn, curves, length)
        noise = augment.filter_spectra(noise, responses, curves, n)
        noise = noise * self._on_device(drawn.noisy)[:, None]
        mixed = augment.mix_at_snr(signal, noise, self._reals(drawn.snr_db))
        return augment.clip_peaks(mixed, self._reals(drawn.clipped))

    def _noise_curves(self, drawn: Drawn, curves: Tensor, length: int) -> Tensor:
        """The curves of the signal, and the noises' own besides."""
        rows = np.flatnonzero((drawn.noise_tilt_db != 0) | drawn.noise_colour_db.any(axis=1))
        if not len(rows):
            return curves
        own = augment.tilt_curve(self._reals(drawn.noise_tilt_db[rows]), length)
        own *= augment.colour_curve(self._reals(drawn.noise_colour_db[rows]), length)
        curves = curves.clone()  # the signal keeps its own
        curves[self._on_device(rows)] *= own
        return curves

    def _noise(self, drawn: Drawn, n: int) -> Tensor:
        total = self._levelled_noise(drawn.noises[0], drawn.noise_first[0], drawn.noise_pace[0], n)
        rows = np.flatnonzero(drawn.second_noise)
        if len(rows):
            places = drawn.noises[1, rows], drawn.noise_first[1, rows], drawn.noise_pace[1, rows]
            second = self._levelled_noise(*places, n)
            total[self._on_device(rows)] += second * self._reals(drawn.second_noise[rows])[:, None]
        return total

    def _levelled_noise(
        self, numbers: NDArray[np.int64], first: NDArray[np.int64], pace: NDArray[np.float64], n: int
    ) -> Tensor:
        where = self._places(self.noise, numbers)
        noise = self.noise.played(*where, self._on_device(first), n, pace, loop=True)
        return noise / (augment.mean_square(noise).sqrt() + 1e-5)

    def _rooms(self, drawn: Drawn) -> Tensor:
        """Responses of rooms, (batch, n), in the shape that was drawn."""
        responses = self._responses(drawn.rooms, RESPONSE_S, drawn.room_pace)
        rows = np.flatnonzero(
            (drawn.rooms != NONE) & ((drawn.room_decay_db != 0) | (drawn.room_tail_db != 0))
        )
        if len(rows):
            chosen = self._on_device(rows)
            responses[chosen] = augment.reshape_responses(
                responses[chosen],
                self._reals(drawn.room_decay_db[rows]),
                self._reals(drawn.room_tail_db[rows]),
            )
        return responses

    def _responses(
        self, numbers: NDArray[np.int64], length_s: float, pace: NDArray[np.float64] | None = None
    ) -> Tensor:
        """Responses (batch, n) at some pace, an impulse where there is none."""
        n = round(length_s * SAMPLE_RATE)
        out = torch.zeros(len(numbers), n, device=self.device)
        out[:, 0] = 1.0
        rows = np.flatnonzero(numbers != NONE)
        if len(rows):
            first = torch.zeros(len(rows), dtype=torch.int64, device=self.device)
            paces = np.ones(len(rows)) if pace is None else pace[rows]
            where = self._places(self.rooms, numbers[rows])
            out[self._on_device(rows)] = self.rooms.played(*where, first, n, paces)
        return out

    def _places(self, pack: DevicePack, numbers: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        return self._on_device(pack.starts[numbers]), self._on_device(pack.lengths[numbers])

    def _on_device(self, values: NDArray[np.generic]) -> Tensor:
        return on_device(values, self.device)

    def _reals(self, values: NDArray[np.float64]) -> Tensor:
        return self._on_device(values.astype(np.float32))
