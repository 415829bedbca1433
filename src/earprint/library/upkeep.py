"""Looking after an open library: compact, verify, repair, rebuild; export, import, merge.

Each verb that changes something holds the writer lock from beginning to end.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from earprint.encoders.base import Encoder
from earprint.errors import LibraryError
from earprint.library import rebuild as rebuilding
from earprint.library import repair as repairing
from earprint.library import transfer
from earprint.library.encoding_pool import EncodesFiles
from earprint.library.progress import OnEvent
from earprint.library.reading import OpenLibrary
from earprint.library.reports import (
    CompactReport,
    ExportReport,
    ImportReport,
    RebuildReport,
    RepairReport,
    VerifyReport,
)
from earprint.quantization.storage import Storage
from earprint.store import compaction
from earprint.store import verify as verifying
from earprint.store.portable import PortableFile
from earprint.store.relocation import mark_damage
from earprint.store.segments import delete_strays
from earprint.store.writer_lock import writing


class KeptLibrary(OpenLibrary):
    """What `earprint.Library` is to whoever looks after it; see `OpenLibrary` for its parameters."""

    # Looking after

    def compact(self) -> CompactReport:
        """Merge small segments, and delete the vectors of removed tracks from the disk.

        Raises
        ------
        LibraryLockedError
            If another process is changing the library.
        LibraryError
            If there is no room for the merged segments; nothing is lost.
        """
        with self._writing():
            return compaction.compact(
                self._catalogue, self._segments_folder, on_change=self._forget_view, thorough=True
            )

    def verify(self) -> VerifyReport:
        """Read everything and compare it with its checksums.

        Damage is noted in the library, where that can be written, so that damaged tracks are not searched.

        Raises
        ------
        LibraryError
            If the catalogue itself is damaged.
        """
        report = verifying.verify(self._catalogue, self._segments_folder)
        known = {s.track.id: s.damage for s in self._catalogue.snapshot().tracks if s.damage is not None}
        found = {trouble.track.id: trouble.cause for trouble in report.damaged}
        if known != found:
            with (
                suppress(LibraryError),
                self._writing(),
            ):  # if it cannot be written now, the next one notes it
                # Under the lock, as what was damaged may have been mended or moved meanwhile.
                report = verifying.verify(self._catalogue, self._segments_folder)
                found = {trouble.track.id: trouble.cause for trouble in report.damaged}
                checked = [stored.track.id for stored in self._catalogue.snapshot().tracks]
                mark_damage(self._catalogue, found, checked)
                self._forget_view()
        return report

    def repair(
        self,
        *,
        drop_lost: bool = False,
        on_event: OnEvent | None = None,
        elsewhere: EncodesFiles | None = None,
    ) -> RepairReport:
        """Make damaged tracks again from their files; move sound ones out of damaged segments.

        Parameters
        ----------
        drop_lost : bool
            Remove the tracks that cannot be made again; otherwise they stay, damaged and unsearched.
        on_event : callable, optional
            Told of every step with an `AddEvent`, in the calling thread.
        elsewhere : EncodesFiles, optional
            As for `Library.add`.

        Raises
        ------
        LibraryLockedError
            If another process is changing the library.
        ModelError
            If something is to be made again and the library was made by another model.
        LibraryError
            If the catalogue itself is damaged, or the library cannot be written.
        """

        def load_encoder() -> tuple[Encoder, Storage]:
            encoder = self._load_encoder()
            return encoder, self._check_model(encoder, self._catalogue.meta())

        with self._writing():
            return repairing.repair(
                self._catalogue,
                self._segments_folder,
                load_encoder=load_encoder,
                drop_lost=drop_lost,
                on_change=self._forget_view,
                on_event=on_event,
                elsewhere=elsewhere,
            )

    def rebuild(
        self,
        *,
        encoder: Encoder | None = None,
        drop_missing: bool = False,
        on_event: OnEvent | None = None,
        elsewhere: EncodesFiles | None = None,
    ) -> RebuildReport:
        """Make all fingerprints again from the files, with the model that the library was opened with.

        Numbers, titles and dates of the tracks stay. The new fingerprints are stored as those of a new
        library would be: compact if the model has a codebook, unless the library was opened with another
        `storage`. Until all is done, the library answers with the old fingerprints; then all are switched
        at once. What an interrupted call made is kept for the next one.

        Parameters
        ----------
        encoder : Encoder, optional
            Used in place of the model that the library was opened with, from now on.
        drop_missing : bool
            Remove tracks whose files are gone, changed or unreadable; otherwise, if there are any, the
            library stays as it is.
        on_event : callable, optional
            Told of every step with an `AddEvent`, in the calling thread.
        elsewhere : EncodesFiles, optional
            As for `Library.add`.

        Raises
        ------
        LibraryLockedError
            If another process is changing the library.
        LibraryError
            If the library cannot be written, or with `drop_missing` nothing would be left.
        """
        encoder = encoder or self._load_any_encoder()
        with self._writing():
            report = rebuilding.rebuild(
                self._catalogue,
                self._segments_folder,
                encoder=encoder,
                storage=self._new_storage(encoder),
                drop_missing=drop_missing,
                on_change=self._forget_view,
                on_event=on_event,
                elsewhere=elsewhere,
            )
            if report.switched:
                self._encoder = encoder
            return report

    def give_up_rebuild(self) -> bool:
        """Delete what an unfinished rebuild has made; tells whether there was one."""
        with self._writing():
            return rebuilding.give_up(self._catalogue, self._segments_folder)

    # In and out

    def export(self, file: str | os.PathLike[str], *, with_paths: bool = False) -> ExportReport:
        """Write all fingerprints and names, without audio, into one portable file.

        Parameters
        ----------
        file : path
            Must not exist; its layout is told in `earprint.store.portable`.
        with_paths : bool
            Tell where the recordings' files lie.

        Raises
        ------
        LibraryError
            If the library is empty or damaged, or the file cannot be written.
        """
        return transfer.export(self.path, self._catalogue.snapshot(), Path(file), with_paths=with_paths)

    def import_file(self, file: str | os.PathLike[str]) -> ImportReport:
        """Add the recordings of an exported file, leaving out those already there; all or none.

        An empty library takes over how they are stored, unless it was opened with another `storage`. What is
        stored in half precision can come into a compact library, not the other way round.

        Raises
        ------
        ModelError
            If another model or codebook made them, or they are compact and this library is not.
        LibraryLockedError
            If another process is changing the library.
        LibraryError
            If the file is damaged, or the library cannot be written.
        """
        source = PortableFile(Path(file))
        with self._writing():
            return self._take_in(source)

    def merge(self, other: str | os.PathLike[str]) -> ImportReport:
        """Add the recordings of another library, leaving out those already there; all or none.

        Either library is stored as told at `import_file`: merging a library of half precision into a new one
        opened with ``storage="compact"`` makes it compact without its audio.

        Raises
        ------
        ModelError
            If another model or codebook made them, or they are compact and this library is not.
        LibraryLockedError
            If another process is changing this library.
        LibraryError
            If the other library is this one, or empty or damaged, or this one cannot be written.
        """
        if Path(other).exists() and Path(other).samefile(self.path):
            raise LibraryError(f"{other}: is this very library; name another one")
        with OpenLibrary(other, create=False) as opened:
            source = transfer.LibrarySource(Path(other), opened.snapshot())
            with self._writing():
                return self._take_in(source)

    # Within

    def _take_in(self, source: transfer.Source) -> ImportReport:
        """Add what a source has; the caller holds the writer lock."""
        return transfer.take_in(
            self._catalogue,
            self.path,
            source,
            wanted_storage=self._wanted_storage,
            load_encoder=self._load_any_encoder,
            on_change=self._forget_view,
        )

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Hold the writer lock, with leftovers of killed writers cleared away."""
        with writing(self.path, self._on_wait):
            delete_strays(self._segments_folder, self._catalogue.segment_files())
            self._catalogue.upgrade()
            yield

    def _tidy(self) -> list[str]:
        """Compact where that is cheap; what keeps it from that is a warning, as the caller's work is done."""
        try:
            if compaction.pays(self._catalogue):
                compaction.compact(
                    self._catalogue, self._segments_folder, on_change=self._forget_view, thorough=False
                )
        except LibraryError as error:
            return [f"compacting was put off: {error}"]
        return []
