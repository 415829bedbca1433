"""Run the demonstration in a temporary library.

Without a folder, the music is composed and written to wav files, so that the demonstration does all that a
user does: decode, add, identify. Some recordings are not added: the correct answer to an excerpt of them is
"no match". Times are in seconds.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np

from earprint.audio import content_hash, find_audio_files
from earprint.audio.wav import write_wav
from earprint.constants import SAMPLE_RATE
from earprint.demo.excerpts import CONDITIONS, Excerpt, cut, distort, duration_s
from earprint.demo.results import LOCATED_S, DemoQuery, DemoResult, summarise
from earprint.errors import AudioError
from earprint.library import AddEvent, Library, Track
from earprint.synth import composer
from earprint.synth.titles import titles

ATTEMPTS: Final = 8
"""Positions tried in a recording until an excerpt is audible."""


@dataclass(frozen=True)
class DemoSettings:
    """Sizes of the demonstration.

    Attributes
    ----------
    composed, composed_absent : int
        Composed pieces that are added, and that are never added.
    composed_s : float
        Length of a composed piece, in seconds.
    max_files : int
        Most files of a folder that are used; they are drawn at random from a larger one.
    hold_out_every : int
        One of this many files of a folder is held out: it is not added.
    max_absent : int
        Most files of a folder that are held out.
    long_queries, short_queries : int
        Queries of ``long_s`` and of ``short_s`` of recordings in the library. Each absent recording gives one
        more query of ``long_s``.
    long_s, short_s : float
        Lengths of queries, in seconds.
    conditions : tuple of str
        Taken in turn; see `earprint.demo.excerpts.distort`.
    """

    composed: int = 30
    composed_absent: int = 8
    composed_s: float = 40.0
    max_files: int = 100
    hold_out_every: int = 5
    max_absent: int = 8
    long_queries: int = 32
    short_queries: int = 6
    long_s: float = 5.0
    short_s: float = 2.0
    conditions: tuple[str, ...] = CONDITIONS


OnProgress = Callable[[str, int, int], None]
"""Called with the stage (``compose``, ``add`` or ``identify``), the number of its steps done, and of all."""


@dataclass(frozen=True)
class _Source:
    """A recording that queries are cut from; its track is None if it is not in the library."""

    path: Path
    title: str
    duration_s: float
    track: Track | None


def run_demo(
    folder: str | PathLike[str] | None = None,
    *,
    seed: int = 0,
    on_progress: OnProgress | None = None,
    settings: DemoSettings | None = None,
) -> DemoResult:
    """Run the demonstration in a temporary library.

    Parameters
    ----------
    folder : path, optional
        Music to use; without it, music is composed.
    seed : int
        Choice of the music, of the excerpts and of their distortions; not negative.
    on_progress : callable, optional
        See `OnProgress`.
    settings : DemoSettings, optional

    Raises
    ------
    earprint.errors.AudioError
        If nothing in the folder could be added.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    settings = settings or DemoSettings()
    report = on_progress or _ignore
    with TemporaryDirectory(prefix="earprint-demo-", ignore_cleanup_errors=True) as temporary:
        work = Path(temporary)
        left_out = 0
        if folder is None:
            present, absent = _compose(work, seed, settings, report)
        else:
            present, absent, left_out = _choose(Path(folder), rng, settings)
        with Library(work / "library") as library:
            started = time.perf_counter()
            added = library.add(*present, on_event=_forward(report))
            add_seconds = time.perf_counter() - started
            failed = [f"{failure.path}: {failure.cause}" for failure in added.failed]
            if not added.added:
                raise AudioError(
                    f"{folder}: none of its {len(present)} audio files could be added; "
                    "run 'earprint add' on it to see why"
                )
            known = [
                _Source(Path(str(track.path)), _title_of(track), track.duration_s, track)
                for track in added.added
            ]
            queries = _identify_all(library, known, _measure(absent, failed), rng, settings, report)
        summary = summarise(
            queries,
            n_tracks=len(known),
            audio_s=sum(source.duration_s for source in known),
            add_seconds=add_seconds,
            failed=failed,
            files_left_out=left_out,
        )
        return DemoResult(queries, summary)


def _title_of(track: Track) -> str:
    """Title of a track, or the name of its file if it has none."""
    return track.title or Path(str(track.path)).stem


def _compose(
    work: Path, seed: int, settings: DemoSettings, report: OnProgress
) -> tuple[list[Path], list[Path]]:
    """Compose pieces, and write those to add and those to hold out."""
    total = settings.composed + settings.composed_absent
    music = work / "music"
    music.mkdir()
    paths = []
    for number, title in enumerate(titles(total, seed)):
        report("compose", number, total)
        path = music / f"{title}.wav"
        # Seeds far apart, so that two demonstrations share no piece.
        write_wav(path, composer.compose(seed * 1000 + number, settings.composed_s))
        paths.append(path)
    report("compose", total, total)
    return paths[: settings.composed], paths[settings.composed :]


def _choose(
    folder: Path, rng: np.random.Generator, settings: DemoSettings
) -> tuple[list[Path], list[Path], int]:
    """Draw files to add and, if there are enough, files to hold out; count the files that are not used."""
    files = list(find_audio_files([folder]))
    if not files:
        raise AudioError(f"{folder}: no audio files in it; name a folder with music")
    drawn = [files[i] for i in rng.permutation(len(files))[: settings.max_files]]
    # A file must not be held out while a copy of it is in the library.
    different: dict[str, Path] = {}
    for path in drawn:
        try:
            different.setdefault(content_hash(path), path)
        except AudioError:
            different[str(path)] = path  # adding it reports the error
    held_out = min(settings.max_absent, len(different) // settings.hold_out_every)
    chosen = list(different.values())
    return chosen[held_out:], chosen[:held_out], len(files) - len(drawn)


def _measure(paths: Sequence[Path], failed: list[str]) -> list[_Source]:
    sources = []
    for path in paths:
        try:
            sources.append(_Source(path, path.stem, duration_s(path), None))
        except AudioError as error:
            failed.append(str(error))
    return sources


def _forward(report: OnProgress) -> Callable[[AddEvent], None]:
    def on_event(event: AddEvent) -> None:
        report("add", event.files_done, event.files_total)

    return on_event


def _identify_all(
    library: Library,
    known: Sequence[_Source],
    absent: Sequence[_Source],
    rng: np.random.Generator,
    settings: DemoSettings,
    report: OnProgress,
) -> list[DemoQuery]:
    """Identify long and then short excerpts of the known recordings, then long ones of the absent ones."""
    order = [known[i] for i in rng.permutation(len(known))]
    lengths_s = [settings.long_s] * settings.long_queries + [settings.short_s] * settings.short_queries
    plan = [(order[i % len(order)], length_s) for i, length_s in enumerate(lengths_s)]
    plan += [(source, settings.long_s) for source in absent]
    queries: list[DemoQuery] = []
    for number, (source, length_s) in enumerate(plan):
        report("identify", number, len(plan))
        excerpt = _audible_excerpt(source, length_s, rng)
        seed = int(rng.integers(2**31))
        if excerpt is not None:
            condition = settings.conditions[number % len(settings.conditions)]
            queries.append(_identify(library, source, excerpt, condition, seed))
    report("identify", len(plan), len(plan))
    return queries


def _audible_excerpt(source: _Source, length_s: float, rng: np.random.Generator) -> Excerpt | None:
    """Cut an excerpt at a random position; None if all positions tried are silent."""
    for _ in range(ATTEMPTS):
        start_s = float(rng.uniform(0.0, max(0.0, source.duration_s - length_s)))
        excerpt = cut(source.path, start_s, length_s)
        if excerpt.audible:
            return excerpt
    return None


def _identify(library: Library, source: _Source, excerpt: Excerpt, condition: str, seed: int) -> DemoQuery:
    samples = distort(excerpt, condition, seed)
    started = time.perf_counter()
    result = library.identify(samples, sample_rate=SAMPLE_RATE, top=1)
    seconds = time.perf_counter() - started
    match = result.match
    best = match or (result.candidates[0] if result.candidates else None)
    correct = match is None
    if source.track is not None:
        correct = match is not None and match.track.id == source.track.id
    near = match is not None and abs(match.start_s - excerpt.start_s) <= LOCATED_S
    return DemoQuery(
        title=source.title,
        start_s=excerpt.start_s,
        length_s=len(samples) / SAMPLE_RATE,
        condition=condition,
        absent=source.track is None,
        answer=_title_of(match.track) if match else None,
        answer_start_s=match.start_s if match else None,
        score=best.score if best else None,
        correct=correct,
        located=correct and near,
        seconds=seconds,
    )


def _ignore(stage: str, done: int, total: int) -> None:
    """Report no progress."""
