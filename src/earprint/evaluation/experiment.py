"""A whole evaluation: add the recordings, answer the queries, collect the outcomes.

An interruption while queries are answered ends the evaluation; the outcomes so far are reported.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from earprint.errors import EvaluationError
from earprint.evaluation.backends import current_backend
from earprint.evaluation.costs import describe_library, measure_times, render_timing_queries
from earprint.evaluation.distractors import plan_copies
from earprint.evaluation.exclusions import Exclusions
from earprint.evaluation.ingest import IngestedRecordings, OnProgress, ingest_recordings, measure_absent
from earprint.evaluation.material import Material
from earprint.evaluation.outcomes import Outcome
from earprint.evaluation.peer_runner import add_to_peer, identify_with_peer
from earprint.evaluation.peers import Peer
from earprint.evaluation.plan import Plan, draw_queries, explain_no_queries, queries_of_manifest
from earprint.evaluation.query import Query
from earprint.evaluation.repeats import mark_repeats
from earprint.evaluation.runner import identify_queries
from earprint.evaluation.systems import System
from earprint.evaluation.workers import WorkerPool
from earprint.library import Library, LibraryInfo


@dataclass
class ExperimentResults:
    """The results of an evaluation.

    Attributes
    ----------
    outcomes : list of Outcome
        By query length, system, and place in the manifest.
    queries : int
        Number of queries in the manifest.
    costs : list of dict
        Costs of each system, JSON-ready.
    complete : bool
        False if the evaluation was interrupted.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    queries: int = 0
    costs: list[dict[str, Any]] = field(default_factory=list)
    complete: bool = True


def run_experiment(
    systems: Sequence[System],
    material: Material,
    plan: Plan,
    *,
    peers: Sequence[Peer] = (),
    exclusions: Exclusions | None = None,
    on_progress: OnProgress = lambda _what, _done, _total: None,
    on_manifest: Callable[[Sequence[Query]], None] = lambda _queries: None,
) -> ExperimentResults:
    """Add the recordings, answer the queries, and return the outcomes.

    Parameters
    ----------
    systems : sequence of System
        The references and distractors are added to their libraries. Other tracks of the libraries act as
        distractors.
    material : Material
    plan : Plan
    peers : sequence of Peer
        Other systems. They get the recordings of the first system's library and the same queries.
    exclusions : Exclusions, optional
        Collects what is left out.
    on_progress : callable, optional
    on_manifest : callable, optional
        Called with all queries before the first one is answered.

    Returns
    -------
    ExperimentResults

    Raises
    ------
    EvaluationError
        If there is no query, or no noise, room or device can be used.
    EarprintError
        If a library cannot be used; see `earprint.Library.add`.
    """
    exclusions = Exclusions() if exclusions is None else exclusions
    copies = plan_copies(material.distractors, plan.copies) if plan.copies else []
    results = ExperimentResults()
    with ExitStack() as running:
        pool = None
        if plan.jobs > 1:
            pool = running.enter_context(WorkerPool(plan.jobs, current_backend().name))
        # Onnxruntime and NumPy release Python's lock, so threads of this process are as fast.
        ingest_pool = pool if current_backend().uses_torch else None
        with ExitStack() as stack:
            ingested = ingest_recordings(
                stack, systems, material, copies, exclusions, on_progress, ingest_pool
            )
        infos = {system.name: _library_info(system) for system in systems}
        for number, peer in enumerate(peers):
            on_progress(f"adding to {peer.name}", number, len(peers))
            add_to_peer(peer, [path for path, _ in ingested.recordings] + ingested.other_files, copies)
        absent = measure_absent(
            material.absent, ingested.content_hashes, exclusions, on_progress, ingest_pool
        )
        if plan.manifest is None:
            queries = draw_queries(ingested.recordings, absent, material, plan, exclusions)
        else:
            queries = queries_of_manifest(plan.manifest, ingested.recordings, absent, exclusions)
        on_manifest(queries)
        results.queries = len(queries)
        try:
            for length_s in dict.fromkeys(query.length_s for query in queries):
                of_length = [query for query in queries if query.length_s == length_s]
                _answer(results, systems, peers, ingested, of_length, plan, exclusions, on_progress, pool)
                if not results.complete:
                    break
            results.outcomes = mark_repeats(results.outcomes, ingest_pool)
        except KeyboardInterrupt:
            results.complete = False
    if not results.outcomes and results.complete:
        raise EvaluationError(explain_no_queries(ingested.recordings + absent, plan))
    for system in systems:
        added = ingested.added_s[system.name], ingested.add_seconds[system.name]
        results.costs.append(describe_library(system, infos[system.name], *added))
    if results.complete:
        _measure_times(results, systems, queries, plan, on_progress)
    return results


def _answer(
    results: ExperimentResults,
    systems: Sequence[System],
    peers: Sequence[Peer],
    ingested: IngestedRecordings,
    queries: Sequence[Query],
    plan: Plan,
    exclusions: Exclusions,
    on_progress: OnProgress,
    pool: WorkerPool | None,
) -> None:
    """Answer the queries of one length with all systems and peers."""
    what = f"identifying, {queries[0].length_s:g} s"
    on_progress(what, 0, len(queries))
    with TemporaryDirectory(prefix="earprint-queries-") as folder:
        answers = identify_queries(
            systems,
            queries,
            ingested.track_ids,
            method=plan.method,
            jobs=plan.jobs,
            audio_folder=Path(folder) if peers else None,
            on_progress=lambda done: on_progress(what, done, len(queries)),
            pool=pool,
        )
        results.complete = answers.complete
        for query, cause in answers.exclusions:
            exclusions.exclude_query(query, cause)
        for system in systems:
            outcomes = (answers.outcomes.get((system.name, number)) for number in range(len(queries)))
            results.outcomes += [outcome for outcome in outcomes if outcome is not None]
        rendered = [(queries[number], path) for number, path in sorted(answers.files.items())]
        references = {path: path for path, _ in ingested.recordings}
        for number, peer in enumerate(peers if rendered and answers.complete else ()):
            on_progress(f"{what}, {peer.name}", number, len(peers))
            results.outcomes += identify_with_peer(peer, rendered, references)


def _library_info(system: System) -> LibraryInfo:
    """Describe a system's library after its changes are written, so that the size is the final one."""
    with Library(system.library, model=system.model, create=False) as library:
        return library.info()


def _measure_times(
    results: ExperimentResults,
    systems: Sequence[System],
    queries: Sequence[Query],
    plan: Plan,
    on_progress: OnProgress,
) -> None:
    """Time a few queries with each system; after an interruption the times are missing."""
    try:
        rendered = render_timing_queries(queries)
        for system, cost in zip(systems, results.costs, strict=True):
            what = f"timing {system.name}"
            cost["seconds_per_query"] = measure_times(
                system,
                rendered,
                plan.method,
                lambda done, what=what: on_progress(what, done, len(rendered)),  # type: ignore[misc]
            )
    except KeyboardInterrupt:
        results.complete = False
