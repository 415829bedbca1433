"""The training loop of every network, on CPU or CUDA, with a time budget, checkpoints and resume.

A step draws a batch, computes the inputs and fingerprints of both sides and the loss, and updates the weights
by AdamW. The learning rate rises linearly, and then falls as half a cosine to 0 at the end of the budget. The
averaged weights are validated and exported, see `earprint.training.weight_averaging`.

A stopped run continues from its checkpoint with the same batches, learning rates and losses as an
uninterrupted one: the checkpoint holds the time spent and the state of every random generator.
"""

import copy
import json
import math
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from earprint.errors import TrainingError
from earprint.training.checkpoint import (
    CHECKPOINT,
    SUMMARY,
    load_initial_weights,
    read_checkpoint,
    save_weights,
    write_checkpoint,
)
from earprint.training.config import TrainConfig, default_config
from earprint.training.config_file import CONFIG_FILE, config_toml
from earprint.training.devices import device_name, set_up_device
from earprint.training.grad_cache import backward_of_batch
from earprint.training.networks import network_spec
from earprint.training.objective import Objective
from earprint.training.run_log import REPORT_EVERY_S, Meter, RunLog
from earprint.training.tasks import Task, task_for
from earprint.training.training_data import training_data
from earprint.training.weight_averaging import WeightAverage

__all__ = ["TrainConfig", "Trainer", "default_config"]

CHECKPOINT_EVERY_S = 180.0
"""Seconds between checkpoints."""

GRADIENT_NORM = 5.0
"""Gradients are scaled down to this norm."""

MEASURE_EVERY = 16
"""On CUDA, every Nth step measures the time that its batch takes."""

MAX_SKIPPED_SHARE = 0.05
"""The run fails if more than this share of steps was skipped because a gradient was not finite."""

MAX_SKIPPED_IN_A_ROW = 100
"""The run fails if so many steps in a row were skipped."""


class Trainer:
    """One run, resumable.

    Parameters
    ----------
    store : Path
        Made by `earprint train pack`.
    run : Path
        Folder of the checkpoint, the configuration and the log. If it holds a checkpoint, the run resumes.
    config : TrainConfig
    device : torch.device
    report : callable
        Receives the lines of progress.
    start_from : Path, optional
        Initial weights, the weights.pt of an earlier run.
    tensorboard : bool
        Log for TensorBoard too.
    report_every_s : float
        Seconds between two lines of progress and of the log.

    Raises
    ------
    TrainingError
        If the configuration, the store, the weights or the checkpoint cannot be used.
    """

    def __init__(
        self,
        store: Path,
        run: Path,
        config: TrainConfig,
        device: torch.device,
        report: Callable[[str], None],
        start_from: Path | None = None,
        *,
        tensorboard: bool = False,
        report_every_s: float = REPORT_EVERY_S,
    ) -> None:
        self.report_every_s = report_every_s
        self.run, self.config, self.device, self.report = run, config, device, report
        torch.manual_seed(config.seed)
        set_up_device(device, threads=config.threads, fixed_length=len(config.lengths_s) == 1)
        spec = network_spec(config.network)
        self.task: Task = task_for(config.network, config.dim, config.query_beyond_steps)
        self.network = self.task.network.to(device)
        if device.type == "cuda" and spec.channels_last:
            self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.started_from = load_initial_weights(self.network, spec, start_from, run, device)
        self.averaging = WeightAverage(self.network, config.ema_decay, self._next_inputs, config.chunk)
        self.optimizer = torch.optim.AdamW(
            [p for p in self.network.parameters() if p.requires_grad],
            lr=config.learning_rate, weight_decay=config.weight_decay, fused=device.type == "cuda",
        )  # fmt: skip
        data = training_data(store, config, device)
        self.sampler, self.validation, self.store = data.sampler, data.validation, data.described
        self.objective = Objective(self.task, config, device, self.sampler.rng)
        self.step, self.trained_s, self.validated_s, self.skipped = 0, 0.0, 0.0, 0
        self.skipped_in_a_row = 0
        self.meter = Meter()
        self._stopping = False
        run.mkdir(parents=True, exist_ok=True)
        self._resume()
        self.log = RunLog(run, self.step, report, tensorboard=tensorboard)
        (run / CONFIG_FILE).write_text(config_toml(config), encoding="utf-8")

    @property
    def progress(self) -> float:
        """Share of the run that is done: the larger one of its time and of its steps."""
        minutes, steps = self.config.max_minutes, self.config.max_steps
        by_time = self.trained_s / (60 * minutes) if minutes is not None else 0.0
        by_steps = self.step / steps if steps is not None else 0.0
        return min(1.0, max(by_time, by_steps))

    def stop(self) -> None:
        """Make `train` end after the current step, with a checkpoint. Signal handlers may call it."""
        self._stopping = True

    def train(self) -> bool:
        """Train until the budget is spent or `stop` is called.

        Returns
        -------
        bool
            True if the budget is spent.
        """
        if self.progress >= 1.0 and (self.run / "weights.pt").exists():
            self.report(f"{self._describe()}; finished at step {self.step}: give it a larger limit to go on")
            return True
        started = last_save = last_report = time.monotonic()
        before_s = self.trained_s
        self.report(f"{self._describe()}; from step {self.step}, {before_s / 60:.1f} min")
        while self.progress < 1.0 and not self._stopping:
            self._one_step()
            now = time.monotonic()
            self.trained_s = before_s + now - started
            if now - last_report > self.report_every_s:
                self._report_losses()
                last_report = now
            if now - last_save > CHECKPOINT_EVERY_S:
                self.save()
                last_save = now
            if self.trained_s - self.validated_s > 60 * self.config.validate_every_minutes:
                self.validated_s = self.trained_s
                self.validate()
        self._report_losses()
        if self.step and self.skipped == self.step:
            raise TrainingError(
                f"{self.run}: no step had a finite loss, so nothing was learned; lower --learning-rate, or "
                "narrow the ranges of the augmentations"
            )
        self.save()
        finished = self.progress >= 1.0
        if finished:
            save_weights(self.averaged_network(), self.run / "weights.pt")
            (self.run / SUMMARY).write_text(json.dumps(self._summary(), indent=1), encoding="utf-8")
            self.validate()
        else:
            self.log.draw()
            self.report(f"stopped at step {self.step}; run the same command again to go on")
        self.log.close()
        return finished

    def _one_step(self) -> float:
        """Train on one batch; returns the loss."""
        config, network = self.config, self.network
        start = time.monotonic()
        length_s, clean, distorted = self._draw_inputs()
        # CUDA runs asynchronously. Waiting for it gives the true time but costs some, so only some steps do.
        measured = self.device.type != "cuda" or self.step % MEASURE_EVERY == 0
        if measured and self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        data_s = time.monotonic() - start if measured else None

        self.averaging.set_training_mode(norms_frozen=self._in_last_part())
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()

        loss = partial(self.objective, length_s=length_s)
        self.optimizer.zero_grad(set_to_none=True)
        value = float(backward_of_batch(network, distorted, clean, loss, config.chunk))
        norm = float(nn.utils.clip_grad_norm_(network.parameters(), GRADIENT_NORM))
        self.step += 1
        if math.isfinite(norm) and math.isfinite(value):
            self.optimizer.step()
            self.averaging.update()
            self.skipped_in_a_row = 0
        else:
            # On some CPUs, bf16 convolutions rarely return a garbage gradient of one weight.
            self.skipped, self.skipped_in_a_row = self.skipped + 1, self.skipped_in_a_row + 1
            too_many = self.skipped > MAX_SKIPPED_SHARE * self.step + 10
            if too_many or self.skipped_in_a_row >= MAX_SKIPPED_IN_A_ROW:
                raise TrainingError(f"{self.run}: the loss became {value}; lower --learning-rate")
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        segments = len(distorted) * self.task.positions(length_s)
        self.meter.add(value, segments, data_s, time.monotonic() - start)
        return value

    def _learning_rate(self) -> float:
        warm = min(1.0, (self.step + 1) / max(1, self.config.warmup_steps))
        return self.config.learning_rate * warm * (0.5 + 0.5 * math.cos(math.pi * self.progress))

    @torch.no_grad()
    def _draw_inputs(self) -> tuple[float, Tensor, Tensor]:
        """Draw a batch; returns its length in seconds and the network's clean and distorted inputs."""
        config = self.config
        length_s = config.lengths_s[self.sampler.rng.integers(len(config.lengths_s))]
        clips = max(2, round(config.audio_per_step_s / length_s))
        clips = min(clips, config.clips_per_track * len(self.sampler.music.items))
        batch = self.sampler.draw(clips, length_s, config.clips_per_track)
        return length_s, *self.task.inputs(batch)

    def _in_last_part(self) -> bool:
        """Whether the run is in its last part, in which batch norms are frozen."""
        return self.progress > 1 - self.config.frozen_norm_share

    def averaged_network(self) -> nn.Module:
        """Return the averaged network, see `WeightAverage.averaged_network`."""
        return self.averaging.averaged_network()

    def _next_inputs(self, count: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Draw clean and distorted inputs without changing what the run draws next."""
        state = copy.deepcopy(self.sampler.state())
        for _ in range(count):
            yield self._draw_inputs()[1:]
        self.sampler.restore(state)

    def validate(self) -> dict[str, float]:
        """Measure and report the hit rates of held-out queries among held-out references."""
        scores: dict[str, float] = {}
        if self.validation is not None:
            with torch.no_grad():
                scores = self.validation.measure(self.averaged_network(), self.task, self.device)
            shown = ", ".join(f"{name} {100 * value:.1f}" for name, value in scores.items())
            self.report(f"step {self.step} validation hits % ({self.validation.describe()}): {shown}")
            self.log.validation(scores, self.step, self.trained_s / 60)
        self.log.draw()
        return scores

    def save(self) -> None:
        """Write the checkpoint; an interrupted write keeps the old one."""
        self.averaged_network()
        state = {
            "network": self.network.state_dict(),
            **self.averaging.state(),
            "optimizer": self.optimizer.state_dict(),
            "validated_s": self.validated_s,
            "skipped": self.skipped,
            "sampler": self.sampler.state(),
            **self.objective.state(),
            **self._summary(),
        }
        write_checkpoint(self.run, state)

    def _summary(self) -> dict[str, Any]:
        """Return what a model card says of its run."""
        return {
            "step": self.step,
            "trained_s": self.trained_s,
            "config": json.dumps(self.config.to_dict()),
            "device": device_name(self.device),
            "store": self.store,
            "started_from": self.started_from,
        }

    def _resume(self) -> None:
        state: dict[str, Any] | None = read_checkpoint(self.run, self.device)
        if state is None:
            return
        try:
            self.network.load_state_dict(state["network"])
            self.step, self.trained_s = state["step"], state["trained_s"]
            self.averaging.restore(state, norms_frozen=self._in_last_part())
        except RuntimeError as error:
            raise TrainingError(
                f"{self.run / CHECKPOINT}: made for another network than {self.config.network}; "
                "use another folder for the run"
            ) from error
        self.optimizer.load_state_dict(state["optimizer"])
        # Older checkpoints lack some entries.
        self.validated_s = state.get("validated_s", self.trained_s)
        self.skipped = state.get("skipped", 0)
        self.started_from = state.get("started_from", self.started_from)
        self.sampler.restore(state["sampler"])
        self.objective.restore(state)

    def _report_losses(self) -> None:
        """Log and report the steps since the last report, if there were any."""
        meter, self.meter = self.meter, Meter()
        if not meter.losses:
            return
        self.log.losses(meter, self.step, self.trained_s / 60, self._learning_rate())
        speed = meter.describe(self.config.audio_per_step_s)
        minutes = f"{self.trained_s / 60:.1f} min"
        self.report(f"step {self.step}  {minutes}  {speed}, {self.skipped} steps skipped")

    def _describe(self) -> str:
        count = sum(p.numel() for p in self.network.parameters())
        return f"{self.config.network}, {count / 1e6:.2f} M parameters on {self.device}"
