"""Thresholds as command-line options."""

from collections.abc import Iterable

from earprint.errors import TrainingError


def parse_thresholds(pairs: Iterable[str]) -> dict[str, float]:
    """Parse ``SECONDS=SCORE`` pairs, such as ``5=0.5``, into scores by query length, as in a model card.

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
