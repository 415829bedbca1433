"""Peers: other systems that answer the same queries as earprint, each run as a separate program.

`parse_peer` turns ``audfprint=DIR`` into a function that makes a `Peer`. None of the programs' code is part
of earprint; the user fetches and builds them.
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
"""Makes a peer. It is called with the folder for the peer's index and temporary files."""


def parse_peer(text: str, *, python: Path | None = None, cores: int = 1) -> PeerFactory:
    """Read ``audfprint=DIR``, ``chromaprint=FILE`` or ``olaf=FILE``; check that the program starts.

    Parameters
    ----------
    text : str
        Name of the system and path of its checkout or program.
    python : Path, optional
        Interpreter for a system in Python; by default the one of ``DIR/.venv``, else the running one.
    cores : int
        Processes that the system may use, if it has an option for that.

    Returns
    -------
    callable
        Called with a folder, returns a `Peer`.

    Raises
    ------
    EvaluationError
        If the system is unknown, or its program or a package that it needs is missing.
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
