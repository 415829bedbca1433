"""Make audio of queries: cut excerpts from recordings and distort them as their records say.

Excerpts that no fair query can be made of are left out and counted. They are not drawn again, because that
would depend on what was decoded before. All audio is 16 kHz mono float32.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from earprint.audio import load_audio
from earprint.constants import SAMPLE_RATE
from earprint.errors import AudioError
from earprint.evaluation.conditions import condition_class
from earprint.evaluation.material import Audio
from earprint.evaluation.query import Query

if TYPE_CHECKING:
    from pathlib import Path

RenderedQuery = tuple[Query, Audio]
"""A query and its audio, shape (n,)."""

SILENT_MEAN_SQUARE: Final = 1e-6
"""Excerpts with less power (-60 dB of full scale) are left out: nobody could identify them."""


def render(
    queries: Sequence[Query], on_exclusion: Callable[[Query, str], None] | None = None
) -> Iterator[RenderedQuery]:
    """Cut and distort queries, one recording decoded at a time.

    Parameters
    ----------
    queries : sequence of Query
    on_exclusion : callable, optional
        Called with each query that is left out and the cause: its excerpt or noise is silent, or one of its
        files cannot be decoded any more.

    Yields
    ------
    (Query, ndarray of float32, shape (round(length_s * 16000),))
        Recording by recording; the order within each is that of ``queries``.
    """
    by_path: dict[Path, list[Query]] = {}
    for query in queries:
        by_path.setdefault(query.path, []).append(query)
    for path, queries_of_path in by_path.items():
        try:
            recording = load_audio(path)
        except AudioError as error:
            recording, unreadable = np.zeros(0, np.float32), str(error)
        else:
            unreadable = (
                f"{path}: is shorter than at the start of the evaluation; leave it unchanged until the end"
            )
        for query in queries_of_path:
            condition = condition_class(query.condition)
            excerpt, past = condition.cut(recording, query)
            cause = None
            if len(excerpt) < round(query.length_s * SAMPLE_RATE):
                cause = unreadable
            elif np.mean(excerpt**2) < SILENT_MEAN_SQUARE:
                cause = "silent"
            else:
                try:
                    audio = condition.distort(query, excerpt, past)
                except AudioError as error:
                    cause = str(error)
            if cause is None:
                yield query, audio
            elif on_exclusion is not None:
                on_exclusion(query, cause)
