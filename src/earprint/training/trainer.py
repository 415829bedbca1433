"""The training loop: one for every encoder, on CPU or CUDA, with a time budget, checkpoints and resume.

A step draws a batch, computes spectrograms and fingerprints of both sides, contrasts them, and updates the
weights (AdamW). The learning rate rises linearly and then falls as half a cosine over the budget, so that a
run always ends annealed, however fast the machine. An exponential moving average of the weights is what is
validated and exported. In the last part of the run the batch norms use their running statistics, as they
will after export.

A run that was stopped goes on from its checkpoint with the same batches, rates and losses as if it had not
been: the checkpoint holds the time spent and the state of everything that draws at random.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from earprint.errors import TrainingError
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
from earprint.training.objective import Contrast
from earprint.training.recipes import Recipe, recipe_for

__all__ = ["TrainConfig", "Trainer", "default_config"]

CHECKPOINT_EVERY_S = 180.0
"""Seconds between checkpoints."""

GRADIENT_NORM = 5.0
"""Gradients are scaled down to this norm."""

MEASURE_EVERY = 16
"""Steps on CUDA of which one tells how long the data took."""

TAUGHT = {
    "dense-query": "what another network stores",
    "dense-distilled": "the queries' network of a pair",
}
"""Networks that cannot begin from nothing, and what they need to see."""

MAX_SKIPPED_SHARE = 0.05
"""Share of steps that may be skipped for a gradient that is not finite before the run is given up."""


class Trainer:
    """One run, resumable.

    Parameters
    ----------
    store : Path
        Made by `earprint train pack`.
    run : Path
        Folder of the checkpoint, the configuration and the log; a checkpoint in it is resumed.
    config : TrainConfig
    device : torch.device
    report : callable
        Told one line of progress at a time.
    start_from : Path, optional
        Weights of an earlier run (`Trainer.save_weights`) that a new run begins with.
    tensorboard : bool
        Log for TensorBoard too.

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
    ) -> None:
        self.run, self.config, self.device, self.report = run, config, device, report
        torch.manual_seed(config.seed)
        if config.threads:
            torch.set_num_threads(config.threads)
        if device.type == "cuda":
            torch.set_float32_matmul_precision("high")  # of the loss, whose inputs came from bfloat16
            # Trying all ways of a convolution pays where they are few: clips of one length.
            torch.backends.cudnn.benchmark = len(config.lengths_s) == 1
        self.recipe: Recipe = recipe_for(config.network, config.dim, config.query_beyond_steps)
        self.network = self.recipe.network.to(device)
        if device.type == "cuda" and self.recipe.channels_last:
            self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        averaging = get_ema_multi_avg_fn(config.ema_decay)  # type: ignore[no-untyped-call]
        self.started_from: dict[str, str] | None = None
        if start_from is not None:
            load_weights(self.network, config.network, start_from, device)
            digest = hashlib.blake2b(start_from.read_bytes(), digest_size=4).hexdigest()
            self.started_from = {"weights": start_from.name, "digest": digest}
        elif config.network in TAUGHT and not (run / CHECKPOINT).exists():
            raise TrainingError(
                f"{run}: {config.network} is trained to match {TAUGHT[config.network]}; give its weights.pt "
                "with --start-from"
            )
        self.average = AveragedModel(self.network, multi_avg_fn=averaging)
        self.optimizer = torch.optim.AdamW(
            [p for p in self.network.parameters() if p.requires_grad],
            lr=config.learning_rate, weight_decay=config.weight_decay, fused=device.type == "cuda",
        )  # fmt: skip
        data = training_data(store, config, device)
        self.sampler, self.validation, self.store = data.sampler, data.validation, data.described
        self.contrast = Contrast(self.recipe, config, device, self.sampler.rng)
        self.step, self.trained_s, self.validated_s, self.skipped = 0, 0.0, 0.0, 0
        self.meter = Meter()
        self._stopping = False
        run.mkdir(parents=True, exist_ok=True)
        self._resume()
        self.log = RunLog(run, self.step, report, tensorboard=tensorboard)
        (run / CONFIG_FILE).write_text(config_toml(config), encoding="utf-8")

    @property
    def progress(self) -> float:
        """Share of the run that is done, by time or steps, whichever is further."""
        minutes, steps = self.config.max_minutes, self.config.max_steps
        by_time = self.trained_s / (60 * minutes) if minutes is not None else 0.0
        by_steps = self.step / steps if steps is not None else 0.0
        return min(1.0, max(by_time, by_steps))

    def stop(self) -> None:
        """Let `train` end after the step it is in, with a checkpoint; may be called in a signal handler."""
        self._stopping = True

    def train(self) -> bool:
        """Train until the budget is spent or `stop` is called.

        Returns
        -------
        bool
            Whether the budget is spent.
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
            if now - last_report > REPORT_EVERY_S:
                self._report_losses()
                last_report = now
            if now - last_save > CHECKPOINT_EVERY_S:
                self.save()
                last_save = now
            if self.trained_s - self.validated_s > 60 * self.config.validate_every_minutes:
                self.validated_s = self.trained_s
                self.validate()
        self._report_losses()
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
        """Draw a batch and learn from it; gives the loss."""
        config, network = self.config, self.network
        start = time.monotonic()
        length_s = config.lengths_s[self.sampler.rng.integers(len(config.lengths_s))]
        clips = max(2, round(config.audio_per_step_s / length_s))
        with torch.no_grad():
            clips = min(clips, config.clips_per_track * len(self.sampler.music.items))
            batch = self.sampler.draw(clips, length_s, config.clips_per_track)
            clean, distorted = self.recipe.inputs(batch)
        # CUDA only queues what it is told, so the clock would lie; waiting costs time: now and then will do.
        measured = self.device.type != "cuda" or self.step % MEASURE_EVERY == 0
        if measured and self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        data_s = time.monotonic() - start if measured else None

        network.train()
        if self.progress > 1 - config.frozen_norm_share:
            for module in network.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()

        loss = partial(self.contrast, length_s=length_s)
        self.optimizer.zero_grad(set_to_none=True)
        value = float(backward_of_batch(network, distorted, clean, loss, config.chunk))
        norm = float(nn.utils.clip_grad_norm_(network.parameters(), GRADIENT_NORM))
        self.step += 1
        if math.isfinite(norm) and math.isfinite(value):
            self.optimizer.step()
            self.average.update_parameters(network)
        else:
            # Some CPUs' bf16 convolutions now and then return garbage in one weight's gradient.
            self.skipped += 1
            if self.skipped > MAX_SKIPPED_SHARE * self.step + 10:
                raise TrainingError(f"{self.run}: the loss became {value}; lower --learning-rate")
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        segments = len(distorted) * self.recipe.positions(length_s)
        self.meter.add(value, segments, data_s, time.monotonic() - start)
        return value

    def _learning_rate(self) -> float:
        warm = min(1.0, (self.step + 1) / self.config.warmup_steps)
        return self.config.learning_rate * warm * (0.5 + 0.5 * math.cos(math.pi * self.progress))

    def averaged_network(self) -> nn.Module:
        """The averaged weights with the current batch-norm statistics, in evaluation mode."""
        network: nn.Module = self.average.module
        own = dict(self.network.named_buffers())
        for name, buffer in network.named_buffers():
            buffer.copy_(own[name])
        return network.eval()

    def validate(self) -> dict[str, float]:
        """Report how often held-out queries find their place among held-out references."""
        scores: dict[str, float] = {}
        if self.validation is not None:
            with torch.no_grad():
                scores = self.validation.measure(self.averaged_network(), self.recipe, self.device)
            shown = ", ".join(f"{name} {100 * value:.1f}" for name, value in scores.items())
            self.report(f"step {self.step} validation hits % ({self.validation.describe()}): {shown}")
            self.log.validation(scores, self.step, self.trained_s / 60)
        self.log.draw()
        return scores

    def save(self) -> None:
        """Write the checkpoint; an interrupted write leaves the old one."""
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "validated_s": self.validated_s,
            "skipped": self.skipped,
            "sampler": self.sampler.state(),
            **self.contrast.state(),
            **self._summary(),
        }
        write_checkpoint(self.run, state)

    def _summary(self) -> dict[str, Any]:
        """What a model's card tells of its run."""
        return {
            "step": self.step,
            "trained_s": self.trained_s,
            "config": json.dumps(self.config.to_dict()),
            "device": self.device_name(),
            "store": self.store,
            "started_from": self.started_from,
        }

    def save_weights(self, file: Path) -> None:
        """Write the averaged weights alone, in half precision: a small file for a later run to begin with."""
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
        self.validated_s = state.get("validated_s", self.trained_s)  # the first checkpoints had none
        self.skipped = state.get("skipped", 0)
        self.started_from = state.get("started_from", self.started_from)
        self.sampler.restore(state["sampler"])
        self.contrast.restore(state)

    def _report_losses(self) -> None:
        """Log and report what happened since the last time, if anything did."""
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
        """What it trains on, for the record."""
        if self.device.type == "cuda":
            return torch.cuda.get_device_name(self.device)
        return f"CPU, {torch.get_num_threads()} threads"

    def _describe(self) -> str:
        count = sum(p.numel() for p in self.network.parameters())
        return f"{self.config.network}, {count / 1e6:.2f} M parameters on {self.device}"
