"""The record of a run: a CSV of the losses, the validations, a picture of both, and TensorBoard if wanted.

In the run's folder: ``log.csv``, one line every `REPORT_EVERY_S` seconds; ``validation.jsonl``, one line per
validation; ``curves.png``; and ``tensorboard/``. A run that goes on from a checkpoint first drops what an
interrupted one wrote after it, so that no step stands there twice.
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
"""Of ``log.csv``; ``data_share`` is the share of the time of the steps in which batches were made."""


@dataclass
class Meter:
    """What happened since the last line: steps only, validation and checkpoints take time outside it.

    Attributes
    ----------
    losses : list of float
        One per step.
    segments : int
        Pairs of positions that the losses compared.
    total_s : float
        Time of the whole steps, in seconds.
    data_s, measured_s : float
        Time until the batches were there, and the whole time, of the steps in which the former was measured,
        in seconds. All are measured when the device has finished what it was given.
    """

    losses: list[float] = field(default_factory=list)
    segments: int = 0
    total_s: float = 0.0
    data_s: float = 0.0
    measured_s: float = 0.0

    def add(self, loss: float, segments: int, data_s: float | None, total_s: float) -> None:
        """Count one step, of which it was measured or not how long its data took."""
        self.losses.append(loss)
        self.segments += segments
        self.total_s += total_s
        if data_s is not None:
            self.data_s += data_s
            self.measured_s += total_s

    @property
    def loss(self) -> float:
        """Mean of the losses that are numbers."""
        finite = [loss for loss in self.losses if np.isfinite(loss)]
        return float(np.mean(finite)) if finite else float("nan")

    @property
    def steps_per_s(self) -> float:
        """Steps in a second of training."""
        return len(self.losses) / max(self.total_s, 1e-9)

    @property
    def segments_per_s(self) -> float:
        """Pairs of positions compared in a second of training."""
        return self.segments / max(self.total_s, 1e-9)

    @property
    def data_share(self) -> float:
        """Share of the time that went into making batches."""
        return self.data_s / max(self.measured_s, 1e-9)


class RunLog:
    """Writes a run's record.

    Parameters
    ----------
    run : Path
        An existing folder.
    step : int
        Where the run goes on; what lies beyond is dropped.
    report : callable
        Told one line when something is left out.
    tensorboard : bool
        Write for TensorBoard too.

    Raises
    ------
    TrainingError
        If TensorBoard is wanted and not installed.
    """

    def __init__(
        self, run: Path, step: int, report: Callable[[str], None], *, tensorboard: bool = False
    ) -> None:
        self.run, self.report = run, report
        self._board = _board(run / "tensorboard", step) if tensorboard else None
        self._no_pictures = False
        self._go_on_from(step)

    def _go_on_from(self, step: int) -> None:
        """Drop what an interrupted run wrote after its checkpoint; bring the columns up to date."""
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
        """Draw ``curves.png`` anew; without matplotlib say so, once."""
        if self._no_pictures or not (self.run / LOG).exists():
            return
        try:
            draw_curves([self.run], self.run / "curves.png")
        except TrainingError as error:
            self._no_pictures = True
            self.report(f"no curves are drawn: {error}")

    def close(self) -> None:
        """Finish what is written in the background."""
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
