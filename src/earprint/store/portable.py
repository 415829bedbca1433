"""Portable file: fingerprints and names of recordings in one file, without audio.

The file is an uncompressed ``.npz`` (a zip of ``.npy`` arrays, read by `numpy.load` without pickle):

- ``header`` : uint8, the bytes of a JSON object with ``format`` ("earprint fingerprints"), ``version``,
  ``model_id``, ``dim``, ``reference_hop_s``, and ``tracks``, a list of objects with ``title``, ``artist``,
  ``album``, ``duration_s``, ``content_hash``, ``n_rows``, ``checksum`` and, on request, ``path``.
- ``vectors`` : in version 1, float16, little-endian, shape (sum of ``n_rows``, dim): the tracks' vectors one
  after another, unit length, or zeros where a recording is silent. In version 2, whose header also has
  ``storage`` and ``width``, uint8, shape (sum of ``n_rows``, width): codes of the model's codebook.

Reading and writing take one track at a time, so memory use does not grow with the file.
"""

import json
import math
import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from earprint.errors import LibraryError
from earprint.quantization.storage import Stored
from earprint.store.catalogue import NewTrack
from earprint.store.segments import TYPES, checksum_of, sync_folder

FORMAT = "earprint fingerprints"

VERSION = 2
"""Newest version of the file's layout; a file of half precision has the first."""

_FAULTS = (ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""Errors of reading a damaged or foreign file."""

NORM_TOLERANCE = 0.02
"""Tolerance of a fingerprint's length of 1; half precision changes it by less than 0.001."""

_FIELDS: dict[str, type | tuple[type, ...]] = {
    "title": str,
    "artist": (str, type(None)),
    "album": (str, type(None)),
    "duration_s": (int, float),
    "content_hash": str,
    "n_rows": int,
    "checksum": str,
    "path": (str, type(None)),
}


@dataclass(frozen=True)
class Contents:
    """What a source of fingerprints holds: model, storage and tracks.

    ``storage`` is the `earprint.quantization.storage.Storage.key`, ``width`` the number of columns of a row.
    """

    model_id: str
    dim: int
    reference_hop_s: float
    tracks: list[NewTrack]
    storage: str = "half"
    width: int = 0

    def __post_init__(self) -> None:
        if self.storage == "half":
            object.__setattr__(self, "width", self.dim)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the rows."""
        return TYPES[".f16" if self.storage == "half" else ".u8"]


def write_portable(file: Path, contents: Contents, rows: Iterable[Stored], *, with_paths: bool) -> None:
    """Write a portable file, completely or not at all.

    Parameters
    ----------
    file : Path
        Must not exist.
    contents : Contents
    rows : iterable of ndarray of float16 or uint8, shape (n_rows, width)
        Each track's stored rows, in the order of ``contents.tracks``.
    with_paths : bool
        Write the paths of the recordings' files too.

    Raises
    ------
    LibraryError
        If the file exists or cannot be written.
    """
    if file.exists():
        raise LibraryError(f"{file}: exists already; name another file, or delete it first")
    header = {"format": FORMAT, "version": VERSION, **asdict(contents)}
    if contents.storage == "half":  # older programs can read these
        header["version"] = 1
        del header["storage"], header["width"]
    for track in header["tracks"]:
        if not with_paths:
            del track["path"]
    temporary = file.with_name(f"{file.name}.tmp")
    total = sum(track.n_rows for track in contents.tracks)
    try:
        with temporary.open("wb") as out:
            with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
                encoded = np.frombuffer(json.dumps(header, ensure_ascii=False).encode(), np.uint8)
                with archive.open("header.npy", "w") as member:
                    npy.write_array(member, encoded, allow_pickle=False)
                with archive.open("vectors.npy", "w", force_zip64=True) as member:
                    shape = {
                        "descr": contents.dtype.str,
                        "fortran_order": False,
                        "shape": (total, contents.width),
                    }
                    npy.write_array_header_1_0(member, shape)
                    for part in rows:
                        member.write(np.ascontiguousarray(part, dtype=contents.dtype).tobytes())
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(file)
        sync_folder(file.parent)
    except OSError as error:
        raise LibraryError(
            f"{file}: cannot be written ({error.strerror}); make room or name another place"
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


class PortableFile:
    """A portable file, opened and its header checked.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    path : Path
    contents : Contents

    Raises
    ------
    LibraryError
        If it cannot be read, is no portable file, or was made by a newer earprint.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._member("header.npy") as member:
            encoded = npy.read_array(member, allow_pickle=False)
        self.contents = self._parse(encoded)

    def rows(self) -> Iterator[tuple[NewTrack, Stored]]:
        """Yield each track with its stored rows, checked, shape (n_rows, width).

        Raises
        ------
        LibraryError
            If the file is damaged.
        """
        width, stored = self.contents.width, self.contents.dtype
        with self._member("vectors.npy") as member:
            if npy.read_magic(member) != (1, 0):
                raise ValueError("the vectors are of an unknown kind")
            shape, fortran, dtype = npy.read_array_header_1_0(member)
            total = sum(track.n_rows for track in self.contents.tracks)
            if (shape, fortran, dtype) != ((total, width), False, stored):
                raise ValueError(f"the vectors have shape {shape} and type {dtype}")
            for track in self.contents.tracks:
                data = member.read(track.n_rows * width * stored.itemsize)
                vectors = np.frombuffer(data, stored).reshape(-1, width)
                if fault := fault_of(track, vectors):
                    raise ValueError(f"{track.title}: {fault}")
                yield track, vectors
            member.read(1)  # makes the zip file compare its own checksum

    def _parse(self, encoded: NDArray[Any]) -> Contents:
        try:
            header = json.loads(encoded.astype(np.uint8).tobytes())
            if header["format"] != FORMAT:
                raise ValueError("another format")
            if header["version"] > VERSION:
                raise LibraryError(
                    f"{self.path}: has version {header['version']}, which a newer earprint made; upgrade"
                )
            tracks = [_track(entry) for entry in header["tracks"]]
            model_id, dim = str(header["model_id"]), int(header["dim"])
            hop_s = float(header["reference_hop_s"])
            storage, width = str(header.get("storage", "half")), int(header.get("width", dim))
            if not model_id or dim < 1 or width < 1 or not 0 < hop_s < math.inf:
                raise ValueError("an impossible model")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._foreign(error) from error
        return Contents(model_id, dim, hop_s, tracks, storage, width)

    @contextmanager
    def _member(self, name: str) -> Iterator[IO[bytes]]:
        """Open one of the arrays; turn errors into `LibraryError`."""
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(name) as member:
                yield member
        except OSError as error:
            raise LibraryError(
                f"{self.path}: cannot be read ({error.strerror or error}); check the path"
            ) from error
        except _FAULTS as error:
            raise self._foreign(error) from error

    def _foreign(self, error: Exception) -> LibraryError:
        cause = " ".join(str(error).split()) or type(error).__name__
        return LibraryError(
            f"{self.path}: is no sound file of exported fingerprints ({cause}); export it again"
        )


def fault_of(track: NewTrack, vectors: Stored) -> str | None:
    """Return the fault of a track's stored rows, in a few words; None if they are intact."""
    if len(vectors) != track.n_rows:
        return f"has {len(vectors)} fingerprints instead of {track.n_rows}"
    if track.checksum is not None and checksum_of(vectors) != track.checksum:
        return "its checksum is wrong"
    if vectors.dtype.kind == "u":  # any codes are valid
        return None
    with np.errstate(invalid="ignore", over="ignore"):
        norms = np.linalg.norm(vectors.astype(np.float32), axis=1)
    if not np.all((norms == 0) | (np.abs(norms - 1) < NORM_TOLERANCE)):
        return "its fingerprints are no unit vectors"
    return None


def _track(entry: dict[str, Any]) -> NewTrack:
    """Read a track of the header."""
    values: dict[str, Any] = {name: entry.get(name) for name in _FIELDS}
    for name, kinds in _FIELDS.items():
        if not isinstance(values[name], kinds) or isinstance(values[name], bool):
            raise TypeError(f"a track's {name} is {values[name]!r}")
    if values["n_rows"] < 1 or not 0 <= values["duration_s"] < math.inf or not values["content_hash"]:
        raise ValueError(f"a track of {values['n_rows']} fingerprints and {values['duration_s']} s")
    return NewTrack(**values)
