"""The training loop of every network, on CPU or CUDA, with a time budget, checkpoints and resume.

A step draws a batch, computes the inputs and fingerprints of both sides and the loss, and updates the weights
by AdamW. The learning rate rises linearly, and then falls as half a cosine to 0 at the end of the budget. The
exponential moving average of the weights is validated and exported.

Batch norms: until the last part of the run, they normalise by the batch. The averaged network gets its own
statistics, estimated through the averaged weights on training batches. When the last part begins, these
statistics are copied to the trained network and frozen. So the weights train with exactly the statistics that
are exported.

A stopped run continues from its checkpoint with the same batches, learning rates and losses as an
uninterrupted one: the checkpoint holds the time spent and the state of every random generator.
"""

import copy
import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from earprint.errors import TrainingError
from earprint.training.batch_statistics import batch_norms, copy_statistics, estimate_statistics
from earprint.training.checkpoint import (
    CHECKPOINT,
    SUMMARY,
    load_weights,
    read_checkpoint,
    save_weights,
    write_checkpoint,
)
from earprint.training.config import TrainConfig, default_config
from earprint.training.config_file import CONFIG_FILE, config_toml
from earprint.training.data import training_data
from earprint.training.grad_cache import backward_of_batch
from earprint.training.log import REPORT_EVERY_S, Meter, RunLog
from earprint.training.networks import network_spec
from earprint.training.objective import Objective
from earprint.training.tasks import Task, task_for

__all__ = ["TrainConfig", "Trainer", "default_config"]

CHECKPOINT_EVERY_S = 180.0
"""Seconds between checkpoints."""

GRADIENT_NORM = 5.0
"""Gradients are scaled down to this norm."""

MEASURE_EVERY = 16
"""On CUDA, every Nth step measures the time that its batch takes."""

STATISTICS_BATCHES = 8
"""Batches on which the statistics of the averaged network's batch norms are estimated."""

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
        Initial weights, written by `Trainer.save_weights` of an earlier run.
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
        if config.threads:
            torch.set_num_threads(config.threads)
        if device.type == "cuda":
            torch.set_float32_matmul_precision("high")  # for the loss, whose inputs come from bfloat16
            # Benchmarking convolutions pays off if all clips have one length.
            torch.backends.cudnn.benchmark = len(config.lengths_s) == 1
        spec = network_spec(config.network)
        self.task: Task = task_for(config.network, config.dim, config.query_beyond_steps)
        self.network = self.task.network.to(device)
        if device.type == "cuda" and spec.channels_last:
            self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        averaging = get_ema_multi_avg_fn(config.ema_decay)  # type: ignore[no-untyped-call]
        self.started_from: dict[str, str] | None = None
        if start_from is not None:
            load_weights(self.network, config.network, start_from, device)
            digest = hashlib.blake2b(start_from.read_bytes(), digest_size=4).hexdigest()
            self.started_from = {"weights": start_from.name, "digest": digest}
        elif spec.initial_weights is not None and not (run / CHECKPOINT).exists():
            raise TrainingError(
                f"{run}: {config.network} starts from the weights of {spec.initial_weights}; give its "
                "weights.pt with --start-from"
            )
        self.average = AveragedModel(self.network, multi_avg_fn=averaging)
        self.optimizer = torch.optim.AdamW(
            [p for p in self.network.parameters() if p.requires_grad],
            lr=config.learning_rate, weight_decay=config.weight_decay, fused=device.type == "cuda",
        )  # fmt: skip
        data = training_data(store, config, device)
        self.sampler, self.validation, self.store = data.sampler, data.validation, data.described
        self.objective = Objective(self.task, config, device, self.sampler.rng)
        self.step, self.trained_s, self.validated_s, self.skipped = 0, 0.0, 0.0, 0
        self.norms_frozen = False
        self.meter = Meter()
        self._stopping = False
        self.skipped_in_a_row = 0
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
            self.save_weights(self.run / "weights.pt")
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

        self._freeze_norms(frozen=self.progress > 1 - config.frozen_norm_share)
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()

        loss = partial(self.objective, length_s=length_s)
        self.optimizer.zero_grad(set_to_none=True)
        value = float(backward_of_batch(network, distorted, clean, loss, config.chunk))
        norm = float(nn.utils.clip_grad_norm_(network.parameters(), GRADIENT_NORM))
        self.step += 1
        if math.isfinite(norm) and math.isfinite(value):
            self.skipped_in_a_row = 0
            self.optimizer.step()
            self.average.update_parameters(network)
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

    def _freeze_norms(self, *, frozen: bool) -> None:
        """Set training mode; with ``frozen``, batch norms keep the statistics of the averaged network."""
        if frozen and not self.norms_frozen:
            copy_statistics(self.averaged_network(), self.network)
        self.norms_frozen = frozen
        self.network.train()
        if frozen:
            for norm in batch_norms(self.network):
                norm.eval()

    def averaged_network(self) -> nn.Module:
        """Return the averaged network in evaluation mode, with batch-norm statistics that fit its weights.

        Its statistics are estimated on the next training batches, which the run draws again afterwards. Once
        the norms are frozen, it has the frozen statistics, since its weights were trained with these.
        """
        network: nn.Module = self.average.module
        if self.norms_frozen:
            return network.eval()
        return estimate_statistics(network, self._next_inputs(STATISTICS_BATCHES), self.config.chunk)

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
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "validated_s": self.validated_s,
            "skipped": self.skipped,
            "norms_frozen": self.norms_frozen,
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
            "device": self.device_name(),
            "store": self.store,
            "started_from": self.started_from,
        }

    def save_weights(self, file: Path) -> None:
        """Write the averaged weights in half precision, for export and for later runs to start from."""
        save_weights(self.averaged_network(), file)

    def _resume(self) -> None:
        state: dict[str, Any] | None = read_checkpoint(self.run, self.device)
        if state is None:
            return
        try:
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
        except RuntimeError as error:
            raise TrainingError(
                f"{self.run / CHECKPOINT}: made for another network than {self.config.network}; "
                "use another folder for the run"
            ) from error
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.trained_s = state["step"], state["trained_s"]
        # Older checkpoints lack some entries.
        self.validated_s = state.get("validated_s", self.trained_s)
        self.skipped = state.get("skipped", 0)
        self.norms_frozen = state.get("norms_frozen", self.progress > 1 - self.config.frozen_norm_share)
        self.started_from = state.get("started_from", self.started_from)
        self.sampler.restore(state["sampler"])
        self.objective.restore(state)

    def _report_losses(self) -> None:
        """Log and report the steps since the last report, if there were any."""
        meter, self.meter = self.meter, Meter()
        if not meter.losses:
            return
        self.log.losses(meter, self.step, self.trained_s / 60, self._learning_rate())
        audio_s = meter.steps_per_s * self.config.audio_per_step_s
        self.report(
            f"step {self.step}  {self.trained_s / 60:.1f} min  loss {meter.loss:.4f}  "
            f"{meter.steps_per_s:.2f} steps/s  {meter.segments_per_s:.0f} segments/s  "
            f"{audio_s:.0f} s of distorted audio per s  "
            f"{100 * meter.data_share:.0f} % of the time waiting for data, {self.skipped} steps skipped"
        )

    def device_name(self) -> str:
        """Return the name of the device."""
        if self.device.type == "cuda":
            return torch.cuda.get_device_name(self.device)
        return f"CPU, {torch.get_num_threads()} threads"

    def _describe(self) -> str:
        count = sum(p.numel() for p in self.network.parameters())
        return f"{self.config.network}, {count / 1e6:.2f} M parameters on {self.device}"
