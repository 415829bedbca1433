"""The systems of an evaluation: models, each with a library, that identify batches of queries.

`LibraryReader.identify` gives what `earprint.Library.identify` gives for each query by itself. Only the
fingerprinting and the exact search are done for a whole batch at once.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from earprint import encoders
from earprint.encoders.base import Fingerprints, SegmentEncoder
from earprint.encoders.windowed import WindowedEncoder
from earprint.errors import LibraryError
from earprint.evaluation.backends import current_backend
from earprint.evaluation.outcomes import TOP, Outcome
from earprint.evaluation.query import Query
from earprint.evaluation.rendering import RenderedQuery
from earprint.evaluation.search import BatchSearch
from earprint.library import Identification, Library
from earprint.matching import Method
from earprint.matching.candidates import HITS_PER_ROW
from earprint.matching.paper import HITS_PER_SEGMENT
from earprint.quantization.storage import StorageName


@dataclass(frozen=True)
class System:
    """A model and its library.

    Attributes
    ----------
    name : str
        For tables: the model's name, or its id if another model of the evaluation has the same name.
    model : str
        Name of a model or path of an ONNX file, as given.
    model_id : str
    library : Path
    storage : {"half", "compact"} or None
        How its library stores fingerprints; None for the model's default.
    index : str
        Name of an index, see `earprint.index_names`.
        How its library is searched.
    """

    name: str
    model: str
    model_id: str
    library: Path
    storage: StorageName | None = None
    index: str = "auto"


def make_systems(
    models: Sequence[str],
    folder: Path,
    storages: Sequence[StorageName] = (),
    indexes: Sequence[str] = ("auto",),
) -> list[System]:
    """Make a system of each model, storage and index; models given twice count once.

    If the folder is a library and there is one model and storage, that library is used. Otherwise each
    model's library is a sub-folder with the model's id as its name, followed by the storage if storages are
    given.

    Parameters
    ----------
    models : sequence of str
    folder : Path
    storages : sequence of {"half", "compact"}
        By default that of each model.
    indexes : sequence of str
        Names of indexes, see `earprint.index_names`.

    Raises
    ------
    ModelError
        If a model cannot be loaded.
    """
    found: dict[str, tuple[str, str]] = {}
    for model in models:
        encoder = encoders.load_encoder(model)
        found.setdefault(encoder.model_id, (encoder.name, model))
    names = [name for name, _ in found.values()]
    is_library = (folder / "catalogue.sqlite").is_file() and len(found) == 1 and len(storages) <= 1
    systems = []
    for model_id, (name, model) in found.items():
        unique_name = name if names.count(name) == 1 else model_id
        for storage in dict.fromkeys(storages) or (None,):
            sub_folder = model_id if storage is None else f"{model_id}-{storage}"
            for index in dict.fromkeys(indexes):
                if (storage, index) == ("half", "inverted") and len(storages) > 1:
                    continue  # half storage has no inverted index, and the other storage has one
                words = [unique_name, storage, index if len(set(indexes)) > 1 else None]
                label = " ".join(word for word in words if word)
                library = folder if is_library else folder / sub_folder
                systems.append(System(label, model, model_id, library, storage, index))
    return systems


class LibraryReader:
    """Identifies batches of queries with a system's library; a context manager that closes the library.

    Parameters
    ----------
    system : System
    track_ids : mapping of Path to int
        The track of each recording that queries are cut from. Absent recordings have none.
    method : {"aligned", "paper"}
    threads : int
        Threads of the network; 0 for one per core.

    Raises
    ------
    EarprintError
        If the model or library cannot be read.
    """

    def __init__(
        self, system: System, track_ids: Mapping[Path, int], method: Method = "aligned", threads: int = 0
    ) -> None:
        self.system = system
        self._track_ids = track_ids
        self._method = method
        self._encoder = encoders.load_encoder(system.model, threads)
        self._library = Library(system.library, encoder=self._encoder, index=system.index, create=False)
        damaged = self._library.info().damaged
        if damaged:
            self.close()
            raise LibraryError(f"{system.library}: {damaged} recordings are damaged; run `earprint repair`")

    def close(self) -> None:
        """Close the library."""
        self._library.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def identify(self, queries: Sequence[RenderedQuery]) -> list[Outcome]:
        """Identify a batch of queries; outcomes come in their order."""
        if not queries:
            return []
        began = time.perf_counter()
        fingerprints = self._encode([audio for _, audio in queries])
        batch_search = self._batch_search(fingerprints)
        outcomes = []
        for (query, audio), query_fingerprints in zip(queries, fingerprints, strict=True):
            identification = self._library.identify(
                query_fingerprints,
                top=TOP,
                method=self._method,
                repitch=self._repitch(audio),
                wrap_index=batch_search,
            )
            outcomes.append(self._outcome(query, identification))
        seconds = (time.perf_counter() - began) / len(queries)
        return [replace(outcome, seconds=seconds) for outcome in outcomes]

    def _encode(self, audio: Sequence[NDArray[np.float32]]) -> list[Fingerprints]:
        if current_backend().uses_torch and isinstance(self._encoder, WindowedEncoder):
            return self._encoder.encode_many([[samples] for samples in audio], query=True)
        return [self._encoder.encode([samples], query=True) for samples in audio]

    def _repitch(self, audio: NDArray[np.float32]) -> Callable[[float], Fingerprints] | None:
        """Return what fingerprints a query at another pitch; None if the encoder cannot."""
        encoder = self._encoder
        if not isinstance(encoder, SegmentEncoder):
            return None
        return partial(encoder.encode_at_pitch, [audio])

    def _batch_search(self, fingerprints: Sequence[Fingerprints]) -> BatchSearch:
        """Prepare the search of the rows that the matching will ask for."""
        search = current_backend().search
        if self._method == "aligned":
            rows, hits = [one.vectors for one in fingerprints], HITS_PER_ROW
        else:
            ratio = round(self._encoder.reference_hop_s / self._encoder.query_hop_s)
            rows, hits = [one.vectors[one.margin_rows :: ratio] for one in fingerprints], HITS_PER_SEGMENT
        return BatchSearch(np.concatenate([one[one.any(axis=1)] for one in rows]), hits, search)

    def _outcome(self, query: Query, identification: Identification) -> Outcome:
        track_id = self._track_ids.get(query.path)
        candidates = identification.candidates
        best = candidates[0] if candidates else None
        is_right = best is not None and best.track.id == track_id
        return Outcome(
            query,
            right_track=is_right,
            score=best.score if best else 0.0,
            lead=best.lead if best else 0.0,
            accepted=identification.match is not None,
            error_s=best.start_s - query.start_s if best is not None and is_right else None,
            seconds=0.0,
            system=self.system.name,
            top_5=any(candidate.track.id == track_id for candidate in candidates),
        )
