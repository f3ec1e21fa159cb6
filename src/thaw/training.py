"""The training loop: a generator of epochs, on Accelerate, resumable bit for bit."""

import contextlib
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
from torch import Tensor
from tqdm.auto import tqdm

from thaw import reporting, resume
from thaw.config import Config
from thaw.data import ImageSet
from thaw.errors import ThawError
from thaw.features import Judge
from thaw.figures import save_grid
from thaw.folder import load_data
from thaw.model import Model, build_network, build_process
from thaw.optimisers import average, build_optimiser, learning_rate
from thaw.process import Draws, Process
from thaw.runs import RUNS, holding
from thaw.seeding import derive, generator


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
        return f"epoch {self.epoch:4d}{reporting.describe(self.record)}"


class Trainer:
    """State of one run: network, average, optimiser, and the epoch they stand at."""

    def __init__(self, config: Config, images: ImageSet, run: Path, judge: Judge | None = None) -> None:
        torch.set_num_threads(config.threads)
        self.config, self.images, self.run, self.judge = config, images, run, judge
        if AcceleratorState._shared_state and AcceleratorState().mixed_precision != config.mixed_precision:
            AcceleratorState._reset_state()  # a notebook may train in one precision after another
        self.accelerator = Accelerator(mixed_precision=config.mixed_precision)
        self.process: Process = build_process(config, images.shape)
        self.terminal, self.coder = resume.run_terminal(self), resume.run_coder(self)
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
        # Within an epoch: steps and seconds behind, the sum of their losses, the generator of their draws.
        self.index, self.running, self.number = 0, 0.0, 0.0
        self.loss = torch.zeros((), device=self.accelerator.device)
        self.noise = torch.Generator()

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

    def model(self) -> Model:
        """Return the averaged model."""
        network = self.ema.module.eval()
        info = {"seconds": self.seconds, "device": str(self.accelerator.device)}
        parts = (self.config, self.process, network, self.terminal)
        return Model(*parts, self.images.classes, self.epoch, info, self.coder)

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

    def run_epoch(self, bar: tqdm, interrupts: resume.Interrupts) -> bool:
        """Train to the end of the epoch, or until the time is up or an interrupt asks to stop.

        Every random number derives from (seed, purpose, epoch).

        Returns:
            False if it was interrupted; `save_within` then keeps what was done.
        """
        config, size = self.config, self.config.batch_size
        order = torch.randperm(len(self.images), generator=generator(config.seed, "order", self.epoch))
        if not self.index:
            self.running, self.loss = 0.0, torch.zeros_like(self.loss)
            self.noise = generator(config.seed, "noise", self.epoch)
            torch.manual_seed(derive(config.seed, "dropout", self.epoch))
        self.network.train()
        started = time.perf_counter() - self.running
        saved = self.running
        for index in range(self.index, self.batches):
            self.running = time.perf_counter() - started
            share = self.share_of_time(self.running)
            if share >= 1.0 and index:
                break
            if interrupts.asked is not None:
                return False
            if index and self.running - saved > 60 * config.save_minutes:
                self.save_within()
                saved = self.running
            self.number = max(self.epoch * self.batches + index, share * self.total)
            chosen = order[index * size : (index + 1) * size]
            dropped = torch.rand(len(chosen), generator=self.noise) < config.label_dropout
            batch = self.process.draw(len(chosen), self.noise)
            self.loss += self.step(chosen, batch, dropped, self.number)
            self.index = index + 1
            bar.update(len(chosen))
            if share:
                bar.total = round(bar.n / share)  # how many images the time will be enough for
        self.running = time.perf_counter() - started
        return True

    def check_loss(self) -> None:
        """Raise a `ThawError` if this epoch diverged: nothing of it is to be kept."""
        loss = float(self.loss)
        if not math.isfinite(loss):
            raise ThawError(
                f"the loss is {loss} in epoch {self.epoch + 1}; lower lr={self.config.lr:g} and train again"
            )

    def save_within(self) -> Path:
        """Write a checkpoint within the epoch, after its first `index` steps."""
        self.check_loss()
        return resume.save(self, self.index)

    def end_epoch(self) -> dict[str, Any]:
        """Count the epoch as complete and return its loss, learning rate and speed."""
        self.check_loss()
        taken, size = self.index, self.config.batch_size
        loss = float(self.accelerator.reduce(self.loss, "mean")) / taken
        self.epoch += 1
        self.seconds += self.running
        self.seen += taken * size
        self.index = 0
        rate = {"images_per_second": round(taken * size / self.running, 1)}
        return {"loss": loss, "lr": learning_rate(self.config, self.number, self.total), "images": self.seen, **rate}

    def report(self, record: dict[str, Any]) -> dict[str, Any]:
        """Write samples and scores where they are due, and the line of metrics.jsonl; returns that line."""
        config, model = self.config, self.model()
        record = {"epoch": self.epoch, "seconds": round(self.seconds, 2)} | record
        last = self.done
        if self.due(config.sample_every, last):
            pictures, columns = reporting.pictures(model)
            path = self.run / "samples" / f"epoch_{self.epoch:04d}.png"
            save_grid(path, pictures, columns, origin={"run": self.run.name, "epoch": self.epoch})
        if self.scored and self.due(config.evaluate_every, last):
            record |= reporting.scores(model, self.judge)
        self.records.append(record)
        return record

    def due(self, every: int, last: bool, ahead: int = 0) -> bool:
        """Tell whether something done every so many epochs is due now, or so many epochs ahead."""
        return every > 0 and ((self.epoch + ahead) % every == 0 or last)

    @property
    def scored(self) -> bool:
        """Whether there is something to score by: a judge, or the originals of reconstructions."""
        return self.judge is not None or self.config.study == "autoencoder"

    def report_takes_time(self) -> bool:
        """Tell whether samples or scores follow the epoch that ends now."""
        last = self.epoch + 1 >= self.config.epochs or self.config.minutes is not None
        scored = self.scored and self.due(self.config.evaluate_every, last, ahead=1)
        return scored or self.due(self.config.sample_every, last, ahead=1)


def train(
    config: Config,
    run: str | Path | None = None,
    *,
    judge: Judge | None = None,
    progress: bool | None = None,
    position: int = 0,
) -> Iterator[Epoch]:
    """Train, yielding after every epoch; a run directory that was started before is continued.

    The process may be killed at any moment: the same call goes on, to the same weights bit for bit on
    a CPU, from the newest checkpoint. Ctrl-C (or SIGTERM) writes one within the epoch first.

    Args:
        config: the experiment.
        run: run directory; `contents/runs/<run name>` by default.
        judge: scores samples every `evaluate_every` epochs; None for training only.
        progress: show one progress bar over all steps, with images per second; by default unless the
            notebook runs headlessly.
        position: line of the progress bar, where several processes show one each.

    Yields:
        `Epoch`s, from epoch 0 (random weights) or from the epoch after the newest checkpoint.

    Raises:
        ThawError: if the data set is missing, the run directory cannot be written, is another
            experiment's or in use by another process, or the loss is not finite.
    """
    run = Path(run) if run else RUNS / config.run_name
    images = load_data(config, "train")
    if config.limit is not None:
        images = images.subset(min(config.limit, len(images)), config.seed)
    first = os.environ.get("RANK", "0") == "0"  # of several processes that train one model
    with holding(run) if first else contextlib.nullcontext():
        trainer = Trainer(config, images, run, judge)
        if not resume.resume(trainer):
            record = trainer.report({})
            yield Epoch(0, record, trainer.model(), resume.save(trainer))
        progress = "THAW_HEADLESS" not in os.environ if progress is None else progress
        shown = trainer.batches * config.batch_size
        with tqdm(
            total=config.epochs * shown, initial=trainer.seen + trainer.index * config.batch_size,
            disable=not progress, unit="img", unit_scale=True, mininterval=2,
            desc=f"training {config.label}", position=position,
        ) as bar:  # fmt: skip
            while not trainer.done:
                yield _next_epoch(trainer, bar)


def _next_epoch(trainer: Trainer, bar: tqdm) -> Epoch:
    """Train, report and save one epoch; an interrupt leaves a checkpoint of what was done and is raised."""
    alone = trainer.accelerator.num_processes == 1  # several would stop at different steps and wait for each other
    with resume.Interrupts(alone) as interrupts:
        finished = trainer.run_epoch(bar, interrupts)
        stopping = not finished or interrupts.asked is not None
        path = None
        if trainer.index and (stopping or trainer.report_takes_time()):
            path = trainer.save_within()
    if interrupts.asked is not None:
        kept = path or trainer.run / ".latest"
        print(
            f"\nStopped in epoch {trainer.epoch + 1}; {kept} has it all, and training again goes on there.", flush=True
        )
        interrupts.act()
    record = trainer.report(trainer.end_epoch())
    bar.set_postfix(epoch=trainer.epoch, loss=f"{record['loss']:.4f}")
    with resume.Interrupts(alone) as interrupts:
        path = resume.save(trainer)
    interrupts.act()
    return Epoch(trainer.epoch, record, trainer.model(), path)
