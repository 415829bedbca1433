"""The demonstration: add music to a temporary library, ask it about spoiled excerpts, count.

Without a folder the music is composed on the spot and goes through real wav files, so that
everything a user does is exercised: decoding, fingerprints, the library, the search. Some
recordings are never added; the right answer to an excerpt of those is "no match". This module
prints nothing and returns rows.

Conventions: times in seconds; what is right and what is located is said in `earprint.demo.results`.
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
from earprint.demo.excerpts import CONDITIONS, Excerpt, cut, duration_s, spoil
from earprint.demo.results import LOCATED_S, Demonstration, Row, count
from earprint.errors import AudioError
from earprint.library import AddEvent, Library, Track
from earprint.synth import composer
from earprint.synth.titles import titles

COMPOSED: Final = 30
"""Composed pieces that are added."""

COMPOSED_ABSENT: Final = 8
"""Composed pieces that are never added."""

COMPOSED_S: Final = 40.0
"""Length of a composed piece, in seconds."""

MOST_FILES: Final = 100
"""Files of a user's folder that take part, drawn at random from a larger one."""

HOLD_OUT_FROM: Final = 5
"""Files a folder must have for some of them to be held out."""

MOST_ABSENT: Final = 8
"""Held-out files of a folder, at most; about every fifth file."""

QUESTIONS: Final = 32
"""Excerpts of `LONG_S` of recordings that are in the library."""

SHORT_QUESTIONS: Final = 6
"""Further excerpts, of `SHORT_S`."""

LONG_S: Final = 5.0
SHORT_S: Final = 2.0

ATTEMPTS: Final = 8
"""Places tried in a recording until one is audible."""

OnProgress = Callable[[str, int, int], None]
"""Told the stage (``compose``, ``add``, ``ask``), how much of it is done and how much there is."""


@dataclass(frozen=True)
class _Source:
    """A recording that questions are cut from."""

    path: Path
    title: str
    duration_s: float
    track: Track | None


def demonstrate(
    folder: str | PathLike[str] | None = None,
    *,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> Demonstration:
    """Run the demonstration in a temporary library.

    Parameters
    ----------
    folder : path, optional
        The user's music; composed music without it.
    seed : int
        Choice of the music, of the places, and of what spoils them; not negative.
    on_progress : callable, optional
        See `OnProgress`.

    Raises
    ------
    earprint.errors.AudioError
        If nothing in the folder could be added.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    report = on_progress or _ignore
    with TemporaryDirectory(prefix="earprint-demo-", ignore_cleanup_errors=True) as temporary:
        work = Path(temporary)
        left_out = 0
        if folder is None:
            present, absent = _compose(work, seed, report)
        else:
            present, absent, left_out = _choose(Path(folder), rng)
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
                _Source(Path(str(track.path)), track_name(track), track.duration_s, track)
                for track in added.added
            ]
            rows = _ask(library, known, _measure(absent, failed), rng, report)
        audio_s = sum(source.duration_s for source in known)
        tally = count(rows, len(known), audio_s, add_seconds, failed, left_out)
        return Demonstration(rows, tally)


def track_name(track: Track) -> str:
    """Give a track's title, or the name of its file where it has none."""
    return track.title or Path(str(track.path)).stem


def _compose(work: Path, seed: int, report: OnProgress) -> tuple[list[Path], list[Path]]:
    total = COMPOSED + COMPOSED_ABSENT
    music = work / "music"
    music.mkdir()
    paths = []
    for number, title in enumerate(titles(total, seed)):
        report("compose", number, total)
        path = music / f"{title}.wav"
        # Seeds far apart, so that two demonstrations share no piece.
        write_wav(path, composer.compose(seed * 1000 + number, COMPOSED_S))
        paths.append(path)
    report("compose", total, total)
    return paths[:COMPOSED], paths[COMPOSED:]


def _choose(folder: Path, rng: np.random.Generator) -> tuple[list[Path], list[Path], int]:
    """Draw the files that take part, and hold some of them out if there are enough."""
    files = list(find_audio_files([folder]))
    if not files:
        raise AudioError(f"{folder}: no audio files in it; name a folder with music")
    drawn = [files[i] for i in rng.permutation(len(files))[:MOST_FILES]]
    # A copy of a file must not be asked about as absent while its twin is in the library.
    different: dict[str, Path] = {}
    for path in drawn:
        try:
            different.setdefault(content_hash(path), path)
        except AudioError:
            different[str(path)] = path  # adding it will say what is wrong with it
    held_out = 0
    if len(different) >= HOLD_OUT_FROM:
        held_out = min(MOST_ABSENT, len(different) // HOLD_OUT_FROM)
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


def _ask(
    library: Library,
    known: Sequence[_Source],
    absent: Sequence[_Source],
    rng: np.random.Generator,
    report: OnProgress,
) -> list[Row]:
    """Ask about every known recording in turn, a few briefly, then about the absent ones."""
    order = [known[i] for i in rng.permutation(len(known))]
    plan = [(order[i % len(order)], LONG_S) for i in range(QUESTIONS)]
    plan += [(order[(QUESTIONS + i) % len(order)], SHORT_S) for i in range(SHORT_QUESTIONS)]
    plan += [(source, LONG_S) for source in absent]
    rows: list[Row] = []
    for number, (source, length_s) in enumerate(plan):
        report("ask", number, len(plan))
        excerpt = _audible_excerpt(source, length_s, rng)
        spoiling = int(rng.integers(2**31))
        if excerpt is not None:
            rows.append(_answer(library, source, excerpt, CONDITIONS[number % 4], spoiling))
    report("ask", len(plan), len(plan))
    return rows


def _audible_excerpt(source: _Source, length_s: float, rng: np.random.Generator) -> Excerpt | None:
    """Cut from a random place that is not silent; None if none is found."""
    for _ in range(ATTEMPTS):
        start_s = float(rng.uniform(0.0, max(0.0, source.duration_s - length_s)))
        excerpt = cut(source.path, start_s, length_s)
        if excerpt.audible:
            return excerpt
    return None


def _answer(library: Library, source: _Source, excerpt: Excerpt, condition: str, seed: int) -> Row:
    samples = spoil(excerpt, condition, seed)
    started = time.perf_counter()
    result = library.identify(samples, sample_rate=SAMPLE_RATE, top=1)
    seconds = time.perf_counter() - started
    match = result.match
    best = match or (result.candidates[0] if result.candidates else None)
    right = match is None
    if source.track is not None:
        right = match is not None and match.track.id == source.track.id
    near = match is not None and abs(match.start_s - excerpt.start_s) <= LOCATED_S
    return Row(
        asked=source.title,
        asked_s=excerpt.start_s,
        length_s=len(samples) / SAMPLE_RATE,
        condition=condition,
        absent=source.track is None,
        answered=track_name(match.track) if match else None,
        answered_s=match.start_s if match else None,
        score=best.score if best else None,
        right=right,
        located=right and near,
        seconds=seconds,
    )


def _ignore(stage: str, done: int, total: int) -> None:
    """Tell nobody."""
