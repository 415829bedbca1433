"""Queries: excerpts at random places of recordings, distorted under named conditions.

Everything random is drawn first, into `Query` records that name files, places and levels; a manifest of
them lets anyone cut the same queries again. The same excerpts and the same noises are used under every
condition, so conditions can be compared pair by pair. Signal-to-noise ratios hold over the excerpt and are
set after reverberation; a room's response applies to signal and noise alike (paper, section 3.4) and hears
one second of real past. Excerpts that no fair question can be made of are left out and counted; they
are not drawn again, as that would depend on what was decoded before.
"""

import functools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from earprint.audio import load_audio, stream_audio
from earprint.constants import SAMPLE_RATE
from earprint.demo.degrade import add_noise, align_direct_sound, phone_band, reverberate
from earprint.errors import AudioError

PAST_S = 1.0
"""Audio before the excerpt whose reverberation reaches into it, in seconds."""

SILENT_MEAN_SQUARE = 1e-6
"""Excerpts with less power (-60 dB of full scale) are left out: nobody could name them."""

SILENT_NOISE_MEAN_SQUARE = 1e-12
"""Noises with less power (-120 dB of full scale) are left out: no level can be set against them."""

NOISE_S = 600.0
"""Noises are cut off here, in seconds, so that memory stays bounded."""


@dataclass(frozen=True)
class Query:
    """One question, and what it was made from.

    Attributes
    ----------
    path : Path
        The recording.
    start_s, length_s : float
        Where the excerpt lies in it.
    condition : str
        Name of the condition.
    snr_db : float or None
        Signal-to-noise ratio; None for no noise.
    noise, room : Path or None
        Files; the noise begins ``noise_start_s`` into its file and loops.
    noise_start_s : float
    phone : bool
        Band-limited to a telephone's 300-3400 Hz at the end.
    present : bool
        Whether the recording is in the library.
    """

    path: Path
    start_s: float
    length_s: float
    condition: str
    snr_db: float | None
    noise: Path | None
    noise_start_s: float
    room: Path | None
    phone: bool
    present: bool

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON-ready data."""
        return {key: str(value) if isinstance(value, Path) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Self:
        """Take a query from such data; what else is in it, such as its answer, is passed over."""
        own = {field.name: record[field.name] for field in fields(cls)}
        for key in ("path", "noise", "room"):
            own[key] = None if own[key] is None else Path(own[key])
        return cls(**own)


def read_manifest(path: Path) -> list[Query]:
    """Read the queries of a ``queries.jsonl``, one JSON object a line; `render` cuts them again.

    Raises
    ------
    AudioError
        If a line is not a query.
    """
    queries = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            queries.append(Query.from_dict(json.loads(line)))
        except (ValueError, KeyError, TypeError) as error:
            raise AudioError(f"{path}: line {number} is not a query; take one that earprint wrote") from error
    return queries


@dataclass(frozen=True)
class Condition:
    """A way to distort."""

    name: str
    snr_db: float | None = None
    room: bool = False
    phone: bool = False


def conditions(snrs_db: Sequence[float], noise: bool, rooms: bool) -> list[Condition]:
    """List the conditions that the material at hand allows: clean, noise, rooms, both, phone."""
    out = [Condition("clean")]
    if noise:
        out += [Condition(f"noise {snr:g} dB", snr) for snr in snrs_db]
    if rooms:
        out.append(Condition("room", room=True))
    if noise and rooms:
        out += [Condition(f"room + noise {snr:g} dB", snr, room=True) for snr in snrs_db]
        out.append(Condition("phone", snr_db=10.0, room=True, phone=True))
    return out


def draw_excerpts(
    files: Sequence[tuple[Path, float]],
    count: int,
    length_s: float,
    seed: int,
    *,
    noises: Sequence[Path] = (),
    rooms: Sequence[Path] = (),
    present: bool = True,
) -> list[Query]:
    """Draw places, noises and rooms; every file is used once before any is used again.

    Parameters
    ----------
    files : sequence of (Path, float)
        Recordings and their lengths in seconds; those shorter than the excerpt are left out.
    count : int
    length_s : float
    seed : int
    noises, rooms : sequence of Path
    present : bool

    Returns
    -------
    list of Query
        Clean ones; `under` makes the other conditions of them.
    """
    rng = np.random.default_rng(seed)
    usable = [(path, duration) for path, duration in files if long_enough(duration, length_s)]
    order: list[int] = []
    out = []
    for _ in range(count if usable else 0):
        order = order or rng.permutation(len(usable)).tolist()
        path, duration = usable[order.pop()]
        out.append(
            Query(
                path,
                start_s=float(rng.uniform(0, duration - length_s - 0.05)),
                length_s=length_s,
                condition="clean",
                snr_db=None,
                noise=noises[int(rng.integers(len(noises)))] if noises else None,
                noise_start_s=float(rng.uniform(0, 600)),
                room=rooms[int(rng.integers(len(rooms)))] if rooms else None,
                phone=False,
                present=present,
            )
        )
    return out


def long_enough(duration_s: float, length_s: float) -> bool:
    """Tell whether a recording has room for excerpts of some length, in seconds."""
    return duration_s > length_s + 0.1


def under(query: Query, condition: Condition) -> Query:
    """Put a drawn excerpt under a condition."""
    return replace(
        query,
        condition=condition.name,
        snr_db=condition.snr_db,
        noise=query.noise if condition.snr_db is not None else None,
        room=query.room if condition.room else None,
        phone=condition.phone,
    )


def render(
    queries: Sequence[Query], on_left_out: Callable[[Query, str], None] | None = None
) -> Iterator[tuple[Query, NDArray[np.float32]]]:
    """Cut and distort queries, one recording decoded at a time.

    Parameters
    ----------
    queries : sequence of Query
    on_left_out : callable, optional
        Gets each query that cannot be put, and why: its excerpt or noise is silent, or a file of it
        cannot be decoded any more.

    Yields
    ------
    (Query, ndarray of float32, shape (round(length_s * 16000),))
        Recording by recording, in the order given within each.
    """
    by_path: dict[Path, list[Query]] = {}
    for query in queries:
        by_path.setdefault(query.path, []).append(query)
    for path, mine in by_path.items():
        try:
            audio = load_audio(path)
        except AudioError as error:
            audio, unreadable = np.zeros(0, np.float32), str(error)
        else:
            unreadable = f"{path}: is shorter than when it was measured; leave it alone meanwhile"
        for query in mine:
            start, length = round(query.start_s * SAMPLE_RATE), round(query.length_s * SAMPLE_RATE)
            excerpt = audio[start : start + length]
            past = audio[max(0, start - round(PAST_S * SAMPLE_RATE)) : start]
            cause = None
            if len(excerpt) < length:
                cause = unreadable
            elif np.mean(excerpt**2) < SILENT_MEAN_SQUARE:
                cause = "silent"
            else:
                try:
                    question = distort(query, excerpt, past)
                except AudioError as error:
                    cause = str(error)
            if cause is None:
                yield query, question
            elif on_left_out is not None:
                on_left_out(query, cause)


def distort(query: Query, excerpt: NDArray[np.float32], past: NDArray[np.float32]) -> NDArray[np.float32]:
    """Apply a query's room, noise and telephone to its excerpt.

    Parameters
    ----------
    query : Query
    excerpt : ndarray of float32, shape (n,)
    past : ndarray of float32, shape (p,)
        What sounds before it in the recording.

    Returns
    -------
    ndarray of float32, shape (n,)

    Raises
    ------
    AudioError
        If the noise or response cannot be decoded or is silent.
    """
    response = room_response(query.room) if query.room else None
    if response is not None:
        excerpt = reverberate(excerpt, response, past=past)
    if query.noise is not None and query.snr_db is not None:
        noise = _looped(query.noise, query.noise_start_s, len(past) + len(excerpt))
        before, noise = noise[: len(past)], noise[len(past) :]
        if np.mean(noise**2) < SILENT_NOISE_MEAN_SQUARE:
            raise AudioError("its piece of noise is silent")
        if response is not None:
            noise = reverberate(noise, response, past=before)
        excerpt = add_noise(excerpt, noise, query.snr_db)
    return phone_band(excerpt) if query.phone else excerpt


@functools.lru_cache(maxsize=32)
def load_noise(path: Path) -> NDArray[np.float32]:
    """Decode a noise, at most `NOISE_S` of it, shape (n,).

    Raises
    ------
    AudioError
        If it cannot be decoded.
    """
    blocks: list[NDArray[np.float32]] = []
    for block in stream_audio(path, block_s=10.0):
        blocks.append(block)
        if sum(map(len, blocks)) >= NOISE_S * SAMPLE_RATE:
            break
    return np.concatenate(blocks)


def _looped(path: Path, start_s: float, n: int) -> NDArray[np.float32]:
    noise = load_noise(path)
    at = (round(start_s * SAMPLE_RATE) + np.arange(n)) % len(noise)
    return noise[at]


@functools.lru_cache(maxsize=512)
def room_response(path: Path) -> NDArray[np.float32]:
    """Decode a room response, with its direct sound at sample 0 and a peak of 1, shape (n,).

    Raises
    ------
    AudioError
        If it cannot be decoded or is silent.
    """
    response = load_audio(path)
    peak = float(np.abs(response).max())
    if peak == 0:
        raise AudioError(f"{path}: a silent room response; take it out of the folder")
    return align_direct_sound(response) / np.float32(peak)
