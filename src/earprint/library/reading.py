"""An open library, as far as it is asked and not changed.

Readers need no lock: each question is answered from a `View`, an immutable picture of the last committed
state, which is taken anew when another process has committed something. All times are in seconds.
"""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from earprint.constants import SAMPLE_RATE
from earprint.encoders.base import Encoder
from earprint.errors import LibraryError
from earprint.index import Index, IndexName
from earprint.library import identify as asking
from earprint.library.compatibility import new_storage, storage_of
from earprint.library.identify import Source
from earprint.library.rebuild import unfinished
from earprint.library.results import Identification, LibraryInfo, Track
from earprint.library.view import Opened, View, build_view
from earprint.matching import Method
from earprint.quantization.storage import Storage, StorageName
from earprint.store.catalogue import Catalogue, Snapshot
from earprint.store.folder import check_folder, folder_size


class OpenLibrary:
    """What `earprint.Library` is to a reader; its parameters and errors are told there."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        create: bool = True,
        model: str = "dense",
        encoder: Encoder | None = None,
        storage: StorageName | None = None,
        index: IndexName = "auto",
        on_wait: Callable[[str], None] | None = None,
    ) -> None:
        if not os.fspath(path):
            raise LibraryError("the library has an empty path; name a folder")
        self.path = Path(path)
        self._on_wait = on_wait
        self._model = model
        self._encoder: Encoder | None = None
        self._wanted_storage = storage
        self._index = index
        self._lock = threading.RLock()
        self._view: View | None = None
        self._view_version = -1
        self._opened = Opened()
        check_folder(self.path, create=create)
        self._catalogue = Catalogue(self.path, create=create)
        try:
            if encoder is not None:
                self._check_model(encoder, self._catalogue.meta())
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
            self._opened.forget()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def identify(
        self,
        source: Source,
        *,
        sample_rate: int = SAMPLE_RATE,
        top: int = 5,
        threshold: float | None = None,
        method: Method = "aligned",
        wrap_index: Callable[[Index], Index] | None = None,
    ) -> Identification:
        """Say which recording an excerpt comes from, and where in it.

        Parameters
        ----------
        source : path, binary file, ndarray of shape (n,) or (n, channels), or Fingerprints
            Fingerprints are those that the library's model makes with ``query=True``.
        sample_rate : int
            Of an array, in Hz.
        top : int
            Most answers to give.
        threshold : float, optional
            Least score of a match, finite; the model's own by default, for "paper" the paper's one half.
        method : {"aligned", "paper"}
            See `earprint.matching`.
        wrap_index : callable, optional
            Takes the library's index and returns one over the same rows, which is searched instead.

        Returns
        -------
        Identification
            With a warning if recordings are damaged and were not searched.

        Raises
        ------
        AudioError
            If the source gives no audio.
        ModelError
            If the library was made by another model.
        LibraryError
            If the catalogue is damaged.
        """
        encoder = self._load_encoder()

        def current_view() -> tuple[View, Storage]:
            view = self._refresh()
            # A rebuild may have switched while the query was encoded.
            return view, self._check_model(encoder, view.meta)

        return asking.identify(
            source,
            encoder=encoder,
            current_view=current_view,
            index=self._index,
            sample_rate=sample_rate,
            top=top,
            threshold=threshold,
            method=method,
            wrap_index=wrap_index,
        )

    def tracks(self) -> list[Track]:
        """Return the tracks, damaged ones too, in the order of their numbers."""
        view = self._refresh()
        return sorted([*view.tracks, *view.damaged], key=lambda track: track.id)

    def info(self) -> LibraryInfo:
        """Return the library's figures."""
        view = self._refresh()
        meta = view.meta
        return LibraryInfo(
            path=str(self.path),
            tracks=len(view.tracks) + len(view.damaged),
            duration_s=sum(track.duration_s for track in [*view.tracks, *view.damaged]),
            fingerprints=int(view.table.n_rows.sum()),
            removed=self._catalogue.removed_count(),
            segments=len(view.segments),
            size_bytes=folder_size(self.path),
            model_id=meta.get("model_id"),
            dim=int(meta["dim"]) if "dim" in meta else None,
            reference_hop_s=float(meta["reference_hop_s"]) if "reference_hop_s" in meta else None,
            storage=meta.get("storage", "half").partition("-")[0] if "model_id" in meta else None,
            format_version=self._catalogue.format_version(),
            damaged=len(view.damaged),
            unfinished_rebuild=unfinished(self._catalogue),
        )

    def snapshot(self) -> Snapshot:
        """Return the catalogue's contents at this moment."""
        return self._catalogue.snapshot()

    # Within

    @property
    def _segments_folder(self) -> Path:
        return self.path / "segments"

    def _load_any_encoder(self) -> Encoder:
        """Return the encoder that this library was opened with, whatever made the library."""
        with self._lock:
            if self._encoder is not None:
                return self._encoder
            # Here, because listing and removing need no model, and its runtime is large.
            from earprint.encoders import load_encoder

            return load_encoder(self._model)

    def _load_encoder(self) -> Encoder:
        with self._lock:
            encoder = self._load_any_encoder()
            # Each time, as another process may have begun or rebuilt the library with another model since.
            self._check_model(encoder, self._catalogue.meta())
            self._encoder = encoder
            return encoder

    def _new_storage(self, encoder: Encoder) -> Storage:
        """Return how a new library of this model stores its fingerprints, see `new_storage`."""
        return new_storage(encoder, self._wanted_storage)

    def _check_model(self, encoder: Encoder, meta: dict[str, str]) -> Storage:
        """Return how the library, or else a new one, stores its fingerprints, see `storage_of`."""
        return storage_of(encoder, meta, self.path, self._wanted_storage)

    def _forget_view(self) -> None:
        """Have the next question see a change of our own, which SQLite does not report to us.

        Files are let go of, as Windows deletes none that is mapped.
        """
        with self._lock:
            self._view = None
            self._opened.forget()

    def _refresh(self) -> View:
        """Return a view of the last committed state."""
        with self._lock:
            version = self._catalogue.data_version()  # first: a later commit is then seen next time
            while self._view is None or version != self._view_version:
                snapshot = self._catalogue.snapshot()
                self._view = build_view(
                    snapshot.tracks, snapshot.segments, self._segments_folder, self._opened, snapshot.meta
                )
                self._view_version = version
                if self._view.damaged:
                    # A file may be missing only because another process has merged it since the snapshot.
                    version = self._catalogue.data_version()
            return self._view
