"""What augmentations draw from: the packs of a store, and the clips of the batch that is drawn."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from earprint.training.device_pack import DevicePack
from earprint.training.hierarchical_sampler import HierarchicalSampler

Int = NDArray[np.int64]
Float = NDArray[np.float64]
Bool = NDArray[np.bool_]


@dataclass(frozen=True)
class Sources:
    """The packs of a store on the training device.

    Attributes
    ----------
    music, noise : DevicePack
    responses : DevicePack
        Impulse responses in the categories ``room``, ``simulated`` and ``device``.
    codec_queries : DevicePack or None
        Queries rendered in advance, see `earprint.training.codec_queries`.
    """

    music: DevicePack
    noise: DevicePack
    responses: DevicePack
    codec_queries: DevicePack | None = None

    @cached_property
    def noise_sampler(self) -> HierarchicalSampler:
        """Draws numbers of noises."""
        return HierarchicalSampler(self.noise.items)

    @cached_property
    def response_samplers(self) -> Mapping[str, HierarchicalSampler]:
        """Draw numbers of responses, by category."""
        categories = ("room", "simulated", "device")
        return {name: HierarchicalSampler(self.responses.items, [name]) for name in categories}

    @cached_property
    def codec_queries_of(self) -> Mapping[int, Int]:
        """Numbers of the codec queries of each track that has any."""
        if self.codec_queries is None:
            return {}
        tracks = {item.name: number for number, item in enumerate(self.music.items)}
        queries: dict[int, list[int]] = {}
        for number, query in enumerate(self.codec_queries.items):
            if query.name in tracks and query.at is not None:
                queries.setdefault(tracks[query.name], []).append(number)
        return {track: np.array(numbers, np.int64) for track, numbers in queries.items()}


@dataclass
class Clips:
    """Where the clips of a batch are read from: arrays on the CPU, one entry for each clip.

    Attributes
    ----------
    n : int
        Samples of the distorted side.
    sources : Sources
    tracks : ndarray of int64
        Numbers of the recordings in ``sources.music``.
    first : ndarray of int64
        Position of the clip in its recording, in samples.
    query_starts : ndarray of int64
        Where the recording of the distorted side begins in the music's samples.
    shift : ndarray of int64
        How much later the distorted side begins, in samples.
    rate, query_rate : ndarray of float64
        Playback rate of both sides, and of the distorted side besides; 1 for unchanged.
    is_codec_query : ndarray of bool
        Whether the distorted side is a codec query.
    has_response : ndarray of bool
        Whether a room's or a device's response is applied.
    """

    n: int
    sources: Sources
    tracks: Int
    first: Int
    query_starts: Int
    shift: Int
    rate: Float
    query_rate: Float
    is_codec_query: Bool
    has_response: Bool

    @classmethod
    def unchanged(cls, n: int, sources: Sources, tracks: Int, first: Int) -> "Clips":
        """Clips whose distorted side is read as the clean side is."""
        size = len(tracks)
        return cls(
            n, sources, tracks, first,
            query_starts=sources.music.starts[tracks],
            shift=np.zeros(size, np.int64),
            rate=np.ones(size),
            query_rate=np.ones(size),
            is_codec_query=np.zeros(size, bool),
            has_response=np.zeros(size, bool),
        )  # fmt: skip

    def __len__(self) -> int:
        """Number of clips."""
        return len(self.tracks)
