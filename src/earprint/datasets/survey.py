"""Check a set on disk against its recipe: missing, corrupt and unexpected files.

Names and counts are always compared, and an empty file is corrupt. With ``deep``, all files are read, which
takes hours for large sets: the checksum is compared where one is published, and the header is read otherwise.
The checksums of archives are always compared.
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
"""SHA-1 checksum of an empty file: files that were published empty are not corrupt."""


@dataclass
class Finding:
    """Result of checking one part or archive.

    Attributes
    ----------
    name : str
    found : list of str
        Usable files.
    expected : int or None
        Number of files according to the recipe; None if unknown.
    missing, corrupt, unexpected : list of str
        One line for each file, or for several missing files.
    n_missing : int
        Number of missing files.
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
    """Result of checking a set.

    Attributes
    ----------
    root : Path
    findings : list of Finding
        One for each part that is present or expected, then one for each archive of them.
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
    """Check a folder against the recipe of a set.

    Parameters
    ----------
    recipe : Recipe
    folder : Path
        The root of the set, a folder that holds it, or a part of it.
    deep : bool
        Whether to read all files.
    archives : Path, optional
        Folder of the archives; their checksums are compared.
    on_file : callable, optional
        Called with the path of each file before it is read.

    Raises
    ------
    TrainingError
        If the folder cannot be read or holds no file of the set.
    """
    root, members = _find_root(recipe, folder)
    present = {part.name for part in recipe.parts if members[part.name]}
    findings = []
    for part in recipe.parts:
        may_be_absent = part.optional or any(name in present for name in part.unless)
        if members[part.name] or not may_be_absent:
            findings.append(_check_part(part, root, members[part.name], deep, on_file))
    if members[""]:
        findings.append(
            Finding(
                "other files", expected=0, unexpected=[f"{name}: not part of the set" for name in members[""]]
            )
        )
    if archives is not None:
        expected = {finding.name for finding in findings}
        findings += [
            _check_archive(archive, archives, on_file)
            for archive in recipe.archives
            if archive.part in expected or not archive.part or (archives / archive.name).exists()
        ]
    return Survey(root, findings)


def _find_root(recipe: Recipe, folder: Path) -> tuple[Path, dict[str, list[str]]]:
    if not folder.is_dir():
        raise TrainingError(f"{folder}: no such folder; give the one that {recipe.title} was unpacked in")
    for root in (folder, *(folder / name for name in recipe.roots), folder.parent):
        if not root.is_dir() or (root == folder.parent and not _names_part(recipe, folder.name)):
            continue
        members = _members(recipe, root)
        if any(members[part.name] for part in recipe.parts if part.distinctive):
            return root, members
    raise TrainingError(
        f"{folder}: holds nothing of {recipe.title}; `earprint data {recipe.name}` shows its layout"
    )


def _names_part(recipe: Recipe, name: str) -> bool:
    """Whether the folder is itself a part of the set, so that its parent is the root."""
    return any(part.match.startswith(f"{re.escape(name)}/") for part in recipe.parts)


def _members(recipe: Recipe, root: Path) -> dict[str, list[str]]:
    """Files of each part; the key "" has the audio files of no part."""
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
    visited: set[str] = set()  # real paths, so that circular links end
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
    """Published checksums by path from the root; none if the set's list of them is absent."""
    if not part.listing or not (root / part.listing).is_file():
        return {}
    folder = part.listing.rpartition("/")[0]
    listed = read_listing(root / part.listing)
    sums = {f"{folder}/{name}" if folder else name: digest for name, digest in listed.items()}
    return {path: digest for path, digest in sums.items() if re.fullmatch(part.match, path, re.IGNORECASE)}


def _fault(path: Path, digest: str, deep: bool, on_file: OnFile) -> str | None:
    """Describe a fault of a file, or return None; ``digest`` is its published SHA-1 checksum, or ""."""
    try:
        if path.stat().st_size == 0 and digest != EMPTY_SHA1:
            return "empty; unpack the archive again"
        if not deep:
            return None
        on_file(str(path))
        if digest:
            right = digest_of(path, "sha1") == digest
            return None if right else "its SHA-1 checksum is wrong; unpack the archive again"
        return _header_fault(path)
    except (av.error.FFmpegError, OSError) as error:
        return f"cannot be read ({error.strerror or error}); unpack the archive again"
    except TrainingError:  # from digest_of
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
        finding.corrupt.append(f"{archive.name}: its {name} checksum is wrong; download it again")
    else:
        finding.found.append(archive.name)
    return finding
