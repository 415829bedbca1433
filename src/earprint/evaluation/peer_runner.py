"""The same questions put to other systems.

Each question is written once as a 16-bit WAV file, turned down where it would clip, and every peer answers
those files. A peer that names a recording at all has accepted it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from earprint.evaluation.distractors import Copy, written
from earprint.evaluation.outcomes import Outcome
from earprint.evaluation.peers import Peer
from earprint.evaluation.query import Query

COPIES_AT_A_TIME = 400
"""Speed-changed copies handed over together: each time a peer may have to read and write its whole index."""

Questions = list[tuple[Query, Path]]
"""Queries and the files that hold their audio."""


def fill_peer(peer: Peer, files: Sequence[Path], copies: Sequence[Copy]) -> None:
    """Have a peer add recordings, and speed-changed copies as temporary WAV files."""
    peer.add(list(files))
    for paths in written(copies, at_a_time=COPIES_AT_A_TIME):
        if paths:
            peer.add(paths)


def ask_peer(peer: Peer, questions: Questions, expected: Mapping[Path, Path]) -> list[Outcome]:
    """Have a peer answer questions.

    Parameters
    ----------
    peer : Peer
        Has the references.
    questions : list of (Query, Path)
    expected : mapping of Path to Path
        The reference that answers for each recording that was asked about.

    Returns
    -------
    list of Outcome
        In order; the time of an answer is the mean over all of them.
    """
    before = peer.identify_seconds
    answers = peer.identify([path for _, path in questions])
    seconds = (peer.identify_seconds - before) / max(1, len(questions))
    outcomes = []
    for (query, _), answer in zip(questions, answers, strict=True):
        right = answer.path is not None and answer.path == expected.get(query.path)
        error_s = answer.start_s - query.start_s if right and answer.start_s is not None else None
        outcomes.append(
            Outcome(
                query,
                right_track=right,
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
    """Say what each peer is and what it took, JSON-ready; ``audio_s`` is the length of the references."""
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
