"""What a batch is to be, drawn at random on the CPU: small arrays, one value for each clip.

Everything that is drawn comes from one generator, in an order that depends on the settings and the store
alone, so that the same seed gives the same batches on every device. `earprint.training.sampler` makes audio of
it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from earprint.constants import N_MELS, SAMPLE_RATE
from earprint.training.augment_params import COLOURS, NONE, Drawn, Real, Whole
from earprint.training.device_pack import DevicePack
from earprint.training.distortions import Distortions
from earprint.training.hierarchical_sampler import Nested
from earprint.training.store import Item

PLACES_TRIED = 4
"""Places drawn for a clip, at most, until one is loud enough."""


class Drawing:
    """Draws batches.

    Parameters
    ----------
    music, noise, rooms : DevicePack
        ``rooms`` holds responses in the categories ``room``, ``simulated`` and ``device``; one may be
        missing, its share then goes to no response.
    calls : sequence of Item
        Calls of recordings of ``music``, see `earprint.training.codec_queries`.
    distortions : Distortions
    apart : int
        Samples between the end of a clip and the beginning of the next of the same track, at least.
    seed : int
    """

    def __init__(
        self,
        music: DevicePack,
        noise: DevicePack,
        rooms: DevicePack,
        calls: Sequence[Item],
        distortions: Distortions,
        apart: int,
        seed: int,
    ) -> None:
        self.music, self.noise, self.distortions = music, noise, distortions
        self.rng = np.random.default_rng(seed)
        self.waiting: list[int] = []
        self._apart = apart
        self._noises = Nested(noise.items)
        self._responses = [Nested(rooms.items, [kind]) for kind in ("room", "simulated", "device")]
        self._twins = np.array([NONE if item.twin is None else item.twin for item in music.items], np.int64)
        names = {item.name: number for number, item in enumerate(music.items)}
        self._calls_of: dict[int, list[int]] = {}
        for number, call in enumerate(calls):
            if call.name in names and call.at is not None:
                self._calls_of.setdefault(names[call.name], []).append(number)
        self._call_at = np.array([call.at or 0 for call in calls], np.int64)
        self._call_length = np.array([call.length for call in calls], np.int64)

    def state(self) -> dict[str, Any]:
        """What the next batches depend on, for a checkpoint."""
        return {"generator": self.rng.bit_generator.state, "order": self.waiting}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from where `state` was taken."""
        self.rng.bit_generator.state = state["generator"]
        self.waiting = list(state["order"])

    def draw(self, batch: int, n: int, clips_per_track: int) -> Drawn:
        """Draw a batch of clips of ``n`` samples; see `earprint.training.sampler.Sampler.draw`."""
        options, rng = self.distortions, self.rng
        counted = self.tracks(batch, clips_per_track, n)
        tracks = np.repeat([track for track, _ in counted], [count for _, count in counted])
        batch = len(tracks)
        first = self._loud_places(counted, n)
        starts = self.music.starts[tracks]
        coded = self._twins[tracks] != NONE
        if coded.any():
            coded &= rng.random(batch) < options.codec
            starts = np.where(coded, self._twins[tracks], starts)
        most = options.shift_s * SAMPLE_RATE
        shift = np.round(rng.uniform(-most, most, batch)).astype(np.int64)
        pace = 1 + self._sometimes(batch, options.pace, -options.pace_range, options.pace_range)
        speed = 1 + self._sometimes(batch, options.speed, -options.speed_range, options.speed_range)
        call, call_first = self._calls(tracks, first, shift, n)
        called = call != NONE
        pace[called], speed[called] = 1.0, 1.0

        others, others_first = self._others(tracks, n)
        others[called] = NONE
        others_gain_db = rng.uniform(-options.medley_db, 0.0, batch) if options.medley else np.zeros(batch)

        noises = self._noises.draw(rng, 2 * batch).reshape(2, batch)
        noise_first = rng.integers(self.noise.lengths[noises])
        noise_pace = 1 + self._about_zero(2 * batch, options.noise_pace, options.noise_pace_range)
        tilt = self._about_zero(batch, options.noise_tilt, options.noise_tilt_db)
        room_pace = 1 + self._about_zero(batch, options.room_pace, options.room_pace_range)
        reshaped = self._about_zero(batch, options.room_shape, 1.0)
        low_decay, high_decay = options.room_decay_db
        decay = reshaped * np.where(reshaped < 0, -low_decay, high_decay)
        tail = self._about_zero(batch, options.room_shape, options.room_tail_db)
        noise_colour = self._about_zero((batch, COLOURS), options.noise_colour, options.noise_colour_db)
        colour = self._about_zero((batch, COLOURS), options.colour, options.colour_db)
        second_noise = self._sometimes(batch, options.second_noise, 0.3, 1.0)
        rooms, devices = self._rooms(batch), self._devices(batch)
        heard = (rooms != NONE) | (devices != NONE)
        noisy = np.ones(batch, bool)
        if options.noise_with_response < 1:
            noisy = ~heard | (rng.random(batch) < options.noise_with_response)
        limited = rng.random(batch) < options.band_limit
        low, high = np.exp(rng.uniform(np.log((40, 2_500)), np.log((500, 7_500)), (batch, 2))).T
        order = np.exp(rng.uniform(0, np.log(8), batch))
        width = self._sometimes(batch, options.mask, 3, 14).astype(np.int64)
        return Drawn(
            tracks, starts, first, shift, pace, speed, others, others_first, others_gain_db, call, call_first,
            noises, noise_first, noise_pace.reshape(2, batch), tilt, noise_colour, colour, second_noise,
            rooms, devices, room_pace, decay, tail, noisy,
            low_hz=np.where(limited, low, 0.0),
            high_hz=np.where(limited, high, 1e6),
            order=order,
            snr_db=rng.uniform(*options.snr_db, batch),
            gain_db=rng.uniform(*options.gain_db, batch),
            clipped=1 - self._sometimes(batch, options.clip, 0.1, 0.7),
            mask_first=(rng.random(batch) * (N_MELS - width)).astype(np.int64),
            mask_width=width,
        )  # fmt: skip

    def tracks(self, batch: int, clips_per_track: int, n: int) -> list[tuple[int, int]]:
        """Tracks and how many clips of ``n`` samples of each make up a batch."""
        if clips_per_track == 1:
            return [(track, 1) for track in self.distinct(batch)]
        waiting = self.distinct(min(batch, len(self.music.items)))
        counted: list[tuple[int, int]] = []
        missing = batch
        while waiting and missing:
            track = waiting.pop(0)
            room = 1 + max(0, int(self.music.lengths[track]) - n) // (n + self._apart)
            counted.append((track, min(clips_per_track, room, missing)))
            missing -= counted[-1][1]
        self.waiting = waiting + self.waiting
        return counted

    def distinct(self, count: int) -> list[int]:
        """Numbers of tracks, every track once before any comes again."""
        while len(self.waiting) < count:
            again = self.rng.permutation(len(self.music.items)).tolist()
            # Those still waiting go behind the rest, or a batch could hold a track twice.
            self.waiting += sorted(again, key=set(self.waiting).__contains__)
        chosen, self.waiting = self.waiting[:count], self.waiting[count:]
        return chosen

    def _loud_places(self, counted: list[tuple[int, int]], n: int) -> Whole:
        """Random places where ``n`` samples are not near silence, or the last of a few tries.

        Clips of a track are redrawn together, in the order of time and apart from each other.
        """
        counts = np.array([count for _, count in counted])
        tracks = np.repeat([track for track, _ in counted], counts)
        owner = np.repeat(np.arange(len(counted)), counts)
        place = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
        between = (n + self._apart) * place
        taken = np.repeat((n + self._apart) * (counts - 1), counts)
        free = np.maximum(1, self.music.lengths[tracks] - n - taken)
        first = np.zeros(len(owner), np.int64)
        wanted = np.arange(len(owner))
        for _ in range(PLACES_TRIED):
            drawn = self.rng.integers(free[wanted])
            # In the order of time within each track: its clips stand together and have the same room.
            drawn = drawn[np.lexsort((drawn, owner[wanted]))]
            first[wanted] = drawn + between[wanted]
            power = self.music.power(tracks[wanted], first[wanted], n)
            quiet = owner[wanted[power < self.distortions.quietest]]
            wanted = np.flatnonzero(np.isin(owner, quiet))
            if not len(wanted):
                break
        return first

    def _calls(self, tracks: Whole, first: Whole, shift: Whole, n: int) -> tuple[Whole, Whole]:
        """Choose calls for some clips; ``first`` is moved to where they begin."""
        call, call_first = np.full(len(tracks), NONE), np.zeros(len(tracks), np.int64)
        if not self._calls_of or self.distortions.call <= 0:
            return call, call_first
        margin = round(self.distortions.shift_s * SAMPLE_RATE)
        for clip in np.flatnonzero(self.rng.random(len(tracks)) < self.distortions.call):
            mine = self._calls_of.get(int(tracks[clip]))
            if not mine:
                continue
            number = mine[self.rng.integers(len(mine))]
            free = int(self._call_length[number]) - n - 2 * margin
            if free < 0:
                continue
            place = margin + int(self.rng.integers(free + 1))
            call[clip], call_first[clip] = number, place + shift[clip]
            first[clip] = self._call_at[number] + place
        return call, call_first

    def _others(self, tracks: Whole, n: int) -> tuple[Whole, Whole]:
        """Choose other music for some clips, and where it begins."""
        others, first = np.full(len(tracks), NONE), np.zeros(len(tracks), np.int64)
        count, medley = len(self.music.items), self.distortions.medley
        if medley and count > 1:
            rows = np.flatnonzero(self.rng.random(len(tracks)) < medley)
            others[rows] = (tracks[rows] + self.rng.integers(1, count, size=len(rows))) % count
            first[rows] = self.rng.integers(np.maximum(1, self.music.lengths[others[rows]] - n))
        return others, first

    def _rooms(self, batch: int) -> Whole:
        """Rooms, measured or simulated, or `NONE`."""
        options, rng = self.distortions, self.rng
        drawn = rng.random(batch)
        out = np.full(batch, NONE)
        for nested, (low, high) in zip(
            self._responses[:2],
            ((0, options.measured), (options.measured, options.measured + options.simulated)),
            strict=True,
        ):
            rows = np.flatnonzero((drawn >= low) & (drawn < high))
            if len(nested) and len(rows):
                out[rows] = nested.draw(rng, len(rows))
        return out

    def _devices(self, batch: int) -> Whole:
        rows = np.flatnonzero(self.rng.random(batch) < self.distortions.device)
        out = np.full(batch, NONE)
        if len(self._responses[2]) and len(rows):
            out[rows] = self._responses[2].draw(self.rng, len(rows))
        return out

    def _about_zero(self, shape: int | tuple[int, int], probability: float, most: float) -> Real:
        """Uniform values in +-most with a probability, else 0; draws nothing if that is 0."""
        return self._sometimes(shape, probability, -most, most) if probability else np.zeros(shape)

    def _sometimes(self, shape: int | tuple[int, int], probability: float, low: float, high: float) -> Real:
        """Uniform values with a probability, else 0: one for each clip, or a row for each."""
        drawn = self.rng.uniform(low, high, shape)
        drawn *= self.rng.random((drawn.shape[0], 1)[: drawn.ndim]) < probability
        return drawn
