"""Choose conditions by name and level, as ``earprint evaluate`` does."""

import math
from collections.abc import Mapping, Sequence
from typing import Final

from earprint.errors import EvaluationError
from earprint.evaluation.conditions import CONDITIONS, Condition
from earprint.evaluation.material import Material

OPTIONS: Final = {
    "noises": "noises; name a folder of them with --noise",
    "rooms": "room responses; name a folder of them with --rir",
    "devices": "responses of devices; name a folder of them with --device",
    "speech": "speech; name a folder of recordings of it with --speech",
}
"""What to tell the user who asks for a condition without its material, by field of `Material`."""


def select_conditions(
    requested: Sequence[str] | None, material: Material, options: Mapping[str, Sequence[float]] | None = None
) -> list[Condition]:
    """List the conditions of an evaluation, in the order of `CONDITIONS`.

    Parameters
    ----------
    requested : sequence of str, optional
        ``NAME`` or ``NAME=LEVEL,LEVEL``. By default all conditions for which there are material and levels.
    material : Material
    options : mapping of str to sequence of float, optional
        Levels by command-line option: those of ``--snr`` and ``--speed``.

    Returns
    -------
    list of Condition

    Raises
    ------
    EvaluationError
        If a condition is unknown, a level makes no sense, or material or levels are missing.

    Examples
    --------
    >>> [condition.title for condition in select_conditions(["speed=0.97,1.03", "clean"], Material(()))]
    ['clean', 'speed x 0.97', 'speed x 1.03']
    """
    levels: dict[str, list[float]] = {}
    for text in CONDITIONS if requested is None else requested:
        name, _, given = text.partition("=")
        if name not in CONDITIONS:
            raise EvaluationError(
                f"--condition {text}: no such condition; use one of {', '.join(CONDITIONS)}"
            )
        levels.setdefault(name, []).extend(_levels(CONDITIONS[name], text, given))
    selected = []
    for name, kind in CONDITIONS.items():
        if name not in levels:
            continue
        missing = [OPTIONS[field] for field in kind.needs if not getattr(material, field)]
        given_levels = levels[name] or (options or {}).get(kind.level_option or "") or kind.default_levels
        if kind.level_name is not None and not given_levels:
            option = kind.level_option or f"--condition {name}="
            missing.append(f"levels ({kind.level_name}); give them with {option}")
        if missing and requested is not None:
            raise EvaluationError(f"--condition {name}: needs {missing[0]}")
        if not missing:
            found = given_levels if kind.level_name is not None else (None,)
            selected += [kind(level) for level in dict.fromkeys(found)]
    return selected


def _levels(kind: type[Condition], text: str, given: str) -> list[float]:
    """Read the levels of ``NAME=LEVEL,LEVEL``."""
    if not given:
        return []
    low, high = kind.level_range
    try:
        levels = [float(part) for part in given.split(",")]
    except ValueError:
        levels = [math.nan]
    if kind.level_name is None or not all(math.isfinite(one) and low <= one <= high for one in levels):
        wanted = "it takes no level" if kind.level_name is None else f"its level is the {kind.level_name}"
        limits = f" from {low:g} to {high:g}" if math.isfinite(low) else ""
        raise EvaluationError(f"--condition {text}: {wanted}{limits}; separate several by commas")
    return levels
