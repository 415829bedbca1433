"""Description of a data set: its parts, their checksums, and its split into training and test data.

Paths inside a set are relative to its root folder, with forward slashes. A set consists of parts; a file
belongs to the first part whose pattern matches its whole path. Checksums are hexadecimal, as published by the
set's authors. Where none is published, only the number of files is checked.
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
        Approximate, for people.
    algorithm : {"md5", "sha1", "sha256", ""}
    digest : str
        Checksum; "" if no public source has one. Then only the presence of the archive is checked.
    part : str
        Part that it unpacks to. The archive is expected only if that part is.
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
        Number of files; None if it is not published. Then one file is enough.
    names : callable or None
        Returns all paths, if they are known beforehand.
    listing : str
        Path of a list of SHA-1 checksums and names, as ``sha1sum`` writes it; the names are relative to it.
    optional : bool
        Whether the part may be absent.
    unless : tuple of str
        Other parts: if one of them is present, this part may be absent.
    distinctive : bool
        Whether its files identify the set; false for a pattern that any file matches.
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
class Placement:
    """Where one file goes in the output.

    Attributes
    ----------
    source : str
        Path in the set.
    folder : str
        Folder of the output, such as ``music/train``; see `split_of_folder`.
    group : str
        Source of the file (artist, recording or room). No group is in both training and test data.
    convert : bool
        Whether the file is converted to 16 kHz and its first channel alone is kept. Averaging the microphones
        of an impulse response would act as a comb filter. Music is not converted: earprint reads any format.
    """

    source: str
    folder: str
    group: str
    convert: bool = False

    @property
    def name(self) -> str:
        """File name in the output: ``group__name``. `earprint train pack` reads the group from it."""
        stem, dot, suffix = self.source.rpartition("/")[2].rpartition(".")
        return f"{self.group}__{stem}{dot}{'wav' if self.convert else suffix}"

    @property
    def target(self) -> str:
        """Path in the output."""
        return f"{self.folder}/{self.name}"


@dataclass
class Split:
    """The split of the files that are present.

    Attributes
    ----------
    placements : list of Placement
    lists : dict of str to list of str
        Lines of further lists, by name of the list.
    notes : list of str
        Remarks for the user, one line each.
    """

    placements: list[Placement] = field(default_factory=list)
    lists: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Recipe:
    """One published set.

    Attributes
    ----------
    name, title, licence, source, layout : str
        ``layout`` shows the paths of the unpacked set, line by line.
    roots : tuple of str
        Subfolders of the folder given by the user that may be the root of the set.
    archives : tuple of Archive
    parts : tuple of Part
    make_split : callable
        Makes the `Split` from the root folder and the files of each part.
    rt60_targets_s : tuple of float
        RT60s in seconds. For each, the test response nearest to it is linked in ``rir/paper``.
    """

    name: str
    title: str
    licence: str
    source: str
    layout: str
    archives: tuple[Archive, ...]
    parts: tuple[Part, ...]
    make_split: Callable[[Path, Files], Split]
    roots: tuple[str, ...] = ()
    rt60_targets_s: tuple[float, ...] = ()


def split_of_folder(folder: str) -> str | None:
    """Split that an output folder belongs to: ``train``, ``test``, or None for neither.

    Neither are queries, which are made from references, and training music by artists of the references.
    """
    if folder in {"music/queries", "music/train-same-artist"}:
        return None
    return "test" if {"test", "references", "distractors", "absent"} & set(folder.split("/")) else "train"
