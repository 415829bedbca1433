"""The training loop: one for every encoder, on CPU or CUDA, with a time budget, checkpoints and resume.

A step draws a batch, computes spectrograms and fingerprints of both sides, contrasts them, and updates the
weights (AdamW). The learning rate rises linearly and then falls as half a cosine over the time budget, so
that a run always ends annealed, however fast the machine. An exponential moving average of the weights is
what is validated and exported. In the last part of the run the batch norms use their running statistics,
as they will after export.
"""

import csv
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from earprint.constants import FINGERPRINT_DIM
from earprint.errors import TrainingError
from earprint.train.recipes import Recipe, recipe_for
from earprint.train.sampler import PAPER_DISTORTIONS, Distortions, Sampler
from earprint.train.store import open_pack
from earprint.train.validate import Validation

CHECKPOINT_EVERY_S = 180.0
"""Seconds between checkpoints."""

GRADIENT_NORM = 5.0
"""Gradients are scaled down to this norm."""

MAX_SKIPPED_SHARE = 0.05
"""Share of steps that may be skipped for a gradient that is not finite before the run is given up."""


@dataclass(frozen=True)
class TrainConfig:
    """What a run is made of; written beside its checkpoint.

    Attributes
    ----------
    network : str
        A key of `earprint.train.networks.NETWORKS`.
    dim : int
        Components of a fingerprint.
    max_minutes : float
        Training time over all resumed runs together, in minutes; also the length of the schedule.
    max_steps : int or None
        Stop after so many steps, whatever the time.
    audio_per_step_s : float
        Distorted audio in a batch, in seconds; a batch holds fewer clips when they are longer.
    lengths_s : tuple of float
        Lengths of the distorted clips, one drawn per step.
    learning_rate, weight_decay : float
        AdamW's; the rate is the highest of the schedule.
    warmup_steps : int
    temperature : float
        Of NT-Xent.
    ema_decay : float
        Of the averaged weights, per step.
    frozen_norm_share : float
        Last share of the run in which batch norms keep their running statistics.
    validation_percent : int
        Share of groups (sources) held out of music, noise and rooms.
    validate_every_minutes : float
    seed : int
    threads : int
        CPU threads, 0 for torch's choice.
    """

    network: str = "dense"
    dim: int = FINGERPRINT_DIM
    max_minutes: float = 90.0
    max_steps: int | None = None
    audio_per_step_s: float = 120.0
    lengths_s: tuple[float, ...] = (1.0, 1.4, 2.0, 3.0)
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    warmup_steps: int = 200
    temperature: float = 0.07
    ema_decay: float = 0.998
    frozen_norm_share: float = 0.12
    validation_percent: int = 8
    validate_every_minutes: float = 12.0
    seed: int = 1
    threads: int = 0
    distortions: Distortions = field(default_factory=Distortions)


def default_config(network: str, **changes: Any) -> TrainConfig:
    """The configuration a network is best trained with here, with some fields changed."""
    if network != "dense":
        # The paper: single segments, temperature 0.1, its own distortions; the released runs: Adam at 1e-4.
        paper = {"lengths_s": (1.0,), "temperature": 0.1, "learning_rate": 5e-4,
                 "warmup_steps": 100, "ema_decay": 0.99, "distortions": PAPER_DISTORTIONS}  # fmt: skip
        changes = {**paper, **changes}
    return TrainConfig(network=network, **changes)


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
    """

    def __init__(
        self,
        store: Path,
        run: Path,
        config: TrainConfig,
        device: torch.device,
        report: Callable[[str], None],
        start_from: Path | None = None,
    ) -> None:
        self.run, self.config, self.device, self.report = run, config, device, report
        torch.manual_seed(config.seed)
        if config.threads:
            torch.set_num_threads(config.threads)
        self.recipe: Recipe = recipe_for(config.network, config.dim)
        self.network = self.recipe.network.to(device)
        averaging = get_ema_multi_avg_fn(config.ema_decay)  # type: ignore[no-untyped-call]
        if start_from is not None:
            self._load_weights(start_from)
        self.average = AveragedModel(self.network, multi_avg_fn=averaging)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        splits = {
            kind: open_pack(store, kind).split(config.validation_percent)
            for kind in ("music", "noise", "rooms")
        }
        (music, music_held), (noise, noise_held), (rooms, rooms_held) = splits.values()
        self.sampler = Sampler(music, noise, rooms, config.distortions, device, config.seed)
        self.validation: Validation | None = None
        if music_held.items and noise_held.items and rooms_held.items:
            self.validation = Validation(music_held, noise_held, rooms_held)
        self.store = {
            kind: {"items": len(a.items), "held_out": len(b.items)} for kind, (a, b) in splits.items()
        }
        self.step, self.trained_s, self.skipped = 0, 0.0, 0
        run.mkdir(parents=True, exist_ok=True)
        self._resume()
        (run / "config.json").write_text(json.dumps(asdict(config), indent=1), encoding="utf-8")

    @property
    def progress(self) -> float:
        """Share of the run that is done, by time or steps, whichever is further."""
        by_time = self.trained_s / (60 * self.config.max_minutes)
        by_steps = self.step / self.config.max_steps if self.config.max_steps else 0.0
        return min(1.0, max(by_time, by_steps))

    def train(self) -> None:
        """Train until the budget is spent."""
        started = last_save = last_report = time.monotonic()
        before_s, data_s, losses = self.trained_s, 0.0, []
        validated_s = self.trained_s
        self.report(f"{self._describe()}; from step {self.step}, {before_s / 60:.1f} min")
        while self.progress < 1.0:
            losses.append(self._one_step())
            data_s += self._last_data_s
            now = time.monotonic()
            self.trained_s = before_s + now - started
            if now - last_report > 20 or self.progress >= 1.0:
                row = self._log(losses, now - last_report, data_s)
                self.report(row)
                last_report, data_s, losses = now, 0.0, []
            if now - last_save > CHECKPOINT_EVERY_S:
                self.save()
                last_save = now
            if self.trained_s - validated_s > 60 * self.config.validate_every_minutes:
                self.validate()
                validated_s = self.trained_s
        self.save()
        self.save_weights(self.run / "weights.pt")
        self.validate()

    def _one_step(self) -> float:
        config, network = self.config, self.network
        start = time.monotonic()
        length_s = config.lengths_s[self.sampler.rng.integers(len(config.lengths_s))]
        clips = max(2, round(config.audio_per_step_s / length_s))
        with torch.no_grad():
            batch = self.sampler.draw(min(clips, len(self.sampler.music.items)), length_s)
            clean, distorted = self.recipe.inputs(batch)
        self._last_data_s = time.monotonic() - start

        network.train()
        if self.progress > 1 - config.frozen_norm_share:
            for module in network.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            loss_inputs = network(distorted), network(clean)
        loss = self.recipe.loss(*loss_inputs, length_s, config.temperature)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = float(nn.utils.clip_grad_norm_(network.parameters(), GRADIENT_NORM))
        value = float(loss.detach())
        self.step += 1
        if not (math.isfinite(norm) and math.isfinite(value)):
            # Some CPUs' bf16 convolutions now and then return garbage in one weight's gradient.
            self.skipped += 1
            if self.skipped > MAX_SKIPPED_SHARE * self.step + 10:
                raise TrainingError(f"{self.run}: the loss became {value}; lower --learning-rate")
            return value
        self.optimizer.step()
        self.average.update_parameters(network)
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
        if self.validation is None:
            return {}
        with torch.no_grad():
            scores = self.validation.measure(self.averaged_network(), self.recipe, self.device)
        shown = ", ".join(f"{name} {100 * value:.1f}" for name, value in scores.items())
        self.report(f"step {self.step} validation hits % ({self.validation.describe()}): {shown}")
        with (self.run / "validation.jsonl").open("a", encoding="utf-8") as sink:
            sink.write(json.dumps({"step": self.step, "minutes": self.trained_s / 60, **scores}) + "\n")
        return scores

    def save(self) -> None:
        """Write the checkpoint; an interrupted write leaves the old one."""
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "trained_s": self.trained_s,
            "sampler": self.sampler.state(),
            "config": json.dumps(asdict(self.config)),
            "device": self.device_name(),
            "store": self.store,
        }
        temporary = self.run / "checkpoint.tmp"
        torch.save(state, temporary)
        temporary.replace(self.run / "checkpoint.pt")

    def save_weights(self, file: Path) -> None:
        """Write the averaged weights alone, in half precision: a small file for a later run to begin with."""
        weights = self.averaged_network().state_dict()
        halved = {key: value.half() if value.is_floating_point() else value for key, value in weights.items()}
        torch.save(halved, file)

    def _load_weights(self, file: Path) -> None:
        try:
            weights = torch.load(file, map_location=self.device, weights_only=True)
            self.network.load_state_dict(weights)
        except Exception as error:  # the unpickler raises anything on a file that is none
            reason = str(error).partition("\n")[0]
            raise TrainingError(
                f"{file}: no weights of a {self.config.network} network ({reason}); name another file"
            ) from error

    def _resume(self) -> None:
        file = self.run / "checkpoint.pt"
        if not file.exists():
            return
        state: dict[str, Any] = torch.load(file, map_location=self.device, weights_only=True)
        try:
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
        except RuntimeError as error:
            raise TrainingError(
                f"{file}: made for another network than {self.config.network}; use another --run folder"
            ) from error
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.trained_s = state["step"], state["trained_s"]
        self.sampler.restore(state["sampler"])

    def _log(self, losses: list[float], elapsed_s: float, data_s: float) -> str:
        loss, rate = float(np.nanmean(losses)), len(losses) / elapsed_s
        audio = rate * self.config.audio_per_step_s
        file = self.run / "log.csv"
        new = not file.exists()
        with file.open("a", encoding="utf-8", newline="") as sink:
            writer = csv.writer(sink)
            if new:
                writer.writerow(["step", "minutes", "loss", "learning_rate", "steps_per_s"])
            writer.writerow([self.step, f"{self.trained_s / 60:.2f}", f"{loss:.4f}",
                             f"{self._learning_rate():.2e}", f"{rate:.3f}"])  # fmt: skip
        return (
            f"step {self.step}  {self.trained_s / 60:.1f} min  loss {loss:.4f}  "
            f"{rate:.2f} steps/s  {audio:.0f} s of distorted audio per s  "
            f"{100 * data_s / elapsed_s:.0f} % of the time on data, {self.skipped} steps skipped"
        )

    def device_name(self) -> str:
        """What it trains on, for the record."""
        if self.device.type == "cuda":
            return torch.cuda.get_device_name(self.device)
        return f"CPU, {torch.get_num_threads()} threads"

    def _describe(self) -> str:
        count = sum(p.numel() for p in self.network.parameters())
        return f"{self.config.network}, {count / 1e6:.2f} M parameters on {self.device}"
