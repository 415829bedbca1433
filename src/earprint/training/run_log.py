"""The log of a run: losses, validations, a plot of both, and TensorBoard events if asked for.

A run's folder holds ``log.csv``, one line every `REPORT_EVERY_S` seconds; ``validation.jsonl``, one line per
validation; ``curves.png``; and ``tensorboard/``. A resumed run first deletes the lines that were written
after its checkpoint, so that no step appears twice.
"""

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from earprint.errors import TrainingError
from earprint.training.curves import LOG, VALIDATION, draw_curves

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

REPORT_EVERY_S: Final = 20.0
"""Seconds between two lines of the log."""

COLUMNS: Final = (
    "step", "minutes", "loss", "learning_rate", "steps_per_s", "segments_per_s", "data_share",
)  # fmt: skip
"""Columns of ``log.csv``; ``data_share`` is the share of the step time spent on making batches."""


@dataclass
class Meter:
    """Statistics of the steps since the last line of the log, without validation and checkpoints.

    Attributes
    ----------
    losses : list of float
        One per step.
    segments : int
        Pairs of rows that the losses compared.
    total_s : float
        Time of the steps, in seconds.
    data_s, measured_s : float
        Time for making batches, and whole time, of the steps that measured both, in seconds. Times end when
        the device is idle.
    """

    losses: list[float] = field(default_factory=list)
    segments: int = 0
    total_s: float = 0.0
    data_s: float = 0.0
    measured_s: float = 0.0

    def add(self, loss: float, segments: int, data_s: float | None, total_s: float) -> None:
        """Add one step; ``data_s`` is None if the time for its batch was not measured."""
        self.losses.append(loss)
        self.segments += segments
        self.total_s += total_s
        if data_s is not None:
            self.data_s += data_s
            self.measured_s += total_s

    @property
    def loss(self) -> float:
        """Mean of the finite losses."""
        finite = [loss for loss in self.losses if np.isfinite(loss)]
        return float(np.mean(finite)) if finite else float("nan")

    @property
    def steps_per_s(self) -> float:
        """Steps per second of training."""
        return len(self.losses) / max(self.total_s, 1e-9)

    @property
    def segments_per_s(self) -> float:
        """Pairs of rows compared per second of training."""
        return self.segments / max(self.total_s, 1e-9)

    @property
    def data_share(self) -> float:
        """Share of the step time spent on making batches."""
        return self.data_s / max(self.measured_s, 1e-9)

    def describe(self, audio_per_step_s: float) -> str:
        """Describe the steps in one line, given the distorted audio of each in seconds."""
        return (
            f"loss {self.loss:.4f}  {self.steps_per_s:.2f} steps/s  {self.segments_per_s:.0f} segments/s  "
            f"{self.steps_per_s * audio_per_step_s:.0f} s of distorted audio per s  "
            f"{100 * self.data_share:.0f} % of the time waiting for data"
        )


class RunLog:
    """Writes the log of a run.

    Parameters
    ----------
    run : Path
        An existing folder.
    step : int
        The step from which the run continues; lines of later steps are deleted.
    report : callable
        Receives a line if no plot can be drawn.
    tensorboard : bool
        Write for TensorBoard too.

    Raises
    ------
    TrainingError
        If ``tensorboard`` is set and TensorBoard is not installed.
    """

    def __init__(
        self, run: Path, step: int, report: Callable[[str], None], *, tensorboard: bool = False
    ) -> None:
        self.run, self.report = run, report
        self._board = _board(run / "tensorboard", step) if tensorboard else None
        self._cannot_plot = False
        self._resume_at(step)

    def _resume_at(self, step: int) -> None:
        """Delete the lines after the checkpoint, and update the columns of older logs."""
        log, validation = self.run / LOG, self.run / VALIDATION
        if log.exists():
            with log.open(encoding="utf-8", newline="") as source:
                kept = [row for row in csv.DictReader(source) if int(row["step"]) <= step]
            with log.open("w", encoding="utf-8", newline="") as sink:
                writer = csv.DictWriter(sink, COLUMNS, restval="", extrasaction="ignore")
                writer.writeheader()
                writer.writerows(kept)
        if validation.exists():
            lines = validation.read_text(encoding="utf-8").splitlines(keepends=True)
            lines = [line for line in lines if json.loads(line)["step"] <= step]
            validation.write_text("".join(lines), encoding="utf-8")
            if not lines:
                validation.unlink()

    def losses(self, meter: Meter, step: int, minutes: float, learning_rate: float) -> None:
        """Add a line of losses."""
        log = self.run / LOG
        new = not log.exists()
        with log.open("a", encoding="utf-8", newline="") as sink:
            writer = csv.writer(sink)
            if new:
                writer.writerow(COLUMNS)
            writer.writerow(
                [step, f"{minutes:.2f}", f"{meter.loss:.4f}", f"{learning_rate:.2e}",
                 f"{meter.steps_per_s:.3f}", f"{meter.segments_per_s:.1f}", f"{meter.data_share:.3f}"]
            )  # fmt: skip
        self._to_board(
            {"loss": meter.loss, "learning rate": learning_rate, "segments per s": meter.segments_per_s,
             "share of time on data": meter.data_share}, step,
        )  # fmt: skip

    def validation(self, scores: dict[str, float], step: int, minutes: float) -> None:
        """Add a line of validation."""
        with (self.run / VALIDATION).open("a", encoding="utf-8") as sink:
            sink.write(json.dumps({"step": step, "minutes": minutes, **scores}) + "\n")
        self._to_board({f"validation/{name}": score for name, score in scores.items()}, step)

    def draw(self) -> None:
        """Draw ``curves.png``; without matplotlib, report that once."""
        if self._cannot_plot or not (self.run / LOG).exists():
            return
        try:
            draw_curves([self.run], self.run / "curves.png")
        except TrainingError as error:
            self._cannot_plot = True
            self.report(f"no curves are drawn: {error}")

    def close(self) -> None:
        """Flush TensorBoard's events."""
        if self._board is not None:
            self._board.close()

    def _to_board(self, values: dict[str, float], step: int) -> None:
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)


def _board(folder: Path, step: int) -> "SummaryWriter":
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise TrainingError(
            "--tensorboard: tensorboard is not installed; `pip install tensorboard`"
        ) from error
    return SummaryWriter(str(folder), purge_step=step + 1)
