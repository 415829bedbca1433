"""Outside systems that answer the same queries as earprint, each run as the separate program that it is.

`parse_peer` turns ``audfprint=DIR`` into a factory; what a `Peer` can do is said in ``base.py`` here.
None of the programs' code is part of earprint: the user fetches and builds them.
"""

from collections.abc import Callable
from pathlib import Path

from earprint.errors import EvaluationError
from earprint.evaluation.peers.audfprint import AudfprintPeer, audfprint_version, python_for
from earprint.evaluation.peers.base import Peer, PeerAnswer
from earprint.evaluation.peers.chromaprint import ChromaprintPeer, chromaprint_program, chromaprint_version
from earprint.evaluation.peers.olaf import OlafPeer, olaf_version

__all__ = ["AudfprintPeer", "ChromaprintPeer", "OlafPeer", "Peer", "PeerAnswer", "PeerFactory", "parse_peer"]

PeerFactory = Callable[[Path], Peer]
"""Makes a peer that keeps its index and its temporary files under the folder given."""


def parse_peer(text: str, *, python: Path | None = None, cores: int = 1) -> PeerFactory:
    """Understand ``audfprint=DIR``, ``chromaprint=FILE`` or ``olaf=FILE``; check that the program starts.

    Parameters
    ----------
    text : str
        The system and the place of its checkout or binary.
    python : Path, optional
        Interpreter for a system in Python; by default the one of ``DIR/.venv``, else the running one.
    cores : int
        Processes that a system may use, if it has an option for that.

    Returns
    -------
    callable
        Takes a folder to work in, gives a `Peer`.

    Raises
    ------
    EvaluationError
        If the system is unknown, its program is not there, or what it needs is not installed.
    """
    system, _, place = text.partition("=")
    path = Path(place).expanduser()
    if place and system == "audfprint":
        audfprint_version(path, python or python_for(path))
        return lambda work: AudfprintPeer(path, python, work, cores=cores)
    if place and system == "chromaprint":
        chromaprint_version(chromaprint_program(path))
        return lambda work: ChromaprintPeer(path, work, cores=cores)
    if place and system == "olaf":
        olaf_version(path)
        return lambda work: OlafPeer(path, work)
    raise EvaluationError(
        f"peer {text!r}: not understood; write audfprint=DIR (a checkout), chromaprint=FILE (fpcalc) "
        "or olaf=FILE (bin/olaf_core)"
    )
