"""A library: a folder that remembers recordings; the verbs are add, identify, list and remove.

The folder holds the catalogue (`catalogue.sqlite`), the fingerprints (`segments/`), and the lock
that admits one writer at a time (`writer.lock`, and beside it `writer.pid`, which says who).
Readers need no lock: each question is answered from a `View`, an immutable picture of the last
committed state, which is taken anew when another process has committed something. All times are
in seconds.
"""

import hashlib
import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal, Self

import numpy as np
from numpy.typing import NDArray

from earprint.audio import resample, stream_audio
from earprint.audio.sources import name_of
from earprint.constants import SAMPLE_RATE
from earprint.encoder.base import AudioBlocks, Encoder
from earprint.errors import AudioError, LibraryError, ModelError
from earprint.library.catalogue import (
    FILE_NAME,
    FORMAT_VERSION,
    Catalogue,
    NewTrack,
    path_text,
    storable,
)
from earprint.library.ingest import Finished, OnEvent, ingest, pack
from earprint.library.records import AddReport, Identification, LibraryInfo, Match, Track
from earprint.library.segments import (
    delete_strays,
    verify_segment,
    write_segment,
)
from earprint.library.view import View, build_view
from earprint.library.writer import writing
from earprint.matching import AGREEMENT, leads, search

MAX_DIGITS = 18
"""Digits of the largest track number; more do not fit the catalogue."""

OWN_FILES = (FILE_NAME, "segments", "writer.lock", "writer.pid")
"""Beginnings of the names that a library folder holds."""

Source = str | os.PathLike[str] | BinaryIO | NDArray[np.generic]
"""A file's path, an open binary file, or samples of shape (n,) or (n, channels)."""


class Library:
    """A folder of remembered recordings.

    Safe to use from several threads. Use it as a context manager, or call `close`.

    Parameters
    ----------
    path : path
        The library's folder.
    create : bool
        Make the library if the folder is missing or empty.
    model : str
        Name of the model, loaded when first needed.
    encoder : Encoder, optional
        Used in place of `model`.
    on_wait : callable, optional
        Gets one line that says for whom, when a change must wait for another process's.

    Raises
    ------
    LibraryError
        If there is no library, or it is damaged or cannot be read.
    ModelError
        If the library was made by another model than `encoder`. With `model`, this is found when
        the model is first needed.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        create: bool = True,
        model: str = "dense",
        encoder: Encoder | None = None,
        on_wait: Callable[[str], None] | None = None,
    ) -> None:
        if not os.fspath(path):
            raise LibraryError("the library has an empty path; name a folder")
        self.path = Path(path)
        self._on_wait = on_wait
        self._model = model
        self._encoder: Encoder | None = None
        self._lock = threading.RLock()
        self._view: View | None = None
        self._view_version = -1
        self._mapped: dict[int, NDArray[np.float16]] = {}
        _check_folder(self.path, create=create)
        self._catalogue = Catalogue(self.path, create=create)
        try:
            if encoder is not None:
                self._check_model(encoder)
                self._encoder = encoder
            self._refresh()
        except BaseException:
            self._catalogue.close()
            raise

    def close(self) -> None:
        """Close the library's files."""
        self._catalogue.close()
        with self._lock:
            self._view = None
            self._mapped = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # Asking

    def identify(
        self,
        source: Source,
        *,
        sample_rate: int = SAMPLE_RATE,
        top: int = 5,
        threshold: float | None = None,
        method: Literal["aligned", "paper"] = "aligned",
    ) -> Identification:
        """Say which recording an excerpt comes from, and where in it.

        Parameters
        ----------
        source : path, binary file, or ndarray of shape (n,) or (n, channels)
        sample_rate : int
            Of an array, in Hz.
        top : int
            Most answers to give.
        threshold : float, optional
            Least score of a match, finite; the model's own by default, for "paper" the paper's one half.
        method : {"aligned", "paper"}
            See `earprint.matching`.

        Returns
        -------
        Identification

        Raises
        ------
        AudioError
            If the source gives no audio.
        ModelError
            If the library was made by another model.
        LibraryError
            If the library is damaged.
        """
        if method not in ("aligned", "paper"):
            raise ValueError(f"method is {method!r}; it must be 'aligned' or 'paper'")
        if top < 1:
            raise ValueError(f"top is {top}; ask for at least one answer")
        if threshold is not None and not math.isfinite(threshold):
            raise ValueError(f"threshold is {threshold}; it must be a finite number")
        began = time.perf_counter()
        encoder = self._load_encoder()
        warnings: list[str] = []
        query = encoder.encode(_blocks(source, sample_rate, warnings), query=True)
        if query.silent.all():
            name = "the query" if isinstance(source, np.ndarray) else name_of(source)
            warnings.append(f"{name}: is silent throughout; there is nothing to recognise it by")
        ratio = round(encoder.reference_hop_s / encoder.query_hop_s)
        view = self._refresh()
        if view.index is None:
            alignments = []
        else:
            alignments = search(query, view.index, view.table, ratio=ratio, method=method)
        if threshold is None:
            threshold = AGREEMENT if method == "paper" else encoder.threshold(query.duration_s)
        candidates = [
            Match(
                track=view.tracks[alignment.track],
                start_s=alignment.start_s,
                end_s=alignment.start_s + query.duration_s,
                score=alignment.score,
                lead=lead,
            )
            for alignment, lead in list(zip(alignments, leads(alignments), strict=True))[:top]
        ]
        return Identification(
            query_duration_s=query.duration_s,
            threshold=threshold,
            matches=[match for match in candidates if match.score >= threshold],
            candidates=candidates,
            seconds=time.perf_counter() - began,
            warnings=warnings,
        )

    def tracks(self) -> list[Track]:
        """Return the tracks, in the order of their numbers."""
        return sorted(self._refresh().tracks, key=lambda track: track.id)

    def info(self) -> LibraryInfo:
        """Return the library's figures."""
        view = self._refresh()
        meta = self._catalogue.meta()
        return LibraryInfo(
            path=str(self.path),
            tracks=len(view.tracks),
            duration_s=sum(track.duration_s for track in view.tracks),
            fingerprints=int(view.table.n_rows.sum()),
            removed=self._catalogue.removed_count(),
            segments=len(view.segments),
            size_bytes=_folder_size(self.path),
            model_id=meta.get("model_id"),
            dim=int(meta["dim"]) if "dim" in meta else None,
            reference_hop_s=float(meta["reference_hop_s"]) if "reference_hop_s" in meta else None,
            format_version=FORMAT_VERSION,
        )

    def verify(self) -> None:
        """Read everything and compare it with its checksums.

        Raises
        ------
        LibraryError
            Naming the first file that is missing or damaged.
        """
        self._catalogue.check()
        for segment in self._refresh().segments.values():
            verify_segment(self._segments_folder, segment)

    # Changing

    def add(self, *paths: str | os.PathLike[str], on_event: OnEvent | None = None) -> AddReport:
        """Add audio files, and all audio files in folders, leaving out those already there.

        A file whose content the library holds is skipped, whatever its name. A file that has other
        content than when it was added replaces its old track. What is finished is kept if the call
        is interrupted.

        Parameters
        ----------
        *paths : path
        on_event : callable, optional
            Told of every step with an `AddEvent`, in the calling thread.

        Returns
        -------
        AddReport

        Raises
        ------
        LibraryLockedError
            If another process is adding or removing.
        ModelError
            If the library was made by another model.
        LibraryError
            If the library cannot be written.
        """
        encoder = self._load_encoder()
        with self._writing():
            self._bind_model(encoder)
            return ingest(
                paths,
                encoder=encoder,
                known=self._catalogue.live_hashes(),
                commit=self._commit,
                on_event=on_event,
            )

    def add_audio(
        self,
        samples: NDArray[np.generic],
        sample_rate: int = SAMPLE_RATE,
        *,
        title: str,
        artist: str | None = None,
    ) -> Track:
        """Add a recording from memory; if the library holds these very samples, return their track.

        Parameters
        ----------
        samples : ndarray, shape (n,) or (n, channels)
        sample_rate : int
            In Hz.
        title : str
        artist : str, optional

        Raises
        ------
        AudioError
            If there are no samples, or only silence.
        LibraryLockedError, ModelError, LibraryError
            As for `add`.
        """
        encoder = self._load_encoder()
        audio = resample(samples, sample_rate)
        digest = hashlib.blake2b(np.ascontiguousarray(audio).tobytes(), digest_size=16).hexdigest()
        with self._writing():
            self._bind_model(encoder)
            known = self._catalogue.find("content_hash", digest)
            if known:
                return known[0]
            fingerprints = encoder.encode([audio])
            try:
                vectors = pack(fingerprints)
            except AudioError as error:
                raise AudioError(f"{title}: {error}") from None
            new = NewTrack(None, title, artist, None, fingerprints.duration_s, digest, len(vectors))
            added, _ = self._commit([(new, vectors)])
            return added[0]

    def remove(self, *selectors: int | str | os.PathLike[str]) -> list[Track]:
        """Remove tracks by number, path or exact title; all of them, or none if one is unknown.

        Parameters
        ----------
        *selectors : int, str or path
            Text is taken as a number if a track has it, else as a path, else as a title. The file
            itself is neither needed nor touched.

        Returns
        -------
        list of Track
            Those removed; several may share a title.

        Raises
        ------
        LibraryError
            If a selector fits no track.
        LibraryLockedError
            If another process is adding or removing.
        """
        with self._writing():
            found: dict[int, Track] = {}
            for selector in selectors:
                found |= {track.id: track for track in self._select(selector)}
            self._catalogue.remove(list(found.values()))
            self._forget_view()
            return list(found.values())

    # Within

    @property
    def _segments_folder(self) -> Path:
        return self.path / "segments"

    def _load_encoder(self) -> Encoder:
        with self._lock:
            encoder = self._encoder
            if encoder is None:
                # Here, because listing and removing need no model, and its runtime is large.
                from earprint.encoder import load_encoder

                encoder = load_encoder(self._model)
            # Each time, as another process may have begun the library with another model since.
            self._check_model(encoder)
            self._encoder = encoder
            return encoder

    def _check_model(self, encoder: Encoder) -> None:
        made_by = self._catalogue.meta().get("model_id")
        if made_by is not None and made_by != encoder.model_id:
            raise ModelError(
                f"{self.path}: was made by model {made_by}, not {encoder.model_id}; open it with "
                "that model, or add the recordings to a new library folder"
            )

    def _bind_model(self, encoder: Encoder) -> None:
        """Note which model makes this library; the caller holds the writer lock."""
        self._catalogue.set_meta(
            {
                "model_id": encoder.model_id,
                "dim": str(encoder.dim),
                "reference_hop_s": repr(encoder.reference_hop_s),
                "format_version": str(FORMAT_VERSION),
            }
        )
        self._check_model(encoder)

    def _commit(self, batch: Sequence[Finished]) -> tuple[list[Track], list[Track]]:
        """Store a batch as one segment; the caller holds the writer lock."""
        assert self._encoder is not None
        segment = write_segment(
            self._segments_folder,
            self._catalogue.next_segment_id(),
            [vectors for _, vectors in batch],
        )
        entered = self._catalogue.enter(segment, [new for new, _ in batch], self._encoder.model_id)
        self._forget_view()
        return entered

    def _select(self, selector: int | str | os.PathLike[str]) -> list[Track]:
        tracks: list[Track] = []
        text = storable(str(selector))
        is_number = isinstance(selector, int) or (isinstance(selector, str) and text.isdecimal())
        if is_number and len(text) <= MAX_DIGITS:
            tracks = self._catalogue.find("id", int(text))
        if not tracks and not isinstance(selector, int):
            tracks = self._catalogue.find("path", path_text(selector))
        if not tracks and isinstance(selector, str):
            # As it is stored: text from memory may be a path that is not absolute, or a title.
            tracks = self._catalogue.find("path", text) or self._catalogue.find("title", text)
        if not tracks:
            raise LibraryError(
                f"{self.path}: has no track with the number, path or title '{text}'; list the "
                "tracks to see their names"
            )
        return tracks

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Hold the writer lock, with leftovers of killed writers cleared away."""
        with writing(self.path, self._on_wait):
            delete_strays(self._segments_folder, self._catalogue.segment_files())
            yield

    def _forget_view(self) -> None:
        """Have the next question see a change of our own, which SQLite does not report to us."""
        with self._lock:
            self._view = None

    def _refresh(self) -> View:
        """Return a view of the last committed state."""
        with self._lock:
            version = self._catalogue.data_version()  # first: a later commit is then seen next time
            if self._view is None or version != self._view_version:
                self._view = build_view(*self._catalogue.live(), self._segments_folder, self._mapped)
                self._view_version = version
            return self._view


def _blocks(source: Source, sample_rate: int, warnings: list[str]) -> AudioBlocks:
    if isinstance(source, np.ndarray):
        return [resample(source, sample_rate)]
    return stream_audio(source, on_warning=warnings.append)


def _check_folder(path: Path, *, create: bool) -> None:
    """See that a library is or can be made at a path; make the folder."""
    try:
        if path.exists() and not path.is_dir():
            raise LibraryError(f"{path}: is a file; a library is a folder, so name another path")
        there = (path / FILE_NAME).exists()  # raises where the folder cannot be searched
        if not create:
            return
        path.mkdir(parents=True, exist_ok=True)
        foreign = [entry.name for entry in path.iterdir() if not entry.name.startswith(OWN_FILES)]
    except OSError as error:
        raise LibraryError(
            f"{path}: cannot be made or read ({error.strerror}); check its permissions or name another folder"
        ) from error
    if foreign and not there:
        raise LibraryError(f"{path}: holds other files and no earprint library; name a new or empty folder")


def _folder_size(path: Path) -> int:
    """Bytes of all files under a folder."""
    total = 0
    for file in path.rglob("*"):
        with suppress(OSError):  # a journal may vanish meanwhile
            total += file.stat().st_size if file.is_file() else 0
    return total
