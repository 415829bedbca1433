"""What of a set lies on disk: missing, corrupt and unexpected files.

Names and counts are always compared, and a file of no bytes is corrupt. Reading everything takes hours for
the larger sets, so that is left to ``deep``: every file whose sum is published is summed, of every other
the header is read. Archives are always summed, as that is the point of naming their folder.
"""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av

from earprint.audio.files import AUDIO_EXTENSIONS
from earprint.datasets.checksums import digest_of, read_listing
from earprint.datasets.recipe import Archive, Part, Recipe
from earprint.errors import TrainingError

OnFile = Callable[[str], None]

EMPTY_SHA1 = "da39a3ee5e6b4b0d3255bfef95601890afd80709"
"""SHA-1 sum of no bytes: a file that is empty as published is not at fault."""


@dataclass
class Finding:
    """One part or archive, compared with its description.

    Attributes
    ----------
    name : str
    found : list of str
        Usable files.
    expected : int or None
        How many there should be; None if unknown.
    missing, corrupt, unexpected : list of str
        One line for each fault.
    n_missing : int
        Number of files missing; a line may stand for many.
    """

    name: str
    found: list[str] = field(default_factory=list)
    expected: int | None = None
    missing: list[str] = field(default_factory=list)
    corrupt: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    n_missing: int = 0


@dataclass
class Survey:
    """What lies on disk of one set.

    Attributes
    ----------
    root : Path
    findings : list of Finding
        One for each part that is there or missed, then one for each such archive.
    """

    root: Path
    findings: list[Finding]

    @property
    def complete(self) -> bool:
        """Whether nothing is missing or corrupt."""
        return not any(finding.missing or finding.corrupt for finding in self.findings)

    def files(self) -> dict[str, list[str]]:
        """Usable files of each part."""
        return {finding.name: finding.found for finding in self.findings}


def survey(
    recipe: Recipe,
    folder: Path,
    *,
    deep: bool = False,
    archives: Path | None = None,
    on_file: OnFile = lambda _path: None,
) -> Survey:
    """Compare a folder with the description of a set.

    Parameters
    ----------
    recipe : Recipe
    folder : Path
        The root of the set, a folder that holds it, or a part of it.
    deep : bool
        Read every file.
    archives : Path, optional
        Folder of the archives, whose sums are then compared.
    on_file : callable, optional
        Told of each file before it is read.

    Raises
    ------
    TrainingError
        If the folder cannot be read or nothing of the set is in it.
    """
    root, members = _find_root(recipe, folder)
    there = {part.name for part in recipe.parts if members[part.name]}
    findings = []
    for part in recipe.parts:
        dispensable = part.optional or any(name in there for name in part.unless)
        if members[part.name] or not dispensable:
            findings.append(_check_part(part, root, members[part.name], deep, on_file))
    if members[""]:
        findings.append(
            Finding(
                "other files", expected=0, unexpected=[f"{name}: not part of the set" for name in members[""]]
            )
        )
    if archives is not None:
        wanted = {finding.name for finding in findings}
        findings += [
            _check_archive(archive, archives, on_file)
            for archive in recipe.archives
            if archive.part in wanted or not archive.part or (archives / archive.name).exists()
        ]
    return Survey(root, findings)


def _find_root(recipe: Recipe, folder: Path) -> tuple[Path, dict[str, list[str]]]:
    if not folder.is_dir():
        raise TrainingError(f"{folder}: no such folder; name the one that {recipe.title} was unpacked in")
    for root in (folder, *(folder / name for name in recipe.roots), folder.parent):
        if not root.is_dir() or (root == folder.parent and not _names_part(recipe, folder.name)):
            continue
        members = _members(recipe, root)
        if any(members[part.name] for part in recipe.parts if part.distinctive):
            return root, members
    raise TrainingError(
        f"{folder}: holds nothing of {recipe.title}; see `earprint data {recipe.name}` for how it should lie"
    )


def _names_part(recipe: Recipe, name: str) -> bool:
    """Whether the folder named is itself a part, so that the set's root is the one above it."""
    return any(part.match.startswith(f"{re.escape(name)}/") for part in recipe.parts)


def _members(recipe: Recipe, root: Path) -> dict[str, list[str]]:
    """Files of each part, and under "" the audio files that belong to none."""
    patterns = [(part.name, re.compile(part.match, re.IGNORECASE)) for part in recipe.parts]
    members: dict[str, list[str]] = {name: [] for name in ["", *(part.name for part in recipe.parts)]}
    for path in sorted(_walk(root)):
        for name, pattern in patterns:
            if pattern.fullmatch(path):
                members[name].append(path)
                break
        else:
            if Path(path).suffix.lower() in AUDIO_EXTENSIONS:
                members[""].append(path)
    return members


def _walk(root: Path) -> Iterator[str]:
    visited: set[str] = set()  # links to folders are followed, but never in a circle
    for parent, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(parent)
        if real in visited:
            folders.clear()
            continue
        visited.add(real)
        folders[:] = [name for name in folders if not name.startswith((".", "__MACOSX"))]
        for name in names:
            if not name.startswith("."):
                yield Path(parent, name).relative_to(root).as_posix()


def _check_part(part: Part, root: Path, members: list[str], deep: bool, on_file: OnFile) -> Finding:
    sums = _sums(part, root)
    known = set(sums) or set(part.names() if part.names is not None else ())
    finding = Finding(part.name, expected=len(known) or part.count)
    if not members:
        finding.n_missing = finding.expected or 1
        how_many = f"all of its {finding.expected:,} files" if finding.expected else "every file of it"
        finding.missing.append(f"{part.name}: {how_many}")
        return finding
    for path in members:
        if known and path not in known:
            finding.unexpected.append(f"{path}: not part of the set")
            continue
        cause = _fault(root / path, sums.get(path, ""), deep, on_file)
        if cause is None:
            finding.found.append(path)
        else:
            finding.corrupt.append(f"{path}: {cause}")
    there = set(members)
    finding.missing += [path for path in sorted(known) if path not in there]
    finding.n_missing = len(finding.missing)
    if not known and part.count is not None:
        short = part.count - len(members)
        if short > 0:
            finding.n_missing = short
            finding.missing.append(f"{part.name}: {short:,} of {part.count:,} files")
        elif short < 0:
            finding.unexpected.append(f"{part.name}: {-short:,} files beyond the published {part.count:,}")
    return finding


def _sums(part: Part, root: Path) -> dict[str, str]:
    """Published sums by path from the root; none if the list is not there."""
    if not part.listing or not (root / part.listing).is_file():
        return {}
    folder = part.listing.rpartition("/")[0]
    listed = read_listing(root / part.listing)
    sums = {f"{folder}/{name}" if folder else name: digest for name, digest in listed.items()}
    return {path: digest for path, digest in sums.items() if re.fullmatch(part.match, path, re.IGNORECASE)}


def _fault(path: Path, digest: str, deep: bool, on_file: OnFile) -> str | None:
    """Say what is wrong with a file, or None; ``digest`` is its published SHA-1 sum, or ""."""
    try:
        if path.stat().st_size == 0 and digest != EMPTY_SHA1:
            return "empty; unpack the archive again"
        if not deep:
            return None
        on_file(str(path))
        if digest:
            right = digest_of(path, "sha1") == digest
            return None if right else "its SHA-1 sum is wrong; unpack the archive again"
        return _header_fault(path)
    except (av.error.FFmpegError, OSError) as error:
        return f"cannot be read ({error.strerror or error}); unpack the archive again"
    except TrainingError:  # from summing: it could be found, but not read
        return "cannot be read; check its permissions and disk"


def _header_fault(path: Path) -> str | None:
    if path.suffix.lower() == ".mat":
        with path.open("rb") as file:
            return None if file.read(6) == b"MATLAB" else "is not a MATLAB file; unpack the archive again"
    if path.suffix.lower() in AUDIO_EXTENSIONS:
        with av.open(str(path)) as container:
            return None if container.streams.audio else "holds no audio; unpack the archive again"
    return None


def _check_archive(archive: Archive, folder: Path, on_file: OnFile) -> Finding:
    path = folder / archive.name
    finding = Finding(f"archive {archive.name}", expected=1)
    if not path.is_file():
        finding.missing.append(f"{archive.name}: not in {folder}")
        finding.n_missing = 1
        return finding
    on_file(str(path))
    if archive.digest and digest_of(path, archive.algorithm) != archive.digest:
        name = archive.algorithm.upper()
        finding.corrupt.append(f"{archive.name}: its {name} sum is wrong; fetch it again")
    else:
        finding.found.append(archive.name)
    return finding
