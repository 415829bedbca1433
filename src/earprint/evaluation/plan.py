"""What takes part in an evaluation, and which questions follow from it.

All queries are drawn here, or read from a manifest, before the first is asked.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from earprint.audio.codec import available_codec
from earprint.dsp.rt60 import estimate_rt60
from earprint.errors import AudioError, EvaluationError
from earprint.evaluation.conditions import Kind, conditions, draw_excerpts, long_enough, under
from earprint.evaluation.exclusions import LeftOut
from earprint.evaluation.ingest import Recordings
from earprint.evaluation.query import Query
from earprint.evaluation.rendering import load_noise, room_response
from earprint.matching import Method

PHONE_CODECS = ("opus", "amr", "mp3")
"""Codecs of the phone condition: the first that FFmpeg can encode here."""


@dataclass(frozen=True)
class Material:
    """The files of an evaluation.

    Attributes
    ----------
    references : sequence of Path
        Added, and asked about.
    distractors : sequence of Path
        Added, and not asked about.
    absent : sequence of Path
        Asked about, and not added.
    noises, rooms, devices : sequence of Path
        The last two are impulse responses.
    """

    references: Sequence[Path]
    distractors: Sequence[Path] = ()
    absent: Sequence[Path] = ()
    noises: Sequence[Path] = ()
    rooms: Sequence[Path] = ()
    devices: Sequence[Path] = ()


@dataclass(frozen=True)
class Plan:
    """What to ask.

    Attributes
    ----------
    lengths_s, snrs_db : sequence of float
        Lengths of queries, and signal-to-noise ratios of the noisy conditions.
    queries, absent_queries : int
        Of each condition and length.
    method : {"aligned", "paper"}
    seed : int
    speeds_percent : sequence of float
        Changes of speed of the speed condition.
    kinds : sequence of Kind, optional
        Conditions; all that the material allows by default.
    copies : int
        Speed-changed copies of each distractor that are added too.
    manifest : sequence of Query, optional
        To be asked in place of all that.
    jobs : int
        Processes that ask.
    """

    lengths_s: Sequence[float] = (5.0,)
    snrs_db: Sequence[float] = (10.0,)
    queries: int = 300
    absent_queries: int = 100
    method: Method = "aligned"
    seed: int = 1
    speeds_percent: Sequence[float] = ()
    kinds: Sequence[Kind] | None = None
    copies: int = 0
    manifest: Sequence[Query] | None = None
    jobs: int = 1


def drawn(
    present: Recordings, absent: Recordings, material: Material, plan: Plan, left_out: LeftOut
) -> list[Query]:
    """Draw all queries: length by length, condition by condition.

    Parameters
    ----------
    present, absent : list of (Path, float)
        Recordings and their lengths in seconds.
    material : Material
    plan : Plan
    left_out : LeftOut

    Returns
    -------
    list of Query

    Raises
    ------
    EvaluationError
        If noises, rooms or devices are given and none of them can be used.
    """
    noises = _usable(material.noises, load_noise, left_out)
    rooms = _usable(material.rooms, room_response, left_out)
    devices = _usable(material.devices, room_response, left_out)
    t60s_s = {room: estimate_rt60(room_response(room)) for room in rooms}
    wanted = conditions(
        plan.snrs_db,
        bool(noises),
        bool(rooms),
        speeds_percent=plan.speeds_percent,
        wanted=plan.kinds,
        codec=available_codec(PHONE_CODECS),
    )
    durations = dict(present) | dict(absent)
    queries: list[Query] = []
    for length_s in plan.lengths_s:
        excerpts: list[Query] = []
        # Played fastest, an excerpt takes the most of its recording.
        needed_s = length_s * max([1.0, *(condition.speed for condition in wanted)])
        for is_present, recordings, count, seed in (
            (True, present, plan.queries, plan.seed),
            (False, absent, plan.absent_queries, plan.seed + 1),
        ):
            usable = [one for one in recordings if long_enough(one[1], needed_s)]
            left_out.shorter(length_s, len(recordings) - len(usable))
            excerpts += draw_excerpts(
                usable, count, length_s, seed, noises=noises, rooms=rooms, devices=devices, present=is_present
            )
        queries += [
            under(query, condition, t60s_s=t60s_s, duration_s=durations[query.path])
            for condition in wanted
            for query in excerpts
        ]
    return queries


def of_manifest(
    manifest: Sequence[Query], present: Recordings, absent: Recordings, left_out: LeftOut
) -> list[Query]:
    """Take the queries of a manifest whose recordings are there, and are present or absent as it says."""
    by_place = {
        is_present: {path.resolve(): path for path, _ in recordings}
        for is_present, recordings in ((True, present), (False, absent))
    }
    queries = []
    for query in manifest:
        path = by_place[query.present].get(query.path.resolve())
        if path is None:
            where = "--references" if query.present else "--absent"
            left_out.query(query, f"its recording is not among those of {where}")
        else:
            queries.append(replace(query, path=path))
    return queries


def _usable(files: Sequence[Path], load: Callable[[Path], object], left_out: LeftOut) -> list[Path]:
    """Files that can be loaded; the others are left out before they can unbalance the conditions."""
    usable = []
    for path in files:
        try:
            load(path)
        except AudioError as error:
            left_out.file(path, error)
        else:
            usable.append(path)
    if files and not usable:
        raise EvaluationError(
            f"{files[0].parent}: none of its {len(files)} files can be used (see above); name another folder"
        )
    return usable


def why_nothing(recordings: Recordings, plan: Plan) -> str:
    """Say why there was nothing to ask, and what to do about it."""
    if not recordings:
        return "nothing to ask about: no recording can be used; name folders of audio files that play"
    if plan.manifest is not None:
        return "nothing to ask about: no query of the manifest fits the recordings; name those it was made of"
    shortest_s = min(plan.lengths_s)
    if not any(long_enough(duration_s, shortest_s) for _, duration_s in recordings):
        longest_s = max(duration_s for _, duration_s in recordings)
        return (
            f"nothing to ask about: the longest recording has {longest_s:.1f} s, too short for excerpts of "
            f"{shortest_s:g} s; give a smaller --lengths or longer recordings"
        )
    return "nothing to ask about: every excerpt is silent or unreadable; check the recordings"
