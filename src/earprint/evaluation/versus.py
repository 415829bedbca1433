"""The same questions put to other systems.

Each question is written once as a 16-bit WAV file, turned down where it would clip, and every peer answers
those files. A peer that names a recording at all has accepted it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from earprint.demo.composer import write_wav
from earprint.evaluation.measure import Outcome
from earprint.evaluation.peers import Peer
from earprint.evaluation.queries import Query

Questions = list[tuple[Query, Path]]
"""Queries and the files that hold their audio."""


def kept(
    queries: Iterable[tuple[Query, NDArray[np.float32]]], folder: Path, into: Questions
) -> Iterator[tuple[Query, NDArray[np.float32]]]:
    """Pass rendered queries on, writing each to a file of the folder on the way."""
    for query, audio in queries:
        path = folder / f"question-{len(into):06d}.wav"
        write_wav(path, audio / max(1.0, float(np.abs(audio).max(initial=0.0))))
        into.append((query, path))
        yield query, audio


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
