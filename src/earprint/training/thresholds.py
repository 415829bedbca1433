"""Thresholds as they are given on a command line."""

from collections.abc import Iterable

from earprint.errors import TrainingError


def parse_thresholds(pairs: Iterable[str]) -> dict[str, float]:
    """Read ``SECONDS=SCORE`` pairs, such as ``5=0.5``, as scores by length, as a card has them.

    Raises
    ------
    TrainingError
        If a pair is not two numbers.
    """
    out = {}
    for pair in pairs:
        seconds, _, score = pair.partition("=")
        try:
            out[f"{float(seconds):g}"] = float(score)
        except ValueError as error:
            raise TrainingError(f"{pair}: not SECONDS=SCORE; write it like 5=0.5") from error
    return out
