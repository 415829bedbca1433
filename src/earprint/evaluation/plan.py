"""The plan of an evaluation: which queries are cut from which recordings, under which conditions.

All queries are drawn here, or read from a manifest, before the first one is answered.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from earprint.dsp.rt60 import estimate_rt60
from earprint.evaluation.conditions import Clean, Condition
from earprint.evaluation.excerpts import Excerpt, draw_excerpts, is_long_enough
from earprint.evaluation.exclusions import Exclusions
from earprint.evaluation.ingest import Recordings
from earprint.evaluation.material import Material, load_response
from earprint.evaluation.query import Query
from earprint.matching import Method


@dataclass(frozen=True)
class Plan:
    """The queries of an evaluation, and how they are answered.

    Attributes
    ----------
    conditions : sequence of Condition
        See `earprint.evaluation.condition_options.select_conditions`.
    lengths_s : sequence of float
        Lengths of queries.
    queries, absent_queries : int
        Number of queries for each condition and length.
    method : {"aligned", "paper"}
    seed : int
    copies : int
        Speed-changed copies of each distractor that the libraries hold too.
    manifest : sequence of Query, optional
        Queries to answer instead of drawn ones.
    jobs : int
        Processes that answer.
    """

    conditions: Sequence[Condition] = (Clean(),)
    lengths_s: Sequence[float] = (5.0,)
    queries: int = 300
    absent_queries: int = 100
    method: Method = "aligned"
    seed: int = 1
    copies: int = 0
    manifest: Sequence[Query] | None = None
    jobs: int = 1


def draw_queries(
    present: Recordings, absent: Recordings, material: Material, plan: Plan, exclusions: Exclusions
) -> list[Query]:
    """Draw all queries: length by length, condition by condition.

    Parameters
    ----------
    present, absent : list of (Path, float)
        Recordings and their lengths in seconds.
    material : Material
    plan : Plan
    exclusions : Exclusions

    Returns
    -------
    list of Query

    Raises
    ------
    EvaluationError
        If noises, speech, rooms or devices are given and none of them can be used.
    """
    material = material.usable(exclusions)
    rt60s_s = {room: estimate_rt60(load_response(room)) for room in material.rooms}
    queries: list[Query] = []
    for length_s in plan.lengths_s:
        excerpts: list[Excerpt] = []
        # The fastest condition takes the most of a recording.
        needed_s = length_s * max([1.0, *(condition.speed for condition in plan.conditions)])
        for is_present, recordings, count, seed in (
            (True, present, plan.queries, plan.seed),
            (False, absent, plan.absent_queries, plan.seed + 1),
        ):
            usable = [recording for recording in recordings if is_long_enough(recording[1], needed_s)]
            exclusions.exclude_short_recordings(length_s, len(recordings) - len(usable))
            excerpts += draw_excerpts(
                usable, count, length_s, seed, material=material, rt60s_s=rt60s_s, present=is_present
            )
        queries += [condition.apply(excerpt) for condition in plan.conditions for excerpt in excerpts]
    return queries


def queries_of_manifest(
    manifest: Sequence[Query], present: Recordings, absent: Recordings, exclusions: Exclusions
) -> list[Query]:
    """Take the queries of a manifest whose recordings are present or absent as the manifest says."""
    by_place = {
        is_present: {path.resolve(): path for path, _ in recordings}
        for is_present, recordings in ((True, present), (False, absent))
    }
    queries = []
    for query in manifest:
        path = by_place[query.present].get(query.path.resolve())
        if path is None:
            option = "--references" if query.present else "--absent"
            exclusions.exclude_query(query, f"its recording is not among those of {option}")
        else:
            queries.append(replace(query, path=path))
    return queries


def explain_no_queries(recordings: Recordings, plan: Plan) -> str:
    """Say why there is no query, and what to do about it."""
    if not recordings:
        return "nothing to ask about: no recording can be used; name folders of audio files that play"
    if plan.manifest is not None:
        return "nothing to ask about: no query of the manifest fits the recordings; name those it was made of"
    shortest_s = min(plan.lengths_s)
    if not any(is_long_enough(duration_s, shortest_s) for _, duration_s in recordings):
        longest_s = max(duration_s for _, duration_s in recordings)
        return (
            f"nothing to ask about: the longest recording has {longest_s:.1f} s, too short for excerpts of "
            f"{shortest_s:g} s; give a smaller --lengths or longer recordings"
        )
    return "nothing to ask about: every excerpt is silent or unreadable; check the recordings"
