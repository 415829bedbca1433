"""Training curves: loss, validation and learning rate of one or several runs in one figure.

The data come from the logs in the runs' folders (see `earprint.training.run_log`), so running and finished
runs can be compared. Needs matplotlib.
"""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from earprint.errors import TrainingError

LOG: Final = "log.csv"
"""File of the losses in a run's folder."""

VALIDATION: Final = "validation.jsonl"
"""File of the validations in a run's folder."""

AXES: Final = {"step": "step", "minutes": "training time, min"}
"""Choices for the horizontal axis, and their labels."""

MARKERS: Final = ("o", "s", "^", "d", "v", "p")
"""Markers of the validation conditions."""


@dataclass(frozen=True)
class Curves:
    """The log of a run.

    Attributes
    ----------
    name : str
    log : dict of str to ndarray of float64, shape (n,)
        ``step``, ``minutes``, ``loss`` and ``learning_rate``.
    validation : dict of str to ndarray of float64, shape (m,)
        ``step``, ``minutes`` and the hit rate of each condition.
    """

    name: str
    log: dict[str, NDArray[np.float64]]
    validation: dict[str, NDArray[np.float64]]


def read_curves(run: Path) -> Curves:
    """Read the log of a run.

    Raises
    ------
    TrainingError
        If the folder holds no valid log.
    """
    file = run / LOG
    try:
        with file.open(encoding="utf-8", newline="") as source:
            rows = list(csv.DictReader(source))
        log = {
            key: np.array([float(row[key]) for row in rows])
            for key in ("step", "minutes", "loss", "learning_rate")
        }
        lines: list[dict[str, float]] = []
        if (run / VALIDATION).exists():
            text = (run / VALIDATION).read_text(encoding="utf-8")
            lines = [json.loads(line) for line in text.splitlines()]
    except (FileNotFoundError, NotADirectoryError) as error:
        raise TrainingError(f"{run}: no {LOG} in it; name the folder of a run of `train fit`") from error
    except (KeyError, TypeError, ValueError) as error:
        raise TrainingError(
            f"{file}: is no log of a run ({error}); name the folder of another run"
        ) from error
    names = list(lines[-1]) if lines else []
    validation = {name: np.array([line.get(name, np.nan) for line in lines]) for name in names}
    return Curves(run.resolve().name, log, validation)


def draw_curves(runs: Sequence[Path], out: Path, over: str = "step") -> None:
    """Plot the curves of several runs in one figure.

    Parameters
    ----------
    runs : sequence of Path
        Folders of runs.
    out : Path
        The image file; its suffix sets the format, such as ``.png``.
    over : str
        A key of `AXES`.

    Raises
    ------
    TrainingError
        If matplotlib is missing, a folder holds no log, or the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise TrainingError("pictures need matplotlib; `pip install 'earprint[train]'`") from error
    recorded = [read_curves(run) for run in runs]
    if len({curves.name for curves in recorded}) < len(recorded):  # a/run and b/run
        recorded = [
            Curves(str(run), curves.log, curves.validation)
            for run, curves in zip(runs, recorded, strict=True)
        ]
    figure = Figure(figsize=(8, 9), layout="constrained")
    loss, hits, rate = figure.subplots(3, 1, sharex=True, height_ratios=(3, 3, 1))
    conditions: list[str] = []
    for number, curves in enumerate(recorded):
        colour = f"C{number % 10}"
        loss.plot(curves.log[over], curves.log["loss"], ".-", color=colour, label=curves.name)
        rate.plot(curves.log[over], curves.log["learning_rate"], ".-", color=colour)
        for name in curves.validation:
            if name in AXES:
                continue
            if name not in conditions:
                conditions.append(name)
            marker = MARKERS[conditions.index(name) % len(MARKERS)]
            shares = 100 * curves.validation[name]
            hits.plot(curves.validation[over], shares, marker=marker, color=colour)
    _finish(loss, "loss")
    loss.legend()
    _finish(hits, "validation: hits, %")
    hits.set_ylim(0, 100)
    for name, marker in zip(conditions, MARKERS, strict=False):
        hits.plot([], [], marker=marker, color="grey", label=name)
    if conditions:
        hits.legend()
    else:
        hits.text(0.5, 0.5, "no validation yet", ha="center", transform=hits.transAxes, color="grey")
    _finish(rate, "learning rate")
    rate.set_xlabel(AXES[over])
    try:
        figure.savefig(out, dpi=110)
    except (OSError, ValueError) as error:
        raise TrainingError(f"{out}: cannot be written ({error}); name another file, as x.png") from error


def _finish(axes: Any, label: str) -> None:
    axes.set_ylabel(label)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
