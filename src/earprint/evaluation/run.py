"""One evaluation from beginning to end: add the references, ask, collect the answers.

A recording is known by its content: a file of which the library holds a copy under another name is asked
about as that copy, and an "absent" file that the library holds is left out, as it is not absent.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from earprint.audio import content_hash, stream_audio
from earprint.constants import SAMPLE_RATE
from earprint.errors import AudioError, EvaluationError
from earprint.evaluation.left_out import LeftOut
from earprint.evaluation.measure import Outcome, ask
from earprint.evaluation.peers import Peer
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
from earprint.evaluation.repeats import mark_repeats
from earprint.evaluation.versus import Questions, ask_peer, kept
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
    """Recordings that the library holds: to be asked about, their tracks and files by path."""

    recordings: Recordings = field(default_factory=list)
    tracks: dict[Path, int] = field(default_factory=dict)
    files: dict[Path, Path] = field(default_factory=dict)


def run(
    library: Library,
    material: Material,
    plan: Plan,
    *,
    peers: Sequence[Peer] = (),
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
    peers : sequence of Peer
        Other systems; they get the recordings that the library took, and the same questions.
    left_out : LeftOut, optional
        Learns what took no part.
    on_progress : callable, optional

    Returns
    -------
    list of Outcome
        By query length, recording and condition.

    Raises
    ------
    EvaluationError
        If nothing can be asked, or no noise or no room response can be used.
    EarprintError
        If the library cannot be used; see `earprint.Library.add`.
    """
    left_out = LeftOut() if left_out is None else left_out
    _add(library, material, left_out, on_progress)
    known = _known(library, material.references)
    for number, peer in enumerate(peers):
        on_progress(f"adding to {peer.name}", number, len(peers))
        peer.add(list(known.files.values()) + _others(library, known))
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
        questions: Questions = []
        with TemporaryDirectory(prefix="earprint-questions-") as folder:
            rendered = render(asked, left_out.query)
            if peers:
                rendered = kept(rendered, Path(folder), questions)
            answers = ask(library, rendered, known.tracks, plan.method)
            outcomes += _followed(answers, f"asking, {length_s:g} s", len(asked), on_progress)
            for number, peer in enumerate(peers):
                on_progress(f"asking {peer.name}, {length_s:g} s", number, len(peers))
                outcomes += ask_peer(peer, questions, known.files)
    if not outcomes:
        raise EvaluationError(_why_nothing(known.recordings + absent, plan))
    return mark_repeats(outcomes)


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
        try:
            track = tracks.pop(content_hash(path), None)
        except AudioError:
            continue  # could not be added either, and was named then
        if track is not None:  # neither unusable nor a copy of another reference
            known.recordings.append((path, track.duration_s))
            known.tracks[path] = track.id
            known.files[path] = path
    return known


def _others(library: Library, known: _Known) -> list[Path]:
    """Files of the library's other tracks, which peers must hold too."""
    asked = set(known.tracks.values())
    paths = (track.path for track in library.tracks() if track.id not in asked)
    return [Path(path) for path in paths if path is not None and Path(path).is_file()]


def _absent(
    library: Library, files: Sequence[Path], left_out: LeftOut, on_progress: OnProgress
) -> Recordings:
    held = {track.content_hash for track in library.tracks()}
    recordings: Recordings = []
    for done, path in enumerate(files):
        on_progress("measuring absent recordings", done, len(files))
        try:
            if content_hash(path) in held:
                left_out.file(path, "is in the library, so it is not absent")
            else:
                duration_s = sum(len(block) for block in stream_audio(path)) / SAMPLE_RATE
                recordings.append((path, duration_s))
        except AudioError as error:
            left_out.file(path, error)
    return recordings


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


def _followed(
    answers: Iterator[Outcome], what: str, total: int, on_progress: OnProgress
) -> Iterator[Outcome]:
    on_progress(what, 0, total)
    for done, outcome in enumerate(answers, 1):
        on_progress(what, done, total)
        yield outcome
    on_progress(what, total, total)


def _why_nothing(recordings: Recordings, plan: Plan) -> str:
    if not recordings:
        return "nothing to ask about: no recording can be used; name folders of audio files that play"
    shortest_s = min(plan.lengths_s)
    if not any(long_enough(duration_s, shortest_s) for _, duration_s in recordings):
        longest_s = max(duration_s for _, duration_s in recordings)
        return (
            f"nothing to ask about: the longest recording has {longest_s:.1f} s, too short for excerpts of "
            f"{shortest_s:g} s; give a smaller --lengths or longer recordings"
        )
    return "nothing to ask about: every excerpt is silent or unreadable; check the recordings"
