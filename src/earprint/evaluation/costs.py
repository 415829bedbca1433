"""Costs: time per query, size of the index, speed of adding.

An evaluation answers queries in batches, which does not show how long a single query takes. So a few queries
of each length are answered again one by one while nothing else runs in this process. Sizes are those of the
files on the disk.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from earprint import encoders
from earprint.constants import SAMPLE_RATE
from earprint.evaluation.query import Query
from earprint.evaluation.rendering import RenderedQuery, render
from earprint.evaluation.systems import System
from earprint.library import Library, LibraryInfo
from earprint.matching import Method

TIMED_QUERIES: Final = 25
"""Queries of each length that are timed, evenly spread over all."""


def render_timing_queries(queries: Sequence[Query]) -> list[RenderedQuery]:
    """Render the queries of each length that are timed."""
    rendered = []
    for length_s in dict.fromkeys(query.length_s for query in queries):
        of_length = [query for query in queries if query.length_s == length_s]
        chosen = np.unique(np.linspace(0, len(of_length) - 1, TIMED_QUERIES).round().astype(int))
        rendered += list(render([of_length[number] for number in chosen]))
    return rendered


def measure_times(
    system: System,
    queries: Sequence[RenderedQuery],
    method: Method,
    on_progress: Callable[[int], None] = lambda _done: None,
) -> list[dict[str, Any]]:
    """Identify queries one by one and time them.

    Parameters
    ----------
    system : System
    queries : sequence of (Query, ndarray of float32, shape (n,))
    method : {"aligned", "paper"}
    on_progress : callable, optional
        Called with the number of queries that are done.

    Returns
    -------
    list of dict
        For each length: number of queries, and mean, median and 95th percentile in milliseconds of
        fingerprinting ("embed"), of everything after that ("search"), and of both ("total").
    """
    if not queries:
        return []
    encoder = encoders.load_encoder(system.model)
    took: dict[float, list[tuple[float, float]]] = {}
    with Library(system.library, model=system.model, index=system.index, create=False) as library:
        # The first call maps files and starts threads.
        library.identify(queries[0][1], sample_rate=SAMPLE_RATE, method=method)
        for done, (query, audio) in enumerate(queries, 1):
            began = time.perf_counter()
            encoder.encode([audio], query=True)
            embedded = time.perf_counter()
            library.identify(audio, sample_rate=SAMPLE_RATE, method=method)
            total = time.perf_counter() - embedded
            embed = min(embedded - began, total)
            took.setdefault(query.length_s, []).append((embed, total))
            on_progress(done)
    out = []
    for length_s, pairs in took.items():
        embeds, totals = np.array(pairs).T
        parts = {"embed_ms": embeds, "search_ms": totals - embeds, "total_ms": totals}
        out.append(
            {
                "length_s": length_s,
                "queries": len(pairs),
                **{name: _statistics(part) for name, part in parts.items()},
            }
        )
    return out


def _statistics(seconds: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, float]:
    return {
        "mean": round(1000 * float(np.mean(seconds)), 2),
        "median": round(1000 * float(np.median(seconds)), 2),
        "p95": round(1000 * float(np.percentile(seconds, 95)), 2),
    }


def describe_library(system: System, info: LibraryInfo, added_s: float, add_seconds: float) -> dict[str, Any]:
    """Return what a system's library holds and costs, JSON-ready.

    Parameters
    ----------
    system : System
    info : LibraryInfo
    added_s : float
        Length of the audio that was added, in seconds.
    add_seconds : float
        Clock time that adding took.
    """
    hours = info.duration_s / 3600
    return {
        "system": system.name,
        "model_id": system.model_id,
        "dim": info.dim,
        "hop_s": info.reference_hop_s,
        "storage": info.storage,
        "index": system.index,
        "tracks": info.tracks,
        "hours": round(hours, 3),
        "fingerprints": info.fingerprints,
        "library_bytes": info.size_bytes,
        "mb_per_hour": round(info.size_bytes / 1e6 / max(hours, 1e-9), 3),
        "added_hours": round(added_s / 3600, 3),
        "add_seconds": round(add_seconds, 2),
        "add_x_real_time": round(added_s / add_seconds, 1) if added_s and add_seconds else None,
    }


def cost_line(cost: dict[str, Any]) -> str:
    """Return what a library and its answers cost, in one line of text."""
    name = cost["system"] if cost["system"] == cost["model_id"] else f"{cost['system']} ({cost['model_id']})"
    storage = f" ({cost['storage']})" if cost.get("storage") else ""
    added = ""
    if cost["add_x_real_time"] is not None:
        added = f", added {cost['added_hours']:.2f} h at {cost['add_x_real_time']:.0f} x real time"
    times = "".join(
        f"; {one['length_s']:g} s query {one['total_ms']['median']:.0f} ms "
        f"(p95 {one['total_ms']['p95']:.0f}, embed {one['embed_ms']['median']:.0f})"
        for one in cost.get("seconds_per_query", [])
    )
    return (
        f"{name}: {cost['tracks']:,} tracks, {cost['hours']:.2f} h, "
        f"{cost['fingerprints']:,} fingerprints{storage}, {cost['mb_per_hour']:.2f} MB per hour{added}{times}"
    )
