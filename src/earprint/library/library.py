"""`Library`: add recordings, identify queries, maintain the files. Each method delegates to a module.

docs/library.md describes the folder, and what each method guarantees when it is interrupted.
"""

import os
from collections.abc import Callable
from typing import Self

import numpy as np
from numpy.typing import NDArray

from earprint.encoders.base import Encoder
from earprint.index import Index, IndexChoice
from earprint.index.factory import check_choice
from earprint.library import add, identify, info, rebuild, repair, transfer
from earprint.library.compatibility import LibraryModel, check_choices
from earprint.library.encoding_pool import FileEncoder
from earprint.library.progress import OnEvent
from earprint.library.reports import ExportReport, ImportReport, RebuildReport, RepairReport
from earprint.library.results import AddReport, Identification, LibraryInfo
from earprint.library.view import ViewCache
from earprint.matching import Method
from earprint.matching.segments import Repitch
from earprint.quantization.storage import StorageName
from earprint.store import compaction, rebuild_tables, verify
from earprint.store.paths import named_path
from earprint.store.portable import PortableFile
from earprint.store.results import CompactReport, Track, VerifyReport
from earprint.store.store import Settings, Store


class Library:
    """A folder of fingerprinted recordings.

    Several threads may share a library, and several processes may open the same folder. Methods that change
    it queue within a process; they wait a few seconds for another process and then raise
    `LibraryLockedError`. Queries never wait for a change. Use the library as a context manager, or call
    `close`.

    Parameters
    ----------
    path : path
        The library's folder.
    create : bool
        Make the library if the folder is missing or empty.
    model : str
        Name of the model, or path of an ONNX file; loaded when first needed.
    encoder : Encoder, optional
        An object of the protocol `earprint.encoders.base.Encoder`, used in place of ``model``.
    storage : {"half", "compact"}, optional
        How a new library stores its fingerprints; by default compact if the model has a codebook.
    index : str or callable, optional
        How the library is searched; "auto" decides by size and storage. It is passed to
        `earprint.index.make_index`, which see.
    on_wait : callable, optional
        Called with one line of text when a change must wait for another process.
    settings : Settings, optional
        Limits and intervals; the defaults suit libraries of any size.

    Raises
    ------
    LibraryError
        If there is no library, its catalogue is damaged or cannot be read, or no such index is installed.
    ValueError, TypeError
        If an argument has a value or type that is not listed above.
    ModelError
        If ``encoder`` has unusable attributes, or another model made the library. For ``model``, methods
        that need the model raise it, and a `LibraryError` for another ``storage``.

    Examples
    --------
    >>> import earprint
    >>> with earprint.Library("my-library") as library:
    ...     report = library.add("music/")
    ...     answer = library.identify("noisy-clip.wav")
    >>> len(report.added), answer.match.track.title, round(answer.match.start_s, 1)
    (2, 'song 1', 4.0)
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        create: bool = True,
        model: str | os.PathLike[str] = "dense",
        encoder: Encoder | None = None,
        storage: StorageName | None = None,
        index: IndexChoice = "auto",
        on_wait: Callable[[str], None] | None = None,
        settings: Settings | None = None,
    ) -> None:
        folder = named_path(path, "folder")
        check_choices(model, encoder, storage)  # before a folder is made
        check_choice(index)
        self._index = index
        self._store = Store(folder, create=create, on_wait=on_wait, settings=settings)
        self.path = self._store.path
        try:
            self._model = LibraryModel(self._store, model, encoder, storage)
            self._views = ViewCache(self._store)
            self._store.on_release = self._views.release
            self._views.current()
        except BaseException:
            self._store.close()
            raise

    def close(self) -> None:
        """Close the library's files.

        Examples
        --------
        >>> import earprint
        >>> library = earprint.Library("my-library")
        >>> library.close()
        """
        self._store.close()
        self._views.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Recordings

    def add(
        self,
        *paths: str | os.PathLike[str],
        on_event: OnEvent | None = None,
        pool: FileEncoder | None = None,
    ) -> AddReport:
        """Add audio files, and all audio files in folders.

        Files whose content the library holds are skipped, whatever their names. A file with other content
        than when it was added replaces its old track. An interrupted call keeps the files that it had
        finished. Small segments are merged at the end if there are many.

        Parameters
        ----------
        *paths : path
        on_event : callable, optional
            Called with an `AddEvent` for every step, in the calling thread.
        pool : FileEncoder, optional
            Decodes and encodes the files in place of this process's threads once the call has taken some
            time. `earprint.library.EncodingPool`, which uses processes, is faster than threads.

        Returns
        -------
        AddReport

        Raises
        ------
        ModelError
            If another model made the library.
        LibraryError
            If the library cannot be written; a `LibraryLockedError` if another process is changing it.

        Examples
        --------
        >>> import earprint
        >>> library = earprint.Library("my-library")
        >>> report = library.add("music/", "noisy-clip.wav")
        >>> len(report.added), report.failed
        (3, [])
        """
        return add.add_files(self._store, self._model, paths, on_event, pool)

    def add_audio(
        self,
        samples: NDArray[np.generic],
        sample_rate: int | None = None,
        *,
        title: str,
        artist: str | None = None,
    ) -> Track:
        """Add a recording from memory. If the library holds the same samples, return their track.

        Parameters
        ----------
        samples : ndarray, shape (n,), (n, channels) or (channels, n)
        sample_rate : int
            In Hz; required.
        title : str
        artist : str, optional

        Raises
        ------
        ValueError
            If there is no ``sample_rate``, the samples are unsuitable, or the title is empty.
        TypeError
            If ``samples`` is no array, or ``title`` or ``artist`` is no text.
        AudioError
            If there are no samples, or only silence.
        LibraryLockedError, ModelError, LibraryError
            See `add`.

        Examples
        --------
        >>> import earprint
        >>> import numpy as np
        >>> library = earprint.Library("my-library")
        >>> noise = np.random.default_rng(0).standard_normal((2, 3 * 44_100))
        >>> library.add_audio(noise, 44_100, title="white noise").duration_s
        3.0
        """
        return add.add_samples(self._store, self._model, samples, sample_rate, title, artist)

    def remove(self, *selectors: int | str | os.PathLike[str]) -> list[Track]:
        """Remove tracks: all that are named, or none if a selector names no track.

        Parameters
        ----------
        *selectors : int, str or path
            Text is a track's number if a track has it, else a path, else a title. Audio files are not touched
            and need not exist.

        Returns
        -------
        list of Track
            The removed tracks; several may have the same title.

        Raises
        ------
        LibraryError
            If a selector names no track, or as for `add`.
        TypeError
            If a selector is of another type.

        Examples
        --------
        >>> import earprint
        >>> library = earprint.Library("my-library")
        >>> report = library.add("music/")
        >>> [track.title for track in library.remove("song 0")]
        ['song 0']
        """
        return add.remove_tracks(self._store, selectors)

    def tracks(self) -> list[Track]:
        """Return all tracks, including damaged ones, in the order of their numbers.

        Examples
        --------
        >>> import earprint
        >>> library = earprint.Library("my-library")
        >>> report = library.add("music/")
        >>> [track.title for track in library.tracks()]
        ['song 0', 'song 1']
        """
        view = self._views.current()
        return sorted([*view.tracks, *view.damaged], key=lambda track: track.id)

    def info(self) -> LibraryInfo:
        """Return the size, model and state of the library.

        Examples
        --------
        >>> import earprint
        >>> library = earprint.Library("my-library")
        >>> report = library.add("music/")
        >>> info = library.info()
        >>> info.tracks, info.duration_s
        (2, 24.0)
        """
        return info.describe(self._store, self._views.current())

    # Queries

    def identify(
        self,
        source: identify.Source,
        *,
        sample_rate: int | None = None,
        top: int = 5,
        threshold: float | None = None,
        method: Method = "aligned",
        false_accepts: float = identify.FALSE_ACCEPTS,
        repitch: Repitch | None = None,
        wrap_index: Callable[[Index], Index] | None = None,
    ) -> Identification:
        """Find the recording that a query comes from, and the position in it.

        Parameters
        ----------
        source : path, binary file, ndarray of shape (n,), (n, channels) or (channels, n), or Fingerprints
            `Fingerprints` must be those of a query, by the library's model; they are not encoded again.
        sample_rate : int, optional
            Sample rate in Hz; required for an array, not used otherwise.
        top : int
            Largest number of candidates to return.
        threshold : float, optional
            Lowest score of a match; by default the model's for the query's length, for "paper" one half.
        method : {"aligned", "paper"}
            See `earprint.matching`.
        false_accepts : float
            Highest expected number of chance segments in an answer. It holds for queries that are longer than
            12 s or have no match at their own speed: these are searched for segments at any tempo and pitch.
            There is no such search if ``threshold`` is given.
        repitch : callable, optional
            Only for `Fingerprints`: returns the query's fingerprints as if all its frequencies were divided
            by a factor. Without it no other pitch is tried.
        wrap_index : callable, optional
            Takes the library's index and returns one over the same rows, which is searched instead. It lets
            the searches of many queries be done together.

        Returns
        -------
        Identification
            With a warning if damaged recordings were not searched.

        Raises
        ------
        ValueError
            If an array has no ``sample_rate``, fingerprints do not fit the model, or a setting is invalid.
        AudioError
            If the source gives no audio.
        ModelError
            If another model made the library.
        LibraryError
            If the catalogue is damaged.

        Examples
        --------
        >>> import earprint
        >>> library = earprint.Library("my-library")
        >>> report = library.add("music/")
        >>> match = library.identify("noisy-clip.wav").match
        >>> match.track.title, round(match.start_s, 1)
        ('song 1', 4.0)
        """
        return identify.identify(
            source,
            model=self._model,
            views=self._views,
            index=self._index,
            sample_rate=sample_rate,
            top=top,
            threshold=threshold,
            method=method,
            false_accepts=false_accepts,
            repitch=repitch,
            wrap_index=wrap_index,
        )

    # Maintenance

    def compact(self) -> CompactReport:
        """Merge small segments, and delete the fingerprints of removed tracks from the disk.

        Raises
        ------
        LibraryError
            If there is no room for a merged segment (nothing is lost), or as for `add`.

        Examples
        --------
        >>> import earprint
        >>> library = earprint.Library("my-library")
        >>> report = library.add("music/")
        >>> library.compact().segments_after
        1
        """
        with self._store.writing():
            return compaction.compact(self._store)

    def verify(self) -> VerifyReport:
        """Read all fingerprints and compare them with their checksums.

        Damaged tracks are marked in the library, if it can be written, and are not searched from then on.

        Raises
        ------
        LibraryError
            If the catalogue itself is damaged.

        Examples
        --------
        >>> import earprint
        >>> library = earprint.Library("my-library")
        >>> report = library.add("music/")
        >>> library.verify().sound
        True
        """
        return verify.verify_and_mark(self._store)

    def repair(
        self,
        *,
        drop_lost: bool = False,
        on_event: OnEvent | None = None,
        pool: FileEncoder | None = None,
    ) -> RepairReport:
        """Fingerprint damaged tracks again from their files.

        Parameters
        ----------
        drop_lost : bool
            Remove the tracks that cannot be fingerprinted again. Otherwise they stay, damaged and unsearched.
        on_event, pool : optional
            See `add`.

        Raises
        ------
        ModelError, LibraryError
            As for `add`; a `ModelError` only if a track is to be fingerprinted again.

        Examples
        --------
        >>> import earprint
        >>> library = earprint.Library("my-library")
        >>> report = library.add("music/")
        >>> library.repair().recomputed
        []
        """
        return repair.repair(self._store, self._model, drop_lost=drop_lost, on_event=on_event, pool=pool)

    def rebuild(
        self,
        *,
        encoder: Encoder | None = None,
        drop_missing: bool = False,
        on_event: OnEvent | None = None,
        pool: FileEncoder | None = None,
    ) -> RebuildReport:
        """Make all fingerprints again from the files, with the model that the library was opened with.

        Numbers, titles and dates of the tracks stay. The new fingerprints are stored as in a new library. The
        library answers with the old ones until all new ones are ready, and then switches at once. An
        interrupted rebuild is continued by the next call.

        Parameters
        ----------
        encoder : Encoder, optional
            Used in place of the model that the library was opened with, from now on.
        drop_missing : bool
            Remove tracks whose files are gone, changed or unreadable. Otherwise the library does not switch
            if there are such tracks.
        on_event, pool : optional
            See `add`.

        Raises
        ------
        LibraryError
            If ``drop_missing`` would remove all tracks, or as for `add`.

        Examples
        --------
        >>> import earprint
        >>> library = earprint.Library("my-library")
        >>> report = library.add("music/")
        >>> library.rebuild().rebuilt
        2
        """
        return rebuild.rebuild(
            self._store,
            self._model,
            encoder=encoder,
            drop_missing=drop_missing,
            on_event=on_event,
            pool=pool,
        )

    def discard_rebuild(self) -> bool:
        """Delete what an unfinished rebuild has made; return whether there was one.

        Examples
        --------
        >>> import earprint
        >>> earprint.Library("my-library").discard_rebuild()
        False
        """
        with self._store.writing():
            return rebuild_tables.discard(self._store)

    # Transfer

    def export(self, file: str | os.PathLike[str], *, with_paths: bool = False) -> ExportReport:
        """Write all fingerprints and names, without audio, into one file, see `earprint.store.portable`.

        Parameters
        ----------
        file : path
            Must not exist.
        with_paths : bool
            Write the paths of the recordings' files too.

        Raises
        ------
        LibraryError
            If the library is empty or damaged, or the file cannot be written.

        Examples
        --------
        >>> import earprint
        >>> library = earprint.Library("my-library")
        >>> report = library.add("music/")
        >>> library.export("music.npz").tracks
        2
        """
        return transfer.export(self._store, named_path(file, "file"), with_paths=with_paths)

    def import_file(self, file: str | os.PathLike[str]) -> ImportReport:
        """Add the recordings of an exported file that the library lacks: all of them, or none on an error.

        An empty library takes the file's storage, unless it was opened with another ``storage``.
        Half-precision fingerprints may enter a compact library, but not the reverse.

        Raises
        ------
        ModelError
            If another model or codebook made them, or they are compact and this library is not.
        LibraryError
            If the file is damaged, or as for `add`.

        Examples
        --------
        >>> import earprint
        >>> library = earprint.Library("my-library")
        >>> report = library.add("music/")
        >>> file = library.export("music.npz").path
        >>> len(earprint.Library("copy").import_file(file).added)
        2
        """
        return transfer.import_source(self._store, self._model, PortableFile(named_path(file, "file")))

    def merge(self, other: str | os.PathLike[str]) -> ImportReport:
        """Add the recordings of another library that this one lacks: all of them, or none on an error.

        The rules of storage are those of `import_file`: a half-precision library merged into a new one with
        ``storage="compact"`` becomes compact without its audio.

        Raises
        ------
        ModelError
            If another model or codebook made them, or they are compact and this library is not.
        LibraryError
            If the other library is this one, or is empty or damaged, or as for `add`.

        Examples
        --------
        >>> import earprint
        >>> library = earprint.Library("my-library")
        >>> report = library.add("music/")
        >>> library.close()
        >>> len(earprint.Library("all-music").merge("my-library").added)
        2
        """
        return transfer.merge(self._store, self._model, named_path(other, "folder"))
