"""A query as a record: the recording, the place in it, and every distortion.

All random choices are made before the first query is answered. A manifest holds these records, one JSON
object in each line, so that anyone can run the same queries again.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from earprint.errors import EvaluationError

FILES = ("path", "noise", "room", "device")
"""Fields that name files."""

KEYS = {"rt60_s": "t60_s"}
"""Keys of records that differ from the names of their fields."""


@dataclass(frozen=True)
class Query:
    """One query and what it is made from.

    Attributes
    ----------
    path : Path
        The recording.
    start_s, length_s : float
        Where the excerpt begins in the recording, and how long the query is. A query takes
        ``length_s * speed`` of the recording.
    condition : str
        Title of the condition.
    snr_db : float or None
        Signal-to-noise ratio; None for no noise.
    noise, room : Path or None
        Files; the noise begins ``noise_start_s`` into its file and loops.
    noise_start_s : float
    phone : bool
        Band-limited to a telephone's 300-3400 Hz.
    present : bool
        Whether the library holds the recording.
    speed : float
        How many times faster than the recording the excerpt is played, pitch included.
    device : Path or None
        Impulse response of the device that records the query.
    codec : str or None
        Codec at the end of the chain, see `earprint.audio.codec_simulation`.
    rt60_s : float or None
        Reverberation time of the room, if it could be estimated.
    parameters : tuple of (str, float or str)
        Further parameters of conditions that need more than the fields above.
    """

    path: Path
    start_s: float
    length_s: float
    condition: str
    snr_db: float | None
    noise: Path | None
    noise_start_s: float
    room: Path | None
    phone: bool
    present: bool
    speed: float = 1.0
    device: Path | None = None
    codec: str | None = None
    rt60_s: float | None = None
    parameters: tuple[tuple[str, float | str], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON-ready data."""
        record: dict[str, Any] = {
            KEYS.get(name, name): str(value) if isinstance(value, Path) else value
            for name, value in asdict(self).items()
        }
        parameters = dict(record.pop("parameters"))
        return record | ({"parameters": parameters} if parameters else {})

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Self:
        """Read a query from such data. Other keys, such as those of an answer, are ignored."""
        optional = {"speed", "device", "codec", "rt60_s", "parameters"}
        names = [field.name for field in fields(cls)]
        own = {
            name: record[KEYS.get(name, name)]
            for name in names
            if KEYS.get(name, name) in record or name not in optional
        }
        for key in FILES:
            own[key] = None if own.get(key) is None else Path(own[key])
        parameters: dict[str, float | str] = record.get("parameters", {})
        own["parameters"] = tuple(parameters.items())
        return cls(**own)


def read_manifest(path: Path) -> list[Query]:
    """Read the queries of a ``manifest.jsonl`` or ``queries.jsonl``, each query once, in order.

    Raises
    ------
    EvaluationError
        If it cannot be read, a line is not a query, or there are none.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(
            f"{path}: cannot be read ({error}); name the manifest.jsonl of an evaluation"
        ) from error
    queries = []
    for number, line in enumerate(lines, 1):
        try:
            queries.append(Query.from_dict(json.loads(line)))
        except (ValueError, KeyError, TypeError) as error:
            raise EvaluationError(
                f"{path}: line {number} is not a query; take a file that `earprint evaluate` wrote"
            ) from error
    if not queries:
        raise EvaluationError(f"{path}: holds no queries; take a file that `earprint evaluate` wrote")
    return list(dict.fromkeys(queries))


def write_manifest(path: Path, queries: Iterable[Query]) -> None:
    """Write queries, one JSON object a line."""
    text = "".join(json.dumps(query.to_dict()) + "\n" for query in queries)
    path.write_text(text, encoding="utf-8", errors="backslashreplace")
