"""A library: a folder that remembers recordings; the verbs are add, identify, list, remove, and upkeep.

The folder holds the catalogue (`catalogue.sqlite`), the fingerprints (`segments/`), and the lock
that admits one writer at a time (`writer.lock`, and beside it `writer.pid`, which says who). What each verb
guarantees is told in docs/library.md. Asking is in `earprint.library.reading`, upkeep
in `earprint.library.upkeep`.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from earprint.audio import array_to_mono
from earprint.constants import SAMPLE_RATE
from earprint.encoders.base import Encoder
from earprint.errors import AudioError, LibraryError
from earprint.library.encoding_pool import EncodesFiles
from earprint.library.ingest import Finished, ingest, pack
from earprint.library.progress import OnEvent
from earprint.library.rebuild import facts_of
from earprint.library.results import AddReport, Track
from earprint.library.upkeep import KeptLibrary
from earprint.parallel.blas_threads import one_thread_for_products
from earprint.quantization.storage import Storage
from earprint.store.catalogue import NewTrack
from earprint.store.paths import path_text, storable
from earprint.store.segments import checksum_of, write_segment

MAX_DIGITS = 18
"""Digits of the largest track number; more do not fit the catalogue."""


class Library(KeptLibrary):
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
    storage : {"half", "compact"}, optional
        How a new library stores its fingerprints: compact if the model has a codebook, unless told otherwise.
    index : {"auto", "exact", "lsh", "inverted"}
        How it is searched; auto is by its size and storage, see `earprint.index.make_index`.
    on_wait : callable, optional
        Gets one line that says for whom, when a change must wait for another process's.

    Raises
    ------
    LibraryError
        If there is no library, or its catalogue is damaged or cannot be read.
    ModelError
        If the library was made by another model than `encoder`. With `model`, this is found when
        the model is first needed; so is another storage than `storage`, as a `LibraryError`.
    """

    # Changing

    def add(
        self,
        *paths: str | os.PathLike[str],
        on_event: OnEvent | None = None,
        elsewhere: EncodesFiles | None = None,
    ) -> AddReport:
        """Add audio files, and all audio files in folders, leaving out those already there.

        A file whose content the library holds is skipped, whatever its name. A file that has other
        content than when it was added replaces its old track. What is finished is kept if the call
        is interrupted. Many small segments are merged on the way out.

        Parameters
        ----------
        *paths : path
        on_event : callable, optional
            Told of every step with an `AddEvent`, in the calling thread.
        elsewhere : EncodesFiles, optional
            Decodes and encodes the files with this library's model, in place of this process, once the call
            has taken some time. `earprint.library.FilesInProcesses` is faster than this process's threads.

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
            storage = self._bind_model(encoder)
            report = ingest(
                paths,
                encoder=encoder,
                storage=storage,
                known=self._catalogue.holds,
                commit=self._commit,
                on_event=on_event,
                elsewhere=elsewhere,
            )
            warnings = [*report.warnings, *self._tidy()] if report.added else report.warnings
            return replace(report, warnings=warnings)

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
        audio = array_to_mono(samples, sample_rate)
        digest = hashlib.blake2b(np.ascontiguousarray(audio).tobytes(), digest_size=16).hexdigest()
        with self._writing():
            storage = self._bind_model(encoder)
            known = self._catalogue.find("content_hash", digest)
            if known:
                return known[0]
            with one_thread_for_products():
                fingerprints = encoder.encode([audio])
                try:
                    vectors = pack(fingerprints, storage)
                except AudioError as error:
                    raise AudioError(f"{title}: {error}") from None
            new = NewTrack(
                path=None,
                title=title,
                artist=artist,
                album=None,
                duration_s=fingerprints.duration_s,
                content_hash=digest,
                n_rows=len(vectors),
                checksum=checksum_of(vectors),
            )
            added, _ = self._commit([(new, vectors)])
            self._tidy()
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

    def _bind_model(self, encoder: Encoder) -> Storage:
        """Note which model makes this library, and how it is stored; the caller holds the writer lock."""
        storage = self._check_model(encoder, self._catalogue.meta())
        self._catalogue.set_meta(facts_of(encoder, storage))
        return self._check_model(encoder, self._catalogue.meta())

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
