"""One evaluation from beginning to end: add the references, ask, collect the answers.

A recording is known by its content: a file of which the library holds a copy under another name is asked
about as that copy, and an "absent" file that the library holds is left out, as it is not absent.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from earprint.audio import content_hash, stream_audio
from earprint.constants import SAMPLE_RATE
from earprint.errors import AudioError
from earprint.evaluation.left_out import LeftOut
from earprint.evaluation.measure import Outcome, ask
from earprint.evaluation.queries import (
    Query,
    conditions,
    draw_excerpts,
    load_noise,
    long_enough,
    render,
    room_response,
    under,
)
from earprint.library import AddEvent, Library

OnProgress = Callable[[str, float, float], None]
"""Told what is being done, how much of it is done, and how much there is."""

Recordings = list[tuple[Path, float]]
"""Files and their lengths in seconds."""


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
    noises, rooms : sequence of Path
    """

    references: Sequence[Path]
    distractors: Sequence[Path] = ()
    absent: Sequence[Path] = ()
    noises: Sequence[Path] = ()
    rooms: Sequence[Path] = ()


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
    """

    lengths_s: Sequence[float] = (5.0,)
    snrs_db: Sequence[float] = (10.0,)
    queries: int = 300
    absent_queries: int = 100
    method: Literal["aligned", "paper"] = "aligned"
    seed: int = 1


@dataclass
class _Known:
    """Recordings that the library holds: to be asked about, and their tracks by path."""

    recordings: Recordings = field(default_factory=list)
    tracks: dict[Path, int] = field(default_factory=dict)


def run(
    library: Library,
    material: Material,
    plan: Plan,
    *,
    left_out: LeftOut | None = None,
    on_progress: OnProgress = lambda _what, _done, _total: None,
) -> list[Outcome]:
    """Add what is to be added, ask, and return the answers.

    Parameters
    ----------
    library : Library
        Gets the references and distractors; tracks that it has already act as distractors.
    material : Material
    plan : Plan
    left_out : LeftOut, optional
        Learns what took no part.
    on_progress : callable, optional

    Returns
    -------
    list of Outcome
        By query length, recording and condition.

    Raises
    ------
    AudioError
        If nothing can be asked.
    EarprintError
        If the library cannot be used; see `earprint.Library.add`.
    """
    left_out = LeftOut() if left_out is None else left_out
    _add(library, material, left_out, on_progress)
    known = _known(library, material.references)
    absent = _absent(library, material.absent, left_out, on_progress)
    noises = _usable(material.noises, load_noise, left_out)
    rooms = _usable(material.rooms, room_response, left_out)
    wanted = conditions(plan.snrs_db, bool(noises), bool(rooms))
    outcomes: list[Outcome] = []
    for length_s in plan.lengths_s:
        drawn: list[Query] = []
        for present, recordings, count, seed in (
            (True, known.recordings, plan.queries, plan.seed),
            (False, absent, plan.absent_queries, plan.seed + 1),
        ):
            left_out.shorter(length_s, sum(not long_enough(s, length_s) for _, s in recordings))
            drawn += draw_excerpts(
                recordings, count, length_s, seed, noises=noises, rooms=rooms, present=present
            )
        asked = [under(query, condition) for condition in wanted for query in drawn]
        answers = ask(library, render(asked, left_out.query), known.tracks, plan.method)
        outcomes += _followed(answers, f"asking, {length_s:g} s", len(asked), on_progress)
    if not outcomes:
        raise AudioError(_why_nothing(known.recordings + absent, plan))
    return outcomes


def _add(library: Library, material: Material, left_out: LeftOut, on_progress: OnProgress) -> None:
    def on_event(event: AddEvent) -> None:
        on_progress("adding", event.bytes_done, event.bytes_total)

    report = library.add(*material.references, *material.distractors, on_event=on_event)
    for failure in report.failed:
        left_out.file(failure.path, failure.cause)


def _known(library: Library, references: Sequence[Path]) -> _Known:
    tracks = {track.content_hash: track for track in library.tracks()}
    known = _Known()
    for path in references:
        track = _track_of(path, tracks)
        # None: it failed and was named. Seen: a copy of another reference.
        if track is not None and track.id not in known.tracks.values():
            known.recordings.append((path, track.duration_s))
            known.tracks[path] = track.id
    return known
