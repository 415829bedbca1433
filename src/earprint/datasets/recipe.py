"""The form in which a data set is described.

Paths inside a set are relative to its root folder and written with forward slashes. A set consists of
parts; each file belongs to the first part whose pattern matches its whole path. Sums are hexadecimal, as
the set's own publication prints them; where none is published the number of files is what can be checked.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

Files = Mapping[str, Sequence[str]]
"""Paths of the usable files of each part, sorted."""


@dataclass(frozen=True)
class Archive:
    """A file that the set is published as.

    Attributes
    ----------
    name : str
        Its file name.
    size : str
        As a person would say it.
    algorithm : {"md5", "sha1", "sha256", ""}
    digest : str
        "" if no sum could be found in a public source; then only its presence is checked.
    part : str
        Part that it unpacks to; it is missed only if that part is.
    """

    name: str
    size: str
    algorithm: str = ""
    digest: str = ""
    part: str = ""


@dataclass(frozen=True)
class Part:
    """Files of a set that belong together.

    Attributes
    ----------
    name : str
    match : str
        Regular expression for the whole path of a file, case ignored.
    count : int or None
        How many there are; None if that is not published, and one is enough.
    names : callable or None
        Gives every path, where they can be told beforehand.
    listing : str
        Path of a file that lists SHA-1 sums and names, relative to itself, as ``sha1sum`` prints them.
    optional : bool
        Not missed if nothing of it is there.
    unless : tuple of str
        Not missed either if any of these parts is there.
    distinctive : bool
        Whether its files show that a folder holds this set; false for a pattern that any file fits.
    """

    name: str
    match: str
    count: int | None = None
    names: Callable[[], Iterable[str]] | None = None
    listing: str = ""
    optional: bool = False
    unless: tuple[str, ...] = ()
    distinctive: bool = True


@dataclass(frozen=True)
class Placed:
    """Where one file goes.

    Attributes
    ----------
    source : str
        Path in the set.
    folder : str
        Of the output, such as ``music/train``; see `side_of` for which are for tests.
    group : str
        Source it comes from (artist, recording, room), which is never on both sides of the division.
    convert : bool
        Whether the first of several channels is taken and brought to 16 kHz. Averaging the
        microphones of a response would comb it; music is left as it is, earprint reads anything.
    """

    source: str
    folder: str
    group: str
    convert: bool = False

    @property
    def name(self) -> str:
        """File name in the output: ``group__name``, which `earprint train pack` divides by group."""
        stem, dot, suffix = self.source.rpartition("/")[2].rpartition(".")
        return f"{self.group}__{stem}{dot}{'wav' if self.convert else suffix}"

    @property
    def target(self) -> str:
        """Path in the output."""
        return f"{self.folder}/{self.name}"


@dataclass
class Division:
    """What a recipe makes of the files that are there.

    Attributes
    ----------
    placed : list of Placed
    lists : dict of str to list of str
        Further lists by name: lines to write.
    notes : list of str
        What a user should know, one line each.
    """

    placed: list[Placed] = field(default_factory=list)
    lists: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Recipe:
    """One published set.

    Attributes
    ----------
    name, title, licence, source, layout : str
        `layout` shows how the unpacked set lies, line by line.
    roots : tuple of str
        Folders in which the root may lie below the folder that a user names.
    archives : tuple of Archive
    parts : tuple of Part
    divide : callable
        Takes the root folder and the files of each part.
    rt60_targets_s : tuple of float
        Reverberation times for which one response each is picked into ``rir/paper``, in s.
    """

    name: str
    title: str
    licence: str
    source: str
    layout: str
    archives: tuple[Archive, ...]
    parts: tuple[Part, ...]
    divide: Callable[[Path, Files], Division]
    roots: tuple[str, ...] = ()
    rt60_targets_s: tuple[float, ...] = ()


def side_of(folder: str) -> str | None:
    """Tell which side of the division an output folder is on: ``train``, ``test``, or None for neither.

    Neither: queries, which are made from references, and training music of artists that are also among
    the references, which is there to be left out.
    """
    if folder in {"music/queries", "music/train-same-artist"}:
        return None
    return "test" if {"test", "references", "distractors", "absent"} & set(folder.split("/")) else "train"
