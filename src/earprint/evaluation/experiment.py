"""One evaluation from beginning to end: add the recordings, ask, collect the answers.

An interruption while queries are asked ends the asking; what has been answered till then is reported.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from earprint.errors import EvaluationError
from earprint.evaluation import backends as compute
from earprint.evaluation.costs import describe_library, time_answers, timed_questions
from earprint.evaluation.distractors import plan_copies
from earprint.evaluation.exclusions import LeftOut
from earprint.evaluation.ingest import Filled, OnProgress, absent_recordings, fill
from earprint.evaluation.outcomes import Outcome
from earprint.evaluation.peer_runner import ask_peer, fill_peer
from earprint.evaluation.peers import Peer
from earprint.evaluation.plan import Material, Plan, drawn, of_manifest, why_nothing
from earprint.evaluation.query import Query
from earprint.evaluation.repeats import mark_repeats
from earprint.evaluation.runner import ask_all
from earprint.evaluation.systems import System
from earprint.evaluation.workers import Workers
from earprint.library import Library, LibraryInfo


@dataclass
class Results:
    """What an evaluation found.

    Attributes
    ----------
    outcomes : list of Outcome
        By query length, system, and place in the manifest.
    queries : int
        In the manifest.
    costs : list of dict
        Of each system, JSON-ready.
    complete : bool
        False if it was interrupted.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    queries: int = 0
    costs: list[dict[str, Any]] = field(default_factory=list)
    complete: bool = True


def run(
    systems: Sequence[System],
    material: Material,
    plan: Plan,
    *,
    peers: Sequence[Peer] = (),
    left_out: LeftOut | None = None,
    on_progress: OnProgress = lambda _what, _done, _total: None,
    on_manifest: Callable[[Sequence[Query]], None] = lambda _queries: None,
) -> Results:
    """Add what is to be added, ask, and return the answers.

    Parameters
    ----------
    systems : sequence of System
        Their libraries get the references and distractors; tracks that they have already act as distractors.
    material : Material
    plan : Plan
    peers : sequence of Peer
        Other systems; they get the recordings that the first library took, and the same questions.
    left_out : LeftOut, optional
        Learns what took no part.
    on_progress : callable, optional
    on_manifest : callable, optional
        Gets all queries before the first is asked.

    Returns
    -------
    Results

    Raises
    ------
    EvaluationError
        If nothing can be asked, or no noise, room or device can be used.
    EarprintError
        If a library cannot be used; see `earprint.Library.add`.
    """
    left_out = LeftOut() if left_out is None else left_out
    copies = plan_copies(material.distractors, plan.copies) if plan.copies else []
    results = Results()
    with ExitStack() as running:
        workers = None
        if plan.jobs > 1:
            workers = running.enter_context(Workers(plan.jobs, compute.here().name))
        # Onnxruntime and NumPy let threads of one process do these as fast.
        helping = workers if compute.here().in_torch else None
        with ExitStack() as stack:
            filled = fill(
                stack,
                systems,
                material.references,
                material.distractors,
                copies,
                left_out,
                on_progress,
                helping,
            )
        infos = {system.name: _info(system) for system in systems}
        for number, peer in enumerate(peers):
            on_progress(f"adding to {peer.name}", number, len(peers))
            fill_peer(peer, [path for path, _ in filled.recordings] + filled.others, copies)
        absent = absent_recordings(material.absent, filled.hashes, left_out, on_progress, helping)
        if plan.manifest is None:
            queries = drawn(filled.recordings, absent, material, plan, left_out)
        else:
            queries = of_manifest(plan.manifest, filled.recordings, absent, left_out)
        on_manifest(queries)
        results.queries = len(queries)
        try:
            for length_s in dict.fromkeys(query.length_s for query in queries):
                mine = [query for query in queries if query.length_s == length_s]
                _ask(results, systems, peers, filled, mine, plan, left_out, on_progress, workers)
                if not results.complete:
                    break
            results.outcomes = mark_repeats(results.outcomes, helping)
        except KeyboardInterrupt:
            results.complete = False
    if not results.outcomes and results.complete:
        raise EvaluationError(why_nothing(filled.recordings + absent, plan))
    for system in systems:
        added = filled.added_s[system.name], filled.add_seconds[system.name]
        results.costs.append(describe_library(system, infos[system.name], *added))
    if results.complete:
        _time(results, systems, queries, plan, on_progress)
    return results


def _ask(
    results: Results,
    systems: Sequence[System],
    peers: Sequence[Peer],
    filled: Filled,
    queries: Sequence[Query],
    plan: Plan,
    left_out: LeftOut,
    on_progress: OnProgress,
    workers: Workers | None,
) -> None:
    """Put the queries of one length to all systems and peers."""
    what = f"asking, {queries[0].length_s:g} s"
    on_progress(what, 0, len(queries))
    with TemporaryDirectory(prefix="earprint-questions-") as folder:
        answers = ask_all(
            systems,
            queries,
            filled.tracks,
            method=plan.method,
            jobs=plan.jobs,
            keep=Path(folder) if peers else None,
            on_progress=lambda done: on_progress(what, done, len(queries)),
            workers=workers,
        )
        results.complete = answers.complete
        for query, cause in answers.left_out:
            left_out.query(query, cause)
        for system in systems:
            mine = (answers.outcomes.get((system.name, number)) for number in range(len(queries)))
            results.outcomes += [outcome for outcome in mine if outcome is not None]
        questions = [(queries[number], path) for number, path in sorted(answers.files.items())]
        expected = {path: path for path, _ in filled.recordings}
        for number, peer in enumerate(peers if questions and answers.complete else ()):
            on_progress(f"{what}, {peer.name}", number, len(peers))
            results.outcomes += ask_peer(peer, questions, expected)


def _info(system: System) -> LibraryInfo:
    """Describe a system's library once its changes are written into place, so that its size is what stays."""
    with Library(system.library, model=system.model, create=False) as library:
        return library.info()


def _time(
    results: Results, systems: Sequence[System], queries: Sequence[Query], plan: Plan, on_progress: OnProgress
) -> None:
    """Time a few questions to each system; an interruption leaves the times out."""
    try:
        questions = timed_questions(queries)
        for system, cost in zip(systems, results.costs, strict=True):
            what = f"timing {system.name}"
            cost["seconds_per_query"] = time_answers(
                system,
                questions,
                plan.method,
                lambda done, what=what: on_progress(what, done, len(questions)),  # type: ignore[misc]
            )
    except KeyboardInterrupt:
        results.complete = False
