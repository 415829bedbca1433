"""Olaf, the landmark fingerprints of Joren Six (github.com/JorenSix/Olaf, AGPL-3.0), as a peer.

Olaf stores triples of spectral peaks in an LMDB store. The user builds the core (``make compile_core``) and
gives ``bin/olaf_core``, which runs with the options that are compiled in. It reads raw float32 at 16 kHz and
keeps its store under ``$HOME/.olaf/db``. It prints a line for each match, the best first: number of hashes,
query start and stop, reference, number of the reference, reference start and stop; 0 hashes mean no match.
Its score is the number of hashes that agree. Its answers do not name the query, so it runs once for each
query. That costs little, because its store is memory-mapped.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

from earprint.audio import stream_audio
from earprint.constants import SAMPLE_RATE
from earprint.errors import EvaluationError
from earprint.evaluation.peers.base import ProgramPeer
from earprint.evaluation.peers.programs import digest, run_program


class OlafPeer(ProgramPeer):
    """Olaf, run from its binary; see `earprint.evaluation.peers.base.Peer`.

    Parameters
    ----------
    binary : Path
        ``olaf_core``.
    work : Path
        Folder for its store and temporary files: 230 MB for each hour of references in one run.

    Raises
    ------
    EvaluationError
        If there is no such file.
    """

    _references_per_run = 200  # it commits once at the end of each run

    def __init__(self, binary: Path, work: Path) -> None:
        super().__init__("Olaf", olaf_version(binary), "as compiled", work, ".raw")
        self._binary = binary.resolve()
        self._db = self.work / ".olaf" / "db"
        shutil.rmtree(self._db, ignore_errors=True)
        self._db.mkdir(parents=True)

    @property
    def index_bytes(self) -> int:
        """Size of its store, in bytes."""
        return sum(file.stat().st_size for file in self._db.iterdir())

    def _convert(self, source: Path, copy: Path) -> float:
        with copy.open("wb") as sink:
            for block in stream_audio(source):
                sink.write(block.tobytes())
        return copy.stat().st_size / 4 / SAMPLE_RATE

    def _store(self, names: Sequence[str], longest_s: float) -> None:
        self._olaf("store", *names)

    def _identify(self, names: Sequence[str]) -> list[tuple[str, float, float] | None]:
        return [_best(self._olaf("query", name)) for name in names]

    def _olaf(self, command: str, *names: str) -> str:
        pairs = [name for name in names for _ in range(2)]  # the file, and the name under which it is stored
        return run_program(self.name, [self._binary, command, *pairs], self.work, {"HOME": str(self.work)})


def _best(printed: str) -> tuple[str, float, float] | None:
    for line in printed.splitlines():
        fields = [field.strip() for field in line.split(",")]
        if len(fields) == 7 and int(fields[0]) > 0:
            return fields[3], float(fields[5]) - float(fields[1]), float(fields[0])
    return None


def olaf_version(binary: Path) -> str:
    """Return a digest of an Olaf binary, because Olaf has no version."""
    if not binary.is_file():
        raise EvaluationError(
            f"{binary}: no such program; build Olaf's core (make compile_core) and give its bin/olaf_core"
        )
    return f"olaf_core, binary {digest([binary])}"
