"""Fingerprints of known tracks, made again from their files.

A file must have the content that it had when it was added: a path that leads to other audio now must not
give its fingerprints to the old title.
"""

from collections.abc import Callable, Sequence

from earprint.encoders.base import Encoder
from earprint.library.commit_buffer import Encoded
from earprint.library.encoding_pool import FileEncoder
from earprint.library.ingest import ingest
from earprint.library.progress import OnEvent
from earprint.quantization.storage import Storage
from earprint.store.paths import stored_path
from earprint.store.rebuild_tables import RebuiltTrack
from earprint.store.results import Track, TrackProblem
from earprint.store.store import Settings

NO_FILE = "was added from memory or from another library and has no file"


def reencode(
    tracks: Sequence[Track],
    *,
    encoder: Encoder,
    storage: Storage,
    keep: Callable[[Sequence[RebuiltTrack]], None],
    settings: Settings,
    on_event: OnEvent | None = None,
    pool: FileEncoder | None = None,
) -> tuple[list[TrackProblem], list[str]]:
    """Fingerprint the files of live tracks.

    Parameters
    ----------
    tracks : sequence of Track
    encoder : Encoder
    storage : Storage
    keep : callable
        Called in this thread with each batch of finished tracks.
    settings : Settings
    on_event, pool : optional
        See `earprint.library.ingest.ingest`.

    Returns
    -------
    problems : list of TrackProblem
        Tracks without a readable file of the same content.
    warnings : list of str
        Damage of files that were read nevertheless.
    """
    by_hash = {track.content_hash: track for track in tracks}  # no two live tracks have the same
    files = {stored_path(track.path): track for track in tracks if track.path is not None}
    finished: set[int] = set()

    def commit(batch: Sequence[Encoded]) -> tuple[list[Track], list[Track]]:
        made = [by_hash[new.content_hash] for new, _ in batch]
        keep(
            [
                RebuiltTrack(track.id, new.duration_s, rows)
                for track, (new, rows) in zip(made, batch, strict=True)
            ]
        )
        finished.update(track.id for track in made)
        return made, []

    report = ingest(
        list(files),
        encoder=encoder,
        storage=storage,
        known=lambda digest: False,
        commit=commit,
        settings=settings,
        on_event=on_event,
        pool=pool,
        expected={path: track.content_hash for path, track in files.items()},
    )
    causes = {str(failure.path): failure.cause for failure in report.failed}
    problems = [
        TrackProblem(
            track, causes.get(str(stored_path(track.path)), "gave nothing") if track.path else NO_FILE
        )
        for track in tracks
        if track.id not in finished
    ]
    return problems, report.warnings
