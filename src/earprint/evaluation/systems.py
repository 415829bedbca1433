"""The models that are compared: each with a library of its own, answering many questions at a time.

`Reader.answer` gives what `earprint.Library.identify` gives for each question by itself; only the search for
the nearest fingerprints is shared by all questions of a batch. That identity is tested.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from earprint import encoders
from earprint.encoders.base import Fingerprints, cohort_of
from earprint.encoders.windowed import WindowedEncoder
from earprint.errors import LibraryError
from earprint.evaluation import backends as compute
from earprint.evaluation.outcomes import TOP, Outcome
from earprint.evaluation.query import Query
from earprint.evaluation.search import Prefetched
from earprint.index import ExactIndex, IndexName
from earprint.library.compatibility import storage_of
from earprint.library.identify import threshold_of
from earprint.library.view import build_view
from earprint.matching import AGREEMENT, Method, leads, search
from earprint.matching.candidates import HITS_PER_ROW
from earprint.matching.paper import HITS_PER_SEGMENT
from earprint.quantization.storage import StorageName
from earprint.store.catalogue import Catalogue

Question = tuple[Query, NDArray[np.float32]]
"""A query and its audio, shape (n,)."""


@dataclass(frozen=True)
class System:
    """A model and its library.

    Attributes
    ----------
    name : str
        For tables: the model's, with its digest if another model of the run has the same name.
    model : str
        As it was given: a name or the path of an ONNX file.
    model_id : str
    library : Path
    storage : {"half", "compact"} or None
        How its library stores fingerprints; None for the model's default.
    index : {"auto", "exact", "lsh", "inverted"}
        How its library is searched.
    """

    name: str
    model: str
    model_id: str
    library: Path
    storage: StorageName | None = None
    index: IndexName = "auto"


def systems_of(
    models: Sequence[str],
    folder: Path,
    storages: Sequence[StorageName] = (),
    indexes: Sequence[str] = ("auto",),
) -> list[System]:
    """Name the models of a run and give each a library folder, leaving out those given twice.

    A folder that is a library already is used as it is if there is one model and storage; otherwise each
    model has the sub-folder of its id, and of its id and storage if storages are named. A model is as many
    systems as there are storages and indexes.

    Parameters
    ----------
    models : sequence of str
    folder : Path
    storages : sequence of {"half", "compact"}
        None for the models' default.
    indexes : sequence of {"auto", "exact", "lsh", "inverted"}

    Raises
    ------
    ModelError
        If one cannot be loaded.
    """
    found: dict[str, tuple[str, str]] = {}
    for model in models:
        encoder = encoders.load_encoder(model)
        found.setdefault(encoder.model_id, (encoder.name, model))
    names = [name for name, _ in found.values()]
    is_library = (folder / "catalogue.sqlite").is_file() and len(found) == 1 and len(storages) <= 1
    out = []
    for model_id, (name, model) in found.items():
        plain = name if names.count(name) == 1 else model_id
        for storage in dict.fromkeys(storages) or (None,):
            place = model_id if storage is None else f"{model_id}-{storage}"
            for index in dict.fromkeys(indexes):
                if (storage, index) == ("half", "inverted") and len(storages) > 1:
                    continue  # there is no such thing, and the other storage has it
                words = [storage or "", index if len(set(indexes)) > 1 else ""]
                label = " ".join([plain, *filter(None, words)])
                library = folder if is_library else folder / place
                out.append(System(label, model, model_id, library, storage, index))
    return out


class Reader:
    """Answers questions from a library, as it is when the reader is made.

    Parameters
    ----------
    system : System
    expected : mapping of Path to int
        The track of each recording that is asked about; absent recordings have none.
    method : {"aligned", "paper"}
    threads : int
        Threads of the network; 0 for one per core.

    Raises
    ------
    EarprintError
        If the model or library cannot be read.
    """

    def __init__(
        self, system: System, expected: Mapping[Path, int], method: Method = "aligned", threads: int = 0
    ) -> None:
        self.system = system
        self._expected = expected
        self._method = method
        self._encoder = encoders.load_encoder(system.model, threads)
        catalogue = Catalogue(system.library, create=False)
        try:
            snapshot = catalogue.snapshot()
            self._view = build_view(snapshot, system.library / "segments")
        finally:
            catalogue.close()
        self._storage = storage_of(self._encoder, snapshot.meta, system.library)
        if self._view.damaged:
            raise LibraryError(
                f"{system.library}: {len(self._view.damaged)} recordings are damaged; run `earprint repair`"
            )

    def _encode(self, audio: Sequence[NDArray[np.float32]]) -> list[Fingerprints]:
        if compute.here().in_torch and isinstance(self._encoder, WindowedEncoder):
            return self._encoder.encode_many([[one] for one in audio], query=True)  # few calls of a GPU
        return [self._encoder.encode([one], query=True) for one in audio]

    def answer(self, questions: Sequence[Question]) -> list[Outcome]:
        """Answer questions, in order."""
        if not questions:
            return []
        began = time.perf_counter()
        asked = self._encode([audio for _, audio in questions])
        index = self._view.index(self._storage, self.system.index)
        ratio = round(self._encoder.reference_hop_s / self._encoder.query_hop_s)
        sounds = cohort_of(self._encoder)
        paper = self._method == "paper"
        if index is not None:
            on_grid = [one.vectors[one.margin_rows if paper else 0 :: ratio if paper else 1] for one in asked]
            rows = np.concatenate([one[one.any(axis=1)] for one in on_grid])
            if isinstance(index, ExactIndex):
                k = HITS_PER_SEGMENT if paper else HITS_PER_ROW
                index = Prefetched(index, rows, k, compute.here().nearest)
        outcomes = []
        for (query, _), one in zip(questions, asked, strict=True):
            if index is None:
                alignments = []
            else:
                alignments = search(
                    one, index, self._view.table, ratio=ratio, method=self._method, sounds=sounds
                )
            threshold = AGREEMENT if paper else threshold_of(self._encoder, self._storage, one.duration_s)
            tracks = [self._view.tracks[alignment.track].id for alignment in alignments[:TOP]]
            right = bool(tracks) and tracks[0] == self._expected.get(query.path)
            score = alignments[0].score if alignments else 0.0
            outcomes.append(
                Outcome(
                    query,
                    right_track=right,
                    score=score,
                    lead=leads(alignments)[0] if alignments else 0.0,
                    accepted=bool(alignments) and score >= threshold,
                    error_s=alignments[0].start_s - query.start_s if right else None,
                    seconds=0.0,
                    system=self.system.name,
                    top_5=self._expected.get(query.path) in tracks,
                )
            )
        seconds = (time.perf_counter() - began) / len(questions)
        return [replace(outcome, seconds=seconds) for outcome in outcomes]
