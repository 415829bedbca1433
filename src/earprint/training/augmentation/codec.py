"""Low-rate codecs, from audio that was coded in advance.

Codecs cannot run in batches, so a store holds their results: coded copies of recordings
(`earprint train pack --codecs`) and codec queries (`earprint train codec-queries`).
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from earprint.training.augmentation.base import (
    Params,
    QueryReplacement,
    ReadingAugmentation,
    Tensors,
    register,
)
from earprint.training.augmentation.sources import Clips, Int, Sources
from earprint.training.device_pack import NONE, DevicePack


@register("codec_twin")
@dataclass(frozen=True)
class CodecTwin(ReadingAugmentation):
    """The query is read from the recording's coded copy; the clean side is not.

    Attributes
    ----------
    probability : float
        Probability that it is applied to a clip whose recording has a coded copy, 0 to 1.
    """

    draw_order = 50
    probability: float = 0.5

    def choose(self, rng: np.random.Generator, clips: Clips) -> Int:
        """Choose among the clips whose recording has a coded copy."""
        rows = super().choose(rng, clips)
        if not len(rows):
            return rows
        twins = clips.sources.music.twins[clips.tracks[rows]]
        return np.asarray(rows[twins != NONE])

    def apply(self, clips: Clips, rows: Int, params: Params) -> None:
        """Read the coded copy."""
        clips.query_starts[rows] = clips.sources.music.twins[clips.tracks[rows]]


@register("codec_query")
@dataclass(frozen=True)
class CodecQuery(QueryReplacement):
    """The query is one that was rendered in advance: music with room, noise, device, band and codec.

    The clip moves to where the codec query was taken from. Only a shift before it, and augmentations with
    ``on_codec_queries`` after it, also apply.

    Attributes
    ----------
    probability : float
        Probability that it is applied to a clip whose recording has codec queries, 0 to 1.
    """

    draw_order = 20
    probability: float = 0.15

    def choose(self, rng: np.random.Generator, clips: Clips) -> Int:
        """Choose among the clips whose recording has a codec query that is long enough."""
        rows = super().choose(rng, clips)
        return np.array([row for row in rows if len(_fitting(clips, row))], np.int64)

    def draw(self, rng: np.random.Generator, rows: Int, clips: Clips) -> Params:
        """Draw a codec query for each clip, and the position in it."""
        pack, shift = _codec_queries(clips.sources), clips.shift[rows]
        fitting = [_fitting(clips, row) for row in rows]
        queries = np.array([numbers[rng.integers(len(numbers))] for numbers in fitting], np.int64)
        free = pack.lengths[queries] - clips.n - np.abs(shift)
        position = np.maximum(0, -shift) + rng.integers(free + 1)
        return {
            "starts": pack.starts[queries],
            "lengths": pack.lengths[queries],
            "position": position + shift,
            "first": pack.at[queries] + position,
        }

    def apply(self, clips: Clips, rows: Int, params: Params) -> None:
        """Move the clips to where the codec queries were taken from."""
        clips.first[rows] = params["first"]
        clips.is_codec_query[rows] = True

    def read(self, n: int, params: Tensors, sources: Sources) -> Tensor:
        """Read the codec queries."""
        at = params["position"][:, None] + torch.arange(n, device=params["position"].device)
        return _codec_queries(sources).gather(params["starts"], params["lengths"], at)


def _codec_queries(sources: Sources) -> DevicePack:
    assert sources.codec_queries is not None  # otherwise no clip is chosen
    return sources.codec_queries


def _fitting(clips: Clips, row: int) -> Int:
    """Numbers of the codec queries of a clip's recording in which the shifted clip lies completely."""
    pack = clips.sources.codec_queries
    queries = clips.sources.codec_queries_of.get(int(clips.tracks[row]))
    if pack is None or queries is None:
        return np.zeros(0, np.int64)
    return queries[pack.lengths[queries] >= clips.n + abs(int(clips.shift[row]))]
