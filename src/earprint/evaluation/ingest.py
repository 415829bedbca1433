"""Add the recordings of an evaluation to the systems' libraries, and find out which are present or absent.

Recordings are compared by their content. A reference that a library holds under another name counts as
present. An "absent" recording that a library holds is left out.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from earprint.audio import content_hash, stream_audio
from earprint.constants import SAMPLE_RATE
from earprint.errors import AudioError
from earprint.evaluation.distractors import SpeedCopy, missing_copies, write_copies
from earprint.evaluation.exclusions import Exclusions
from earprint.evaluation.material import Material
from earprint.evaluation.systems import System
from earprint.evaluation.workers import PoolFileEncoder, WorkerPool, map_in_order
from earprint.library import AddEvent, Library

OnProgress = Callable[[str, float, float], None]
"""Called with the name of a step, how much of it is done, and how much there is."""

Recordings = list[tuple[Path, float]]
"""Files and their lengths in seconds."""


@dataclass
class IngestedRecordings:
    """The systems' libraries and what they hold.

    Attributes
    ----------
    libraries : dict of str to Library
        By name of the system.
    added_s, add_seconds : dict of str to float
        Length of the audio that was added, and the time that adding took, in seconds, by system.
    recordings : list of (Path, float)
        References that all libraries hold, each content once, with their lengths in seconds.
    track_ids : dict of str to dict of Path to int
        Tracks of these references, by system.
    other_files : list of Path
        Files of the first library's other tracks.
    content_hashes : set of str
        Content of all tracks of all libraries.
    file_encoders : dict of str to PoolFileEncoder
        By system; empty if this process fingerprints the files.
    """

    libraries: dict[str, Library] = field(default_factory=dict)
    added_s: dict[str, float] = field(default_factory=dict)
    add_seconds: dict[str, float] = field(default_factory=dict)
    recordings: Recordings = field(default_factory=list)
    track_ids: dict[str, dict[Path, int]] = field(default_factory=dict)
    other_files: list[Path] = field(default_factory=list)
    content_hashes: set[str] = field(default_factory=set)
    file_encoders: dict[str, PoolFileEncoder] = field(default_factory=dict)


def ingest_recordings(
    stack: ExitStack,
    systems: Sequence[System],
    material: Material,
    copies: Sequence[SpeedCopy],
    exclusions: Exclusions,
    on_progress: OnProgress,
    pool: WorkerPool | None = None,
) -> IngestedRecordings:
    """Open the systems' libraries and add what they lack.

    Parameters
    ----------
    stack : ExitStack
        Closes the libraries.
    systems : sequence of System
    material : Material
        Its references and distractors are added.
    copies : sequence of SpeedCopy
        Copies to add, see `earprint.evaluation.distractors`.
    exclusions : Exclusions
        Collects what could not be added.
    on_progress : callable
    pool : WorkerPool, optional
        Fingerprints the files; by default this process does.

    Raises
    ------
    EarprintError
        If a library cannot be used; see `earprint.Library.add`.
    """
    ingested = IngestedRecordings()
    for system in systems:
        system.library.mkdir(parents=True, exist_ok=True)
        library = stack.enter_context(Library(system.library, model=system.model, storage=system.storage))
        ingested.libraries[system.name] = library
        if pool is not None:
            ingested.file_encoders[system.name] = PoolFileEncoder(pool, system.model)
        ingested.added_s[system.name] = ingested.add_seconds[system.name] = 0.0

        def on_event(event: AddEvent, name: str = system.name) -> None:
            on_progress(f"adding to {name}", event.bytes_done, event.bytes_total)

        _add(ingested, system.name, [*material.references, *material.distractors], exclusions, on_event)
    _add_copies(ingested, copies, exclusions, on_progress, pool)
    _match_references(ingested, material.references)
    return ingested


def _add(
    ingested: IngestedRecordings,
    name: str,
    paths: Sequence[Path],
    exclusions: Exclusions,
    on_event: Callable[[AddEvent], None] | None = None,
) -> None:
    began = time.perf_counter()
    report = ingested.libraries[name].add(*paths, on_event=on_event, pool=ingested.file_encoders.get(name))
    if report.added:
        ingested.add_seconds[name] += time.perf_counter() - began
        ingested.added_s[name] += sum(track.duration_s for track in report.added)
    for failure in report.failed:
        exclusions.exclude_file(failure.path, failure.cause)


def _add_copies(
    ingested: IngestedRecordings,
    copies: Sequence[SpeedCopy],
    exclusions: Exclusions,
    on_progress: OnProgress,
    pool: WorkerPool | None,
) -> None:
    """Add the copies that any library lacks; each is written once for all of them."""
    titles = {
        name: {track.title for track in library.tracks()} for name, library in ingested.libraries.items()
    }
    in_all = set.intersection(*titles.values()) if titles else set()
    missing = missing_copies(copies, in_all)
    done = len(copies) - len(missing)
    for paths in write_copies(missing, on_exclusion=exclusions.exclude_file, pool=pool):
        for name in ingested.libraries:
            on_progress(f"adding copies to {name}", done, len(copies))
            lacking = [path for path in paths if path.stem not in titles[name]]
            if lacking:
                _add(ingested, name, lacking, exclusions)
        done += len(paths)


def _match_references(ingested: IngestedRecordings, references: Sequence[Path]) -> None:
    """Find the tracks of the references, each content once."""
    ids_by_hash: dict[str, dict[str, int]] = {}
    durations: dict[str, float] = {}
    for name, library in ingested.libraries.items():
        tracks = library.tracks()
        ids_by_hash[name] = {track.content_hash: track.id for track in tracks}
        durations |= {track.content_hash: track.duration_s for track in tracks}
        ingested.content_hashes |= ids_by_hash[name].keys()
    ingested.track_ids = {name: {} for name in ids_by_hash}
    matched: set[str] = set()
    for path in references:
        try:
            digest = content_hash(path)
        except AudioError:
            continue  # adding it failed too and was reported
        if digest in matched or not all(digest in ids for ids in ids_by_hash.values()):
            continue  # a copy of another reference, or one that could not be added
        matched.add(digest)
        ingested.recordings.append((path, durations[digest]))
        for name, ids in ids_by_hash.items():
            ingested.track_ids[name][path] = ids[digest]
    first = next(iter(ingested.libraries.values()))
    paths = (track.path for track in first.tracks() if track.content_hash not in matched)
    ingested.other_files = [Path(path) for path in paths if path is not None and Path(path).is_file()]


def measure_absent(
    files: Sequence[Path],
    content_hashes: set[str],
    exclusions: Exclusions,
    on_progress: OnProgress,
    pool: WorkerPool | None = None,
) -> Recordings:
    """Measure the lengths of absent recordings; those that a library holds are left out.

    Parameters
    ----------
    files : sequence of Path
    content_hashes : set of str
        Content of the libraries' tracks.
    exclusions : Exclusions
    on_progress : callable
    pool : WorkerPool, optional
        Measures them; by default this process does.
    """
    recordings: Recordings = []
    measured = map_in_order(pool, partial(_measure, content_hashes), files)
    for done, path in enumerate(files):
        on_progress("measuring absent recordings", done, len(files))
        duration_s, cause = next(measured)
        if cause is None:
            recordings.append((path, duration_s))
        else:
            exclusions.exclude_file(path, cause)
    return recordings


def _measure(content_hashes: set[str], path: Path) -> tuple[float, AudioError | str | None]:
    """Return a recording's length in seconds, or the cause for which it cannot be used as absent."""
    try:
        if content_hash(path) in content_hashes:
            return 0.0, "is in the library, so it is not absent"
        return sum(len(block) for block in stream_audio(path)) / SAMPLE_RATE, None
    except AudioError as error:
        return 0.0, error
