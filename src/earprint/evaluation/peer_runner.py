"""Run the same evaluation with other systems ("peers").

Each query is written once as a 16-bit WAV file, attenuated where it would clip, and every peer gets these
files. A peer that names a recording at all has accepted it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from earprint.evaluation.distractors import SpeedCopy, write_copies
from earprint.evaluation.outcomes import Outcome
from earprint.evaluation.peers import Peer
from earprint.evaluation.query import Query

COPIES_AT_A_TIME: Final = 400
"""Speed-changed copies in one call of `Peer.add`, which may read and write the whole index each time."""


def add_to_peer(peer: Peer, files: Sequence[Path], copies: Sequence[SpeedCopy]) -> None:
    """Add recordings to a peer, and speed-changed copies as temporary WAV files."""
    peer.add(list(files))
    for paths in write_copies(copies, at_a_time=COPIES_AT_A_TIME):
        if paths:
            peer.add(paths)


def identify_with_peer(
    peer: Peer, queries: Sequence[tuple[Query, Path]], references: Mapping[Path, Path]
) -> list[Outcome]:
    """Answer queries with a peer.

    Parameters
    ----------
    peer : Peer
        A peer that holds the references.
    queries : sequence of (Query, Path)
        Queries and the files with their audio.
    references : mapping of Path to Path
        The reference that is the right answer, by recording.

    Returns
    -------
    list of Outcome
        In the queries' order; the time of an answer is the mean over all of them.
    """
    before = peer.identify_seconds
    answers = peer.identify([path for _, path in queries])
    seconds = (peer.identify_seconds - before) / max(1, len(queries))
    outcomes = []
    for (query, _), answer in zip(queries, answers, strict=True):
        is_right = answer.path is not None and answer.path == references.get(query.path)
        error_s = answer.start_s - query.start_s if is_right and answer.start_s is not None else None
        outcomes.append(
            Outcome(
                query,
                right_track=is_right,
                score=answer.score,
                lead=0.0,
                accepted=answer.path is not None,
                error_s=error_s,
                seconds=seconds,
                system=peer.name,
            )
        )
    return outcomes


def describe_peers(peers: Sequence[Peer], audio_s: float) -> list[dict[str, object]]:
    """Return each peer's version, options and cost, JSON-ready.

    Parameters
    ----------
    peers : sequence of Peer
    audio_s : float
        Length of the references, in seconds.
    """
    return [
        {
            "name": peer.name,
            "version": peer.version,
            "options": peer.options,
            "add_cpu_seconds": round(peer.add_cpu_seconds, 2),
            "add_x_real_time_per_core": round(audio_s / max(peer.add_cpu_seconds, 1e-9), 1),
            "identify_cpu_seconds": round(peer.identify_cpu_seconds, 2),
            "index_bytes": peer.index_bytes,
            "index_mb_per_hour": round(peer.index_bytes / 1e6 / max(audio_s / 3600, 1e-9), 3),
        }
        for peer in peers
    ]
