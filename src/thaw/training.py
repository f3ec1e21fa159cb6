"""The training loop: a generator of epochs, on Accelerate, resumable bit for bit at epoch boundaries."""

import json
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from tqdm.auto import tqdm

from thaw import checkpoint
from thaw.config import SAMPLING, Config
from thaw.data import ImageSet, load
from thaw.errors import ThawError
from thaw.features import Judge
from thaw.figures import save_grid
from thaw.files import write_text
from thaw.metrics import score_model
from thaw.model import Model, build_network, build_process
from thaw.optimisers import build_optimiser
from thaw.pixels import to_uint8
from thaw.process import Draws, Process
from thaw.seeding import derive, generator
from thaw.terminal import Terminal, fit_terminal


@dataclass
class Epoch:
    """What `train` yields after each epoch (and once before the first, as epoch 0).

    Attributes:
        epoch: passes over the training set so far.
        record: the line of metrics.jsonl: loss, learning rate, images per second, scores.
        model: the averaged model, ready to sample from; valid until the next epoch.
        path: the checkpoint, or None where none was written.
    """

    epoch: int
    record: dict[str, Any]
    model: Model
    path: Path | None

    def __str__(self) -> str:
        line = f"epoch {self.epoch:4d}"
        if "loss" in self.record:
            line += f"   loss {self.record['loss']:.4f}   {self.record['images_per_second']:.0f} images/s"
        if "fid" in self.record:
            line += (
                f"   FID {self.record['fid']:.2f} (real images {self.record['fid_floor']:.2f}, n = {self.record['n']})"
            )
        return line


def learning_rate(config: Config, step: float, total: int) -> float:
    """Return the learning rate at a step: linear warm-up, then a half cosine to zero (or constant)."""
    warmup = max(1, round(config.warmup * total))
    rise = min(1.0, (step + 1) / warmup)
    if config.lr_decay == "none":
        return config.lr * rise
    progress = max(0.0, (step - warmup) / max(1, total - warmup))
    return config.lr * rise * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def average(network: nn.Module, decay: float) -> AveragedModel:
    """Return an exponential moving average of a network.

    The decay starts small, min(decay, (1 + n) / (10 + n)) after n updates, so that a short run is
    not dominated by its random initial weights.
    """

    @torch.no_grad()
    def update(averaged: list[Tensor], current: list[Tensor], n: Tensor) -> None:
        count = int(n)
        keep = min(decay, (1 + count) / (10 + count)) if decay else 0.0
        torch._foreach_lerp_(averaged, current, 1.0 - keep)

    return AveragedModel(network, multi_avg_fn=update)


class Trainer:
    """State of one run: network, average, optimiser, and the epoch they stand at."""

    def __init__(self, config: Config, images: ImageSet, run: Path, judge: Judge | None = None) -> None:
        torch.set_num_threads(config.threads)
        self.config, self.images, self.run, self.judge = config, images, run, judge
        if AcceleratorState._shared_state and AcceleratorState().mixed_precision != config.mixed_precision:
            AcceleratorState._reset_state()  # a notebook may train in one precision after another
        self.accelerator = Accelerator(mixed_precision=config.mixed_precision)
        self.process: Process = build_process(config, images.shape)
        self.terminal = self._terminal()
        self.process.to(self.accelerator.device)
        torch.manual_seed(derive(config.seed, "weights"))
        network = build_network(config, images.shape, images.classes)
        device = self.accelerator.device
        optimiser = build_optimiser(network, config.optimiser, config.lr, config.weight_decay, device)
        self.network, self.optimiser = self.accelerator.prepare(network, optimiser)
        self.bare = self.accelerator.unwrap_model(self.network)
        self.ema = average(self.bare, config.ema)
        self.batches = max(1, len(images) // config.batch_size)
        self.epoch, self.seconds, self.seen, self.records = 0, 0.0, 0, []

    @property
    def total(self) -> int:
        """Optimiser steps in the whole run."""
        return self.batches * self.config.epochs

    @property
    def done(self) -> bool:
        """Whether all epochs, or the time, are used up."""
        return self.epoch >= self.config.epochs or self.share_of_time() >= 1.0

    def share_of_time(self, running: float = 0.0) -> float:
        """Return how much of `minutes` is used, `running` seconds of this epoch included; 0 without a limit.

        Several processes must agree on it, or one would wait for the others' gradients for ever.
        """
        if self.config.minutes is None:
            return 0.0
        share = (self.seconds + running) / (60 * self.config.minutes)
        if self.accelerator.num_processes == 1:
            return share
        return float(self.accelerator.reduce(torch.tensor(share, device=self.accelerator.device), "mean"))

    def _terminal(self) -> Terminal:
        path = self.run / "terminal.pt"
        if path.is_file() and checkpoint.list_checkpoints(self.run):  # else it may be another experiment's
            return Terminal.from_state(checkpoint.load_tensors(path))
        terminal = fit_terminal(
            self.process.degradation, self.images, self.config.terminal_components, self.config.seed
        )  # fmt: skip
        checkpoint.save_tensors(path, terminal.state())
        return terminal

    def model(self) -> Model:
        """Return the averaged model."""
        network = self.ema.module.eval()
        info = {"seconds": self.seconds, "device": str(self.accelerator.device)}
        return Model(self.config, self.process, network, self.terminal, self.images.classes, self.epoch, info)

    def step(self, chosen: Tensor, draws: Draws, dropped: Tensor, number: float) -> Tensor:
        """Take one optimiser step on a global batch; each process takes its share.  Returns the loss.

        `number` is how many of `total` steps lie behind, as far as the learning rate is concerned.
        """
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        device = self.accelerator.device
        mine = slice(rank, None, world)
        x0 = self.images.pixels(chosen[mine]).to(device)
        y = torch.where(dropped, self.images.classes, self.images.labels[chosen])[mine].to(device)
        draws = Draws(*(None if part is None else part[mine].to(device) for part in draws))
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.config, number, self.total)
        with self.accelerator.autocast():
            loss = self.process.loss(self.network, x0, y, draws)
        self.optimiser.zero_grad()
        self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(self.network.parameters(), self.config.clip)
        self.optimiser.step()
        self.ema.update_parameters(self.bare)
        return loss.detach()

    def run_epoch(self, bar: tqdm) -> dict[str, Any]:
        """Train for one epoch, or until the time is up; every random number derives from (seed, purpose, epoch)."""
        config, size = self.config, self.config.batch_size
        order = torch.randperm(len(self.images), generator=generator(config.seed, "order", self.epoch))
        draws = generator(config.seed, "noise", self.epoch)
        torch.manual_seed(derive(config.seed, "dropout", self.epoch))
        self.network.train()
        started, total_loss = time.perf_counter(), torch.zeros((), device=self.accelerator.device)
        taken, number = 0, 0.0
        for index in range(self.batches):
            share = self.share_of_time(time.perf_counter() - started)
            if share >= 1.0 and index:
                break
            number = max(self.epoch * self.batches + index, share * self.total)
            chosen = order[index * size : (index + 1) * size]
            dropped = torch.rand(len(chosen), generator=draws) < config.label_dropout
            batch = self.process.draw(len(chosen), draws)
            total_loss += self.step(chosen, batch, dropped, number)
            taken += 1
            bar.update(len(chosen))
            if share:
                bar.total = round(bar.n / share)  # how many images the time will be enough for
        loss = float(self.accelerator.reduce(total_loss, "mean")) / taken
        seconds = time.perf_counter() - started
        if not math.isfinite(loss):
            raise ThawError(f"the loss is {loss} in epoch {self.epoch + 1}; lower lr={config.lr:g} and train again")
        self.epoch += 1
        self.seconds += seconds
        self.seen += taken * size
        rate = {"images_per_second": round(taken * size / seconds, 1)}
        return {"loss": loss, "lr": learning_rate(config, number, self.total), "images": self.seen, **rate}

    def report(self, record: dict[str, Any]) -> dict[str, Any]:
        """Write samples and scores where they are due, and the line of metrics.jsonl; returns that line."""
        config, model = self.config, self.model()
        record = {"epoch": self.epoch, "seconds": round(self.seconds, 2)} | record
        last = self.done
        if self.due(config.sample_every, last):
            y = model.labels(8 * min(10, max(1, self.images.classes)))
            save_grid(
                self.run / "samples" / f"epoch_{self.epoch:04d}.png", to_uint8(model.sample(y)), columns=len(y) // 8,
                origin={"run": self.run.name, "epoch": self.epoch},
            )  # fmt: skip
        if self.judge and self.due(config.evaluate_every, last):
            scores = score_model(model, self.judge, config.evaluate_n, seed=config.seed)
            record |= {name: round(score.value, 6) for name, score in scores.items()}
            record |= {"n": config.evaluate_n, "fid_floor": round(scores["fid"].floor, 6)}
        self.records.append(record)
        return record

    def due(self, every: int, last: bool) -> bool:
        """Tell whether something done every so many epochs is due now."""
        return every > 0 and (self.epoch % every == 0 or last)

    def save(self) -> Path:
        """Write the checkpoint of this epoch; drop the previous one unless it is one to keep."""
        states = {
            "model": self.bare.state_dict(),
            "ema": self.ema.module.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "rng": {"torch": torch.get_rng_state(), "averaged": self.ema.n_averaged},
        }
        context = {"epoch": self.epoch, "images": self.seen, "seconds": self.seconds}
        context |= {"shape": list(self.images.shape), "classes": self.images.classes, "records": self.records}
        performance = {"images_per_second": self.records[-1].get("images_per_second"), "seconds": self.seconds}
        performance |= {"device": str(self.accelerator.device), "threads": torch.get_num_threads()}
        older = checkpoint.list_checkpoints(self.run)
        path = checkpoint.save_checkpoint(self.run, self.epoch, self.config, states, context, performance)
        self.write_metrics()
        for previous in older[-1:]:
            if checkpoint.epoch_of(previous) % self.config.save_every and previous != path:
                checkpoint.remove_checkpoint(previous)
        return path

    def write_metrics(self) -> None:
        """Write metrics.jsonl, one line an epoch."""
        write_text(self.run / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in self.records))

    def resume(self) -> bool:
        """Load the newest complete checkpoint of the run, if any; a `ThawError` if it is another experiment's."""
        found = checkpoint.list_checkpoints(self.run)
        if not found:
            return False
        config, states, context = checkpoint.load_checkpoint(found[-1])
        differing = _differences(config, self.config)
        if differing:
            raise ThawError(
                f"{self.run} holds a run with other settings ({differing}); choose another run directory or remove it"
            )
        self.bare.load_state_dict(states["model"])
        self.ema.module.load_state_dict(states["ema"])
        self.optimiser.load_state_dict(states["optimiser"])
        self.ema.n_averaged.copy_(states["rng"]["averaged"])
        torch.set_rng_state(states["rng"]["torch"])
        self.epoch, self.seconds, self.records = context["epoch"], context["seconds"], context["records"]
        self.seen = context["images"]
        self.write_metrics()  # the process may have died between checkpoint and metrics
        return True


def _differences(old: Config, new: Config) -> str:
    """Name the settings that differ and matter; how long, and how often to save, may change."""
    free = {"epochs", "minutes", "save_every", "sample_every", "evaluate_every", "evaluate_n", "threads", *SAMPLING}
    changed = [k for k, v in old.model_dump().items() if k not in free and v != getattr(new, k)]
    return ", ".join(f"{k}: {getattr(old, k)!r} there, {getattr(new, k)!r} here" for k in changed[:3])


def train(
    config: Config,
    run: str | Path | None = None,
    *,
    judge: Judge | None = None,
    progress: bool | None = None,
    position: int = 0,
) -> Iterator[Epoch]:
    """Train, yielding after every epoch; a run directory that was started before is continued.

    Args:
        config: the experiment.
        run: run directory; `contents/runs/<run name>` by default.
        judge: scores samples every `evaluate_every` epochs; None for training only.
        progress: show one progress bar over all steps, with images per second; by default unless the
            notebook runs headlessly.
        position: line of the progress bar, where several processes show one each.

    Yields:
        `Epoch`s, from epoch 0 (random weights) or from the epoch after the newest checkpoint.
    """
    run = checkpoint.prepare_run(Path(run) if run else checkpoint.RUNS / config.run_name)
    images = load(config.data, "train")
    if config.limit is not None:
        images = images.subset(min(config.limit, len(images)), config.seed)
    trainer = Trainer(config, images, run, judge)
    if not trainer.resume():
        record = trainer.report({})
        yield Epoch(0, record, trainer.model(), trainer.save())
    progress = "THAW_HEADLESS" not in os.environ if progress is None else progress
    shown = trainer.batches * config.batch_size
    total, initial = config.epochs * shown, trainer.seen
    with tqdm(
        total=total, initial=initial, disable=not progress, unit="img", unit_scale=True, mininterval=2,
        desc=f"training {config.label}", position=position,
    ) as bar:  # fmt: skip
        while not trainer.done:
            record = trainer.report(trainer.run_epoch(bar))
            bar.set_postfix(epoch=trainer.epoch, loss=f"{record['loss']:.4f}")
            yield Epoch(trainer.epoch, record, trainer.model(), trainer.save())
