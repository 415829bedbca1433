"""Write the split of a set: links, converted files and text lists.

The output has the same layout for all sets, so that several sets can share one folder::

    music/train        music/references   music/distractors  music/absent
    noise/train/KIND   noise/test/KIND
    rir/train/room     rir/train/device   rir/test/room      rir/test/device
    lists/SET/...      one text file for each of these folders, with one path on each line

File names begin with the group of the file and ``__``. The same input gives the same output. Files that exist
are kept, so an interrupted run can be resumed. Files of an earlier run that are not in this split are
removed, so that no file is in both training and test data.
"""

import os
import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from earprint.audio import load_audio
from earprint.datasets.convert import first_channel, is_plain, write_response
from earprint.datasets.recipe import Placement, Recipe, split_of_folder
from earprint.datasets.survey import Survey
from earprint.dsp.reverberation import align_direct_sound
from earprint.dsp.rt60 import estimate_rt60
from earprint.errors import AudioError, TrainingError

PAPER_FOLDER = "rir/paper"
"""Folder of the responses that are chosen by their RT60."""


def write_split(
    recipe: Recipe,
    survey: Survey,
    out: Path,
    *,
    on_file: Callable[[str], None] = lambda _path: None,
) -> tuple[Counter[str], list[str], list[str]]:
    """Split the usable files of a set and write the result.

    Parameters
    ----------
    recipe : Recipe
    survey : Survey
    out : Path
        Output folder, created if needed. It may hold the output of other sets.
    on_file : callable, optional
        Called with the path of each file before it is written.

    Returns
    -------
    counts : Counter
        Number of files by folder.
    notes : list of str
        Remarks for the user.
    faults : list of str
        Files that could not be converted, with the cause.

    Raises
    ------
    TrainingError
        If a group is in both training and test data, or the output cannot be written.
    """
    split = recipe.make_split(survey.root, survey.files())
    check_disjoint(split.placements)
    lists = out / "lists" / recipe.name
    targets = _by_target(split.placements)
    try:
        _forget_others(out, lists, targets)
        done, faults = _place_all(survey.root, out, targets, on_file)
        counts = Counter(placed.folder for placed in done)
        for folder in sorted(counts):
            lines = [placed.target for placed in done if placed.folder == folder]
            _write_lines(lists / f"{folder.replace('/', '-')}.txt", lines)
        for name, lines in split.lists.items():
            _write_lines(lists / f"{name}.txt", lines)
        split.notes += _list_rooms(recipe, out, lists, done, counts)
    except OSError as error:
        where = error.filename or out
        raise TrainingError(
            f"{where}: cannot be written ({error.strerror}); check the disk or name another --out"
        ) from error
    return counts, split.notes, faults


def check_disjoint(placed: list[Placement]) -> None:
    """Raise a TrainingError if a group is in both training and test data."""
    splits: dict[tuple[str, str], str] = {}
    for item in placed:
        kind, split = item.folder.partition("/")[0], split_of_folder(item.folder)
        if split is not None and splits.setdefault((kind, item.group), split) != split:
            raise TrainingError(
                f"{item.group}: is in training and in test data; report this error of the recipe"
            )


def _by_target(placed: list[Placement]) -> dict[str, Placement]:
    """Sort by target path; two files with the same target are an error."""
    targets: dict[str, Placement] = {}
    for item in sorted(placed, key=lambda item: (item.target, item.source)):
        other = targets.setdefault(item.target, item)
        if other is not item:
            raise TrainingError(
                f"{item.source}: has the same output path {item.target} as {other.source}; rename one of them"
            )
    return targets


def _forget_others(out: Path, lists: Path, targets: dict[str, Placement]) -> None:
    """Remove files of an earlier run that are not in this split, then write the list of this one's files."""
    plan = lists / "plan.txt"
    if plan.is_file():
        for target in plan.read_text(encoding="utf-8").splitlines():
            parts = target.split("/")
            if target not in targets and parts[0] in {"music", "noise", "rir"} and ".." not in parts:
                (out / target).unlink(missing_ok=True)
        for old in lists.glob("*.txt"):
            old.unlink()
    _write_lines(plan, list(targets))


def _place_all(
    root: Path, out: Path, targets: dict[str, Placement], on_file: Callable[[str], None]
) -> tuple[list[Placement], list[str]]:
    done, faults = [], []
    for target, placed in targets.items():
        path, source = out / target, root / placed.source
        if not path.exists():
            on_file(target)
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                if placed.convert and not is_plain(source):
                    write_response(path, first_channel(source))
                else:
                    link(source, path)
            except (TrainingError, AudioError) as error:
                faults.append(str(error))
                continue
        done.append(placed)
    return done, faults


def link(source: Path, path: Path) -> None:
    """Make a symbolic link, or a hard link where there are none, or else a copy.

    Raises
    ------
    OSError
        If the copy fails too.
    """
    source = source.resolve()
    path.unlink(missing_ok=True)  # a link to a file that was moved
    for make in (os.symlink, os.link):
        with suppress(OSError, NotImplementedError):
            make(source, path)
            return
    unfinished = path.with_name(path.name + ".part")
    shutil.copyfile(source, unfinished)
    unfinished.replace(path)


def _list_rooms(
    recipe: Recipe, out: Path, lists: Path, done: list[Placement], counts: Counter[str]
) -> list[str]:
    """Measure the RT60 of the test responses, list them, and link those nearest to the paper's."""
    rooms: list[tuple[float | None, Placement]] = []
    for placed in done:
        if placed.folder.startswith("rir/test/room"):
            with suppress(AudioError):
                response = align_direct_sound(load_audio(out / placed.target))
                rooms.append((estimate_rt60(response), placed))
    if rooms:
        lines = [
            f"{placed.target}\t{placed.group}\t{'unknown' if rt60_s is None else format(rt60_s, '.2f')}"
            for rt60_s, placed in rooms
        ]
        _write_lines(lists / "rooms.tsv", ["file\troom\tRT60_s", *lines])
    picked = []
    folder = out / PAPER_FOLDER
    for target_s in recipe.rt60_targets_s:
        near = [(abs(rt60_s - target_s), placed) for rt60_s, placed in rooms if rt60_s is not None]
        if not near:
            continue
        _, placed = min(near, key=lambda item: (item[0], item[1].target))
        folder.mkdir(parents=True, exist_ok=True)
        for old in (*folder.glob(f"rt60-{target_s:g}s__*"), *folder.glob(f"t60-{target_s:g}s__*")):
            old.unlink()
        name = f"rt60-{target_s:g}s__{placed.name}"
        link(out / placed.target, folder / name)
        picked.append(f"{PAPER_FOLDER}/{name}")
    if picked:
        counts[PAPER_FOLDER] = len(picked)
        _write_lines(lists / "rir-paper.txt", picked)
        return ["rir/paper holds the test response nearest to each RT60 of the paper"]
    return []


def _write_lines(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
