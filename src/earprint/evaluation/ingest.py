"""Before anything is asked: the systems' libraries get their recordings, and it is noted which are known.

A recording is known by its content: a file of which a library holds a copy under another name is asked about
as that copy, and an "absent" file that a library holds is left out, as it is not absent.
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
from earprint.evaluation.distractors import Copy, missing, written
from earprint.evaluation.exclusions import LeftOut
from earprint.evaluation.systems import System
from earprint.evaluation.workers import FilesByWorkers, Workers, each
from earprint.library import AddEvent, Library

OnProgress = Callable[[str, float, float], None]
"""Told what is being done, how much of it is done, and how much there is."""

Recordings = list[tuple[Path, float]]
"""Files and their lengths in seconds."""


@dataclass
class Filled:
    """The libraries of a run, open and filled.

    Attributes
    ----------
    libraries : dict of str to Library
        By system.
    added_s, add_seconds : dict of str to float
        Audio that was added and the time that it took, in seconds, by system.
    recordings : list of (Path, float)
        Recordings that all libraries hold and that can be asked about.
    tracks : dict of str to dict of Path to int
        By system, their tracks.
    others : list of Path
        Files of the tracks that are not asked about.
    hashes : set of str
        Content of all tracks of all libraries.
    elsewhere : dict of str to FilesByWorkers
        By system, whoever fingerprints its files if it is not this process.
    """

    libraries: dict[str, Library] = field(default_factory=dict)
    added_s: dict[str, float] = field(default_factory=dict)
    add_seconds: dict[str, float] = field(default_factory=dict)
    recordings: Recordings = field(default_factory=list)
    tracks: dict[str, dict[Path, int]] = field(default_factory=dict)
    others: list[Path] = field(default_factory=list)
    hashes: set[str] = field(default_factory=set)
    elsewhere: dict[str, FilesByWorkers] = field(default_factory=dict)


def fill(
    stack: ExitStack,
    systems: Sequence[System],
    references: Sequence[Path],
    distractors: Sequence[Path],
    copies: Sequence[Copy],
    left_out: LeftOut,
    on_progress: OnProgress,
    workers: Workers | None = None,
) -> Filled:
    """Open the systems' libraries and add what they lack.

    Parameters
    ----------
    stack : ExitStack
        Closes the libraries.
    systems : sequence of System
    references, distractors : sequence of Path
    copies : sequence of Copy
        Speed-changed ones, see `earprint.evaluation.distractors`.
    left_out : LeftOut
        Learns what could not be added.
    on_progress : callable
    workers : Workers, optional
        Fingerprint the files; by default this process does.

    Raises
    ------
    EarprintError
        If a library cannot be used; see `earprint.Library.add`.
    """
    filled = Filled()
    for system in systems:
        system.library.mkdir(parents=True, exist_ok=True)
        library = stack.enter_context(Library(system.library, model=system.model, storage=system.storage))
        filled.libraries[system.name] = library
        if workers is not None:
            filled.elsewhere[system.name] = FilesByWorkers(workers, system.model)
        filled.added_s[system.name] = filled.add_seconds[system.name] = 0.0

        def on_event(event: AddEvent, name: str = system.name) -> None:
            on_progress(f"adding to {name}", event.bytes_done, event.bytes_total)

        _add(filled, system.name, [*references, *distractors], left_out, on_event)
    _add_copies(filled, copies, left_out, on_progress, workers)
    _note_known(filled, references)
    return filled


def _add(
    filled: Filled,
    name: str,
    paths: Sequence[Path],
    left_out: LeftOut,
    on_event: Callable[[AddEvent], None] | None = None,
) -> None:
    began = time.perf_counter()
    report = filled.libraries[name].add(*paths, on_event=on_event, pool=filled.elsewhere.get(name))
    if report.added:
        filled.add_seconds[name] += time.perf_counter() - began
        filled.added_s[name] += sum(track.duration_s for track in report.added)
    for failure in report.failed:
        left_out.file(failure.path, failure.cause)


def _add_copies(
    filled: Filled,
    copies: Sequence[Copy],
    left_out: LeftOut,
    on_progress: OnProgress,
    workers: Workers | None,
) -> None:
    """Add the copies that any library lacks; each is made once for all of them."""
    titles = {name: {t.title for t in library.tracks()} for name, library in filled.libraries.items()}
    there = set.intersection(*titles.values()) if titles else set()
    lacking = missing(copies, there)
    done = len(copies) - len(lacking)
    for paths in written(lacking, on_left_out=left_out.file, workers=workers):
        for name in filled.libraries:
            on_progress(f"adding copies to {name}", done, len(copies))
            mine = [path for path in paths if path.stem not in titles[name]]
            if mine:
                _add(filled, name, mine, left_out)
        done += len(paths)


def _note_known(filled: Filled, references: Sequence[Path]) -> None:
    """Note which references the libraries hold, each content once."""
    held: dict[str, dict[str, int]] = {}
    durations: dict[str, float] = {}
    for name, library in filled.libraries.items():
        tracks = library.tracks()
        held[name] = {track.content_hash: track.id for track in tracks}
        durations |= {track.content_hash: track.duration_s for track in tracks}
        filled.hashes |= held[name].keys()
    filled.tracks = {name: {} for name in held}
    asked: set[str] = set()
    for path in references:
        try:
            digest = content_hash(path)
        except AudioError:
            continue  # could not be added either, and was named then
        if digest in asked or not all(digest in numbers for numbers in held.values()):
            continue  # a copy of another reference, or unusable
        asked.add(digest)
        filled.recordings.append((path, durations[digest]))
        for name, numbers in held.items():
            filled.tracks[name][path] = numbers[digest]
    first = next(iter(filled.libraries.values()))
    paths = (track.path for track in first.tracks() if track.content_hash not in asked)
    filled.others = [Path(path) for path in paths if path is not None and Path(path).is_file()]


def absent_recordings(
    files: Sequence[Path],
    held: set[str],
    left_out: LeftOut,
    on_progress: OnProgress,
    workers: Workers | None = None,
) -> Recordings:
    """Measure the recordings that are asked about and that no library holds.

    Parameters
    ----------
    files : sequence of Path
    held : set of str
        Content of the libraries' tracks.
    left_out : LeftOut
    on_progress : callable
    workers : Workers, optional
        Measure them; by default this process does.
    """
    recordings: Recordings = []
    measured = each(workers, partial(_measure, held), files)
    for done, path in enumerate(files):
        on_progress("measuring absent recordings", done, len(files))
        duration_s, cause = next(measured)
        if cause is None:
            recordings.append((path, duration_s))
        else:
            left_out.file(path, cause)
    return recordings


def _measure(held: set[str], path: Path) -> tuple[float, AudioError | str | None]:
    """Give a recording's length in seconds, or say why it cannot be asked about as absent."""
    try:
        if content_hash(path) in held:
            return 0.0, "is in the library, so it is not absent"
        return sum(len(block) for block in stream_audio(path)) / SAMPLE_RATE, None
    except AudioError as error:
        return 0.0, error
