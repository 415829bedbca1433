"""Fit the law of chance scores of a model, and show how well it holds.

    python benchmarks/expectation.py --library LIBRARY --absent DIR ... --noise DIR ... --rir DIR ...

LIBRARY holds recordings. The recordings in ``--absent`` must not be among them, nor come from the same
sources. Excerpts of several lengths are cut from the absent recordings and distorted. The best score of each
in the library is chance. A Gumbel law is fitted to these scores for each length by maximum likelihood
(`earprint.matching.expectation`). It prints

- for each length: the number of queries and recordings, the fitted values, and the share of queries whose
  chance of such a score is below 10 % and below 1 % by the law. For these shares, one half of the recordings,
  by a hash of their names, fits and the other is counted.
- the table ``expectation`` for the model card, fitted on all.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from common import command, machine, print_header, print_row
from earprint import load_encoder
from earprint.audio import find_audio_files, load_audio
from earprint.constants import SAMPLE_RATE
from earprint.datasets.hash_split import hash_rank
from earprint.encoders.base import cohort_of
from earprint.evaluation.conditions import Clean, Noise, RoomNoise
from earprint.evaluation.excerpts import draw_excerpts
from earprint.evaluation.material import Material
from earprint.evaluation.rendering import render
from earprint.library import Library
from earprint.matching.expectation import LEVEL_OF_LAW
from earprint.matching.segment_search import make_block

CONDITIONS = (Clean(), Noise(10.0), Noise(0.0), Noise(-5.0), RoomNoise(10.0), RoomNoise(0.0), RoomNoise(-5.0))
"""Distortions of the queries; each query gets one."""


def main() -> None:
    """Fit and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--library", type=Path, required=True)
    parser.add_argument("--absent", type=Path, nargs="+", required=True, metavar="DIR")
    parser.add_argument("--noise", type=Path, nargs="+", required=True, metavar="DIR")
    parser.add_argument("--rir", type=Path, nargs="+", required=True, metavar="DIR")
    parser.add_argument("--model", default="dense")
    parser.add_argument("--lengths", type=float, nargs="+", default=[1.0, 2.0, 3.0, 5.0, 10.0, 20.0])
    parser.add_argument("--queries", type=int, default=700, help="of each length")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    print(f"{command()}, {machine()}\n")
    with Library(arguments.library, model=arguments.model, create=False) as library:
        fingerprints = library.info().fingerprints
        table = {length: chance_scores(library, arguments, length) for length in arguments.lengths}
    print_header("length", "queries", "recordings", "rows", "location", "scale", "by self-similarity",
                 "by level", "chance below 10 %", "below 1 %")  # fmt: skip
    laws = []
    for length, measured in table.items():
        first = np.array([hash_rank(str(name), "expectation") % 2 == 0 for name in measured["recording"]])
        chance = chance_of({key: values[~first] for key, values in measured.items()},
                           fit({key: values[first] for key, values in measured.items()}))  # fmt: skip
        law = fit(measured)
        laws.append((float(np.median(measured["rows"])), *law))
        print_row(f"{length:g} s", len(first), len(set(measured["recording"])), f"{laws[-1][0]:.2f}",
                  *(f"{value:.4f}" for value in law), f"{100 * (chance < 0.1).mean():.1f} %",
                  f"{100 * (chance < 0.01).mean():.1f} %")  # fmt: skip
    names = ("rows", "location", "scale", "by_self_similarity", "by_level")
    card = {
        name: [round(value, 4) for value in column]
        for name, column in zip(names, zip(*laws, strict=True), strict=True)
    }
    print("\n" + json.dumps({"expectation": {**card, "reference_rows": fingerprints}}))


def chance_scores(library: Library, arguments: argparse.Namespace, length_s: float) -> dict[str, np.ndarray]:
    """The best score of each query of a length, and what the law explains it by."""
    encoder = load_encoder(arguments.model)
    ratio, cohort = round(encoder.reference_hop_s / encoder.query_hop_s), cohort_of(encoder)
    files = list(find_audio_files(arguments.absent))
    recordings = [(path, len(load_audio(path)) / SAMPLE_RATE) for path in files]
    material = Material(
        (), noises=list(find_audio_files(arguments.noise)), rooms=list(find_audio_files(arguments.rir))
    )
    excerpts = draw_excerpts(
        recordings, arguments.queries, length_s, arguments.seed, material=material, present=False
    )
    queries = [CONDITIONS[number % len(CONDITIONS)].apply(one) for number, one in enumerate(excerpts)]
    rows = []
    for query, audio in render(queries):
        fingerprints = encoder.encode([audio], query=True)
        block = make_block(fingerprints, ratio, cohort)
        candidates = library.identify(fingerprints, threshold=-1.0, top=1).candidates
        if candidates:
            rows.append(
                (query.path.name, candidates[0].score, block.full_rows, block.self_similarity, block.level)
            )
    names = ("recording", "score", "rows", "self_similarity", "level")
    return {name: np.array(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


def location_of(measured: dict[str, np.ndarray], law: np.ndarray) -> np.ndarray:
    """Location of the law for each query."""
    return law[0] + law[2] * measured["self_similarity"] + law[3] * (measured["level"] - LEVEL_OF_LAW)


def fit(measured: dict[str, np.ndarray]) -> np.ndarray:
    """Location, scale, and the two slopes of a Gumbel law, by maximum likelihood."""

    def loss(parameters: np.ndarray) -> float:
        law = np.concatenate((parameters[:1], np.exp(parameters[1:2]), parameters[2:]))
        z = (measured["score"] - location_of(measured, law)) / law[1]
        return float((z + np.exp(-z) + np.log(law[1])).sum())

    start = np.array([np.median(measured["score"]), np.log(0.05), 0.1, -0.5])
    best = minimize(loss, start, method="Nelder-Mead", options={"maxiter": 4000, "maxfev": 8000}).x
    return np.array([best[0], np.exp(best[1]), best[2], best[3]])


def chance_of(measured: dict[str, np.ndarray], law: np.ndarray) -> np.ndarray:
    """Probability of such a score or a better one, by the law."""
    return -np.expm1(-np.exp(-(measured["score"] - location_of(measured, law)) / law[1]))


if __name__ == "__main__":
    main()
