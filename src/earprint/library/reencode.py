"""Making the fingerprints of known tracks again from their files.

The files must still have the content they were added with: a path that leads to other audio now must not
lend it to the old title.
"""

from collections.abc import Callable, Sequence

from earprint.encoders.base import Encoder
from earprint.library.encoding_pool import EncodesFiles
from earprint.library.ingest import Finished, ingest
from earprint.library.progress import OnEvent
from earprint.library.reports import Trouble
from earprint.library.results import Track
from earprint.quantization.storage import Storage, Stored
from earprint.store.catalogue import NewTrack
from earprint.store.paths import stored_path

Recomputed = tuple[Track, NewTrack, Stored]
"""A track, what was found in its file now, and its stored rows, shape (n_rows, width)."""

NO_FILE = "was added from memory or from another library and has no file"


def recompute(
    tracks: Sequence[Track],
    *,
    encoder: Encoder,
    storage: Storage,
    store: Callable[[Sequence[Recomputed]], None],
    on_event: OnEvent | None = None,
    elsewhere: EncodesFiles | None = None,
) -> tuple[list[Trouble], list[str]]:
    """Fingerprint the files of some live tracks.

    Parameters
    ----------
    tracks : sequence of Track
    encoder : Encoder
    storage : Storage
    store : callable
        Called in this thread with each batch of finished tracks; see `earprint.library.ingest`.
    on_event : callable, optional
        Told of every step, in this thread.
    elsewhere : EncodesFiles, optional
        Decodes and encodes the files in place of this process.

    Returns
    -------
    troubles : list of Trouble
        Tracks without a readable file of the same content.
    warnings : list of str
        Troubles of files that were read all the same.
    """
    by_hash = {track.content_hash: track for track in tracks}  # no two live tracks have the same
    files = {stored_path(track.path): track for track in tracks if track.path is not None}
    stored: set[int] = set()

    def commit(batch: Sequence[Finished]) -> tuple[list[Track], list[Track]]:
        made = [(by_hash[new.content_hash], new, vectors) for new, vectors in batch]
        store(made)
        stored.update(track.id for track, _, _ in made)
        return [track for track, _, _ in made], []

    report = ingest(
        list(files),
        encoder=encoder,
        storage=storage,
        known=lambda digest: False,
        commit=commit,
        on_event=on_event,
        elsewhere=elsewhere,
        expected={path: track.content_hash for path, track in files.items()},
    )
    causes = {str(failure.path): failure.cause for failure in report.failed}
    troubles = [
        Trouble(track, causes.get(str(stored_path(track.path)), "gave nothing") if track.path else NO_FILE)
        for track in tracks
        if track.id not in stored
    ]
    return troubles, report.warnings
