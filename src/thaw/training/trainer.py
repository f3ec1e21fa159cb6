"""The state of one run, and what is done with it: a step, an epoch, a report."""

import contextlib
import math
import time
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor
from tqdm.auto import tqdm

from thaw.base.errors import ThawError
from thaw.base.machine import machine
from thaw.base.seeding import derive, generator
from thaw.data import ImageSet
from thaw.data.grids import save_grid
from thaw.experiment.build import build_model, build_network, build_process
from thaw.experiment.config import Config
from thaw.model import Model
from thaw.process import Draws, Process
from thaw.scoring.judge import Judge
from thaw.store import runs
from thaw.training import reporting, resume
from thaw.training.optimisers import average, build_optimiser, learning_rate
from thaw.training.parallel import News, parts
from thaw.training.threads import use_threads
from thaw.training.tracking import POINTS, RunTracker


class Trainer:
    """State of one run: network, average, optimiser, and the epoch they stand at.

    In a run of several processes each has one, and all hold the same state; only the first one writes.
    """

    def __init__(
        self, config: Config, images: ImageSet, run: Path, accelerator: Accelerator, judge: Judge | None = None
    ) -> None:
        use_threads(config.threads)
        self.config, self.images, self.run, self.accelerator, self.judge = config, images, run, accelerator, judge
        parts(accelerator, config, min(config.batch_size, len(images)))  # there are images for every process
        self.process: Process = build_process(config, images.shape)
        self.terminal, self.coder = resume.run_terminal(self), resume.run_coder(self)
        self.process.to(accelerator.device)
        torch.manual_seed(derive(config.seed, "weights"))
        network = build_network(config, images.shape, images.classes)
        if config.start_from is not None and not runs.list_checkpoints(run):
            resume.begin_with(network, config, images)
        optimiser = build_optimiser(network, config.optimiser, config.lr, config.weight_decay, accelerator.device)
        self.network, self.optimiser = accelerator.prepare(network, optimiser)
        self.bare = accelerator.unwrap_model(self.network)
        self.ema = average(self.bare, config.ema)
        self.batches = max(1, len(images) // config.batch_size)
        self.epoch, self.seconds, self.seen, self.records = 0, 0.0, 0, []
        # Within an epoch: steps and seconds behind, the sum of their losses, the generator of their draws.
        self.index, self.running, self.number = 0, 0.0, 0.0
        self.loss = torch.zeros((), device=accelerator.device)
        self.noise = torch.Generator()
        # For the tracker: [steps of the run, steps of the epoch, sum of their losses, learning rate] now and then.
        self.tracker: RunTracker | None = None
        self.points: list[list[float]] = []

    @property
    def total(self) -> int:
        """Optimiser steps in the whole run."""
        return self.batches * self.config.epochs

    @property
    def done(self) -> bool:
        """Whether all epochs, or the time, are used up."""
        return self.epoch >= self.config.epochs or self.share_of_time() >= 1.0

    def share_of_time(self, running: float = 0.0) -> float:
        """Return how much of `minutes` is used, `running` seconds of this epoch included; 0 without a limit."""
        minutes = self.config.minutes
        return 0.0 if minutes is None else (self.seconds + running) / (60 * minutes)

    def model(self) -> Model:
        """Return the averaged model."""
        network = self.ema.module.eval()
        info = {"seconds": self.seconds, "device": str(self.accelerator.device)}
        made_of = (self.config, self.process, network, self.terminal)
        return build_model(*made_of, self.images.classes, self.epoch, info, self.coder)

    def step(self, chosen: Tensor, draws: Draws, dropped: Tensor, number: float) -> Tensor:
        """Take one optimiser step on a global batch; each process takes its share, in `accumulate` parts.

        `number` is how many of `total` steps lie behind, as far as the learning rate is concerned.

        Returns:
            This process's share of the loss: over all processes they add up to the mean over the batch.
        """
        device, world = self.accelerator.device, self.accelerator.num_processes
        labels = torch.where(dropped, self.images.classes, self.images.labels[chosen])
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.config, number, self.total)
        self.optimiser.zero_grad()
        losses = []
        *first, last = parts(self.accelerator, self.config, len(chosen))
        for mine in (*first, last):
            x0, y = self.images.pixels(chosen[mine]).to(device), labels[mine].to(device)
            share = len(x0) / len(chosen)
            with self.accelerator.no_sync(self.network) if mine is not last else contextlib.nullcontext():
                with self.accelerator.autocast():
                    loss = self.process.loss(self.network, x0, y, draws.part(mine).to(device))
                self.accelerator.backward(loss * (share * world))  # gradients are averaged over the processes
            losses.append(loss.detach() * share)
        self.accelerator.clip_grad_norm_(self.network.parameters(), self.config.clip)
        self.optimiser.step()
        self.ema.update_parameters(self.bare)
        return torch.stack(losses).sum()

    def run_epoch(self, bar: tqdm, interrupts: resume.Interrupts) -> bool:
        """Train to the end of the epoch, or until the time is up or an interrupt asks to stop.

        Every random number derives from (seed, purpose, epoch). Only the masks of `dropout` depend on
        the number of processes: each draws its own.

        Returns:
            False if it was interrupted, as all processes agree; `save_within` then keeps what was done.
        """
        config, size, rank = self.config, self.config.batch_size, self.accelerator.process_index
        order = torch.randperm(len(self.images), generator=generator(config.seed, "order", self.epoch))
        if not self.index:
            self.running, self.loss, self.points = 0.0, torch.zeros_like(self.loss), []
            self.noise = generator(config.seed, "noise", self.epoch)
            torch.manual_seed(derive(config.seed, "dropout", self.epoch))
        self.network.train()
        news, before, saved = News(self.accelerator), self.running, self.running
        started = time.perf_counter()
        for index in range(self.index, self.batches):
            elapsed, asked = time.perf_counter() - started, interrupts.asked is not None
            running, stop = news.hear(elapsed, asked)
            self.running = before + running
            share = self.share_of_time(self.running)
            if share >= 1.0 and index:
                break
            if stop:
                return False
            if index and self.running - saved > 60 * config.save_minutes:
                self.save_within()
                saved = self.running
            self.number = max(self.epoch * self.batches + index, share * self.total)
            chosen = order[index * size : (index + 1) * size]
            dropped = torch.rand(len(chosen), generator=self.noise) < config.label_dropout
            batch = self.process.draw(len(chosen), self.noise)
            if rank:  # the checkpoint knows the first process's stream only
                torch.manual_seed(derive(config.seed, "dropout", self.epoch, index, rank))
            loss = self.step(chosen, batch, dropped, self.number)
            self.loss += news.tell(loss, elapsed, asked)
            self.index = index + 1
            self.note_loss()
            bar.update(len(chosen))
            if share:
                bar.total = round(bar.n / share)  # how many images the time will be enough for
        running, stop = news.settle(time.perf_counter() - started, interrupts.asked is not None)
        self.running = before + running
        return not stop

    def note_loss(self) -> None:
        """Note the loss of this epoch so far for the tracker, where one is due: `POINTS` an epoch, its end excepted."""
        every = max(1, self.batches // POINTS)
        if self.tracker and self.index % every == 0 and self.index < self.batches:
            step = self.seen // self.config.batch_size + self.index
            self.points.append([step, self.index, float(self.loss), self.optimiser.param_groups[0]["lr"]])

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
        return self.save(self.index)

    def save(self, step: int = 0) -> Path:
        """Write a checkpoint, see `resume.save`, and send the tracker what it holds."""
        path = resume.save(self, step)
        if self.tracker:
            self.tracker.send(self.records, self.points)
        return path

    def end_epoch(self) -> dict[str, Any]:
        """Count the epoch as complete and return its loss, learning rate and speed."""
        self.check_loss()
        taken, size = self.index, self.config.batch_size
        loss = float(self.loss) / taken
        self.epoch += 1
        self.seconds += self.running
        self.seen += taken * size
        self.index = 0
        rate = {"images_per_second": round(taken * size / self.running, 1)}
        return {"loss": loss, "lr": learning_rate(self.config, self.number, self.total), "images": self.seen, **rate}

    def report(self, record: dict[str, Any]) -> dict[str, Any]:
        """Write samples and scores where they are due, and the line of metrics.jsonl; returns that line."""
        config, model = self.config, self.model()
        record = {"epoch": self.epoch, "seconds": round(self.seconds, 2), "machine": machine()} | record
        last, main = self.done, self.accelerator.is_main_process
        if main and self.due(config.sample_every, last):
            pictures, columns = reporting.pictures(model)
            path = self.run / "samples" / f"epoch_{self.epoch:04d}.png"
            save_grid(path, pictures, columns)
        if main and self.scored and self.due(config.evaluate_every, last):
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
