"""The state of one run, and what is done with it: steps, the end of an epoch, a report, a checkpoint."""

import contextlib
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from thaw.base import ThawError, derive, generator, to_pixels
from thaw.base.machine import machine
from thaw.data import ImageSet
from thaw.experiment import Config, build_model, build_network, build_process
from thaw.model import Model
from thaw.process import Draws, Process
from thaw.scoring import Judge
from thaw.store import runs
from thaw.training import reporting, resume
from thaw.training.optimisers import OptimiserStep, average, build_optimiser, learning_rate
from thaw.training.parallel import Signals, parts
from thaw.training.tracking import POINTS, RunTracker

# What a checkpoint tells of where training stands, as plain values: its name there -> the trainer's.
PLAIN = {name: name for name in ("epoch", "seconds", "running", "number", "points", "records")}
PLAIN |= {"step": "index", "images": "seen"}


class Trainer:
    """State of one run: network, average, optimiser, and the epoch they stand at.

    An epoch is `steps()`, then `end_epoch()`. In a run of several processes each has a trainer, and all hold the same
    state; only the first one writes.
    """

    def __init__(
        self, config: Config, images: ImageSet, run: Path, accelerator: Accelerator, judge: Judge | None = None
    ) -> None:
        # The experiment: images, process, where sampling starts.
        torch.set_num_threads(config.threads)
        self.config, self.images, self.run, self.accelerator, self.judge = config, images, run, accelerator, judge
        parts(accelerator, config, min(config.batch_size, len(images)))  # there are images for every process
        self.process: Process = build_process(config, images.shape)
        if config.paired:
            resume.keep_pairs(run, images, self.process.degradation, accelerator)
        self.terminal = resume.run_terminal(run, config, images, self.process.degradation, accelerator)
        self.coder = resume.run_coder(run, config, images, accelerator)
        self.process.to(accelerator.device)
        # What learns: network, optimiser, moving average.
        torch.manual_seed(derive(config.seed, "weights"))
        network = build_network(config, images.shape, images.classes)
        if config.start_from is not None and not runs.list_checkpoints(run):
            resume.load_initial_weights(network, config, images)
        optimiser = build_optimiser(network, config.optimiser, config.lr, config.weight_decay, accelerator.device)
        self.network, self.optimiser = accelerator.prepare(network, optimiser)
        self.bare = accelerator.unwrap_model(self.network)
        self.ema = average(self.bare, config.ema)
        # Where it stands: complete epochs, their seconds and images, the lines of metrics.jsonl.
        self.batches = max(1, len(images) // config.batch_size)
        self.total = self.batches * config.epochs  # optimiser steps in the whole run
        self.epoch, self.seconds, self.seen, self.records = 0, 0.0, 0, []
        # Within an epoch: steps and seconds behind, the sum of their losses, the generator of their draws.
        self.index, self.running, self.number = 0, 0.0, 0.0
        self.loss = torch.zeros((), device=accelerator.device)
        self.noise = torch.Generator()
        # Whether this process asked to stop within the epoch, and whether all did, as they agreed.
        self.stopping, self.stopped = False, False
        # For the tracker: [steps of the run, steps of the epoch, sum of their losses, learning rate] now and then.
        self.tracker: RunTracker | None = None
        self.points: list[list[float]] = []

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
        made_of = (self.config, self.process, network, self.terminal, self.images.classes)
        return build_model(*made_of, self.epoch, info, self.coder)

    def steps(self) -> Iterator[OptimiserStep]:
        """Train to the end of the epoch, or until the time is up or `stop` was called; yield after every step.

        Whoever goes no further leaves the trainer as it stands after the step. A checkpoint is written every
        `save_minutes`. Every random number derives from (seed, purpose, epoch). Only the masks of `dropout` depend on
        the number of processes: each draws its own.
        """
        # The epoch begins, or goes on after its first `index` steps.
        config, size, rank = self.config, self.config.batch_size, self.accelerator.process_index
        order = torch.randperm(len(self.images), generator=generator(config.seed, "order", self.epoch))
        if not self.index:
            self.running, self.loss, self.points = 0.0, torch.zeros_like(self.loss), []
            self.noise = generator(config.seed, "noise", self.epoch)
            torch.manual_seed(derive(config.seed, "dropout", self.epoch))
        self.network.train()
        self.stopping, self.stopped = False, False
        signals, before, saved = Signals(self.accelerator), self.running, self.running
        started = time.perf_counter()
        for index in range(self.index, self.batches):
            # What the clock says, and the other processes: the time is up, stop, or a checkpoint is due.
            elapsed, stopping = time.perf_counter() - started, self.stopping
            running, self.stopped = signals.receive(elapsed, stopping)
            self.running = before + running
            share = self.share_of_time(self.running)
            if share >= 1.0 and index:
                break
            if self.stopped:
                return
            if index and self.running - saved > 60 * config.save_minutes:
                self.save()
                saved = self.running
            # One step on one batch.
            self.number = max(self.epoch * self.batches + index, share * self.total)
            chosen = order[index * size : (index + 1) * size]
            dropped = torch.rand(len(chosen), generator=self.noise) < config.label_dropout
            batch = self.process.draw(len(chosen), self.noise)
            if config.paired:
                batch = batch._replace(z=to_pixels(self.images.degraded[chosen]))
            if rank:  # the checkpoint knows the first process's stream only
                torch.manual_seed(derive(config.seed, "dropout", self.epoch, index, rank))
            loss = self.step(chosen, batch, dropped, self.number)
            # What came of it.
            loss = signals.send(loss, elapsed, stopping)
            self.loss += loss
            self.index = index + 1
            self.note_loss()
            yield OptimiserStep(len(chosen), loss, share)
        running, self.stopped = signals.finish(time.perf_counter() - started, self.stopping)
        self.running = before + running

    def all_steps(self) -> Iterator[OptimiserStep]:
        """Train epoch after epoch until the run is `done`, with no report and no checkpoint between; see `steps`."""
        while not self.done:
            yield from self.steps()
            self.end_epoch()

    @property
    def images_seen(self) -> int:
        """Images that were trained on so far, those of this epoch included."""
        return self.seen + self.index * self.config.batch_size

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

    def stop(self) -> None:
        """Let `steps` end after this step; where several processes train, after the same one in all of them."""
        self.stopping = True

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
        model = self.model()
        record = {"epoch": self.epoch, "seconds": round(self.seconds, 2), "machine": machine()} | record
        if self.accelerator.is_main_process:
            sampled, scored = reporting.due(self.config, self.judge, self.epoch, self.done)
            if sampled:
                reporting.save_samples(model, self.run)
            if scored:
                record |= reporting.scores(model, self.judge)
        self.records.append(record)
        return record

    def report_takes_time(self) -> bool:
        """Tell whether samples or scores follow the epoch that ends now."""
        last = self.epoch + 1 >= self.config.epochs or self.config.minutes is not None
        return any(reporting.due(self.config, self.judge, self.epoch + 1, last))

    def save(self) -> Path:
        """Write a checkpoint, of complete epochs or within one (the first process does), and send it to the tracker.

        Raises:
            ThawError: within an epoch that diverged.
        """
        if self.index:
            self.check_loss()
        path = self.run / runs.checkpoint_name(self.epoch, self.index)
        if self.accelerator.is_main_process and not path.is_dir():  # it is where it has just been loaded
            resume.save(path, self.config, self.state_dict(), self.accelerator.device, self.done)
        if self.tracker:
            self.tracker.send(self.records, self.points)
        return path

    def resume(self) -> bool:
        """Go on from the newest checkpoint of the run, if there is any; see `resume.newest`."""
        found = resume.newest(self.run, self.config, self.images, self.accelerator)
        if found is None:
            return False
        self.load_state_dict(found.states | found.context)
        done = self.done and not self.index  # within an epoch, the last complete one is what the run has come to
        if self.accelerator.is_main_process:  # it may have died between the checkpoint and what follows it
            resume.tidy(found.path, self.records, self.config.save_every, done)
        return True

    def last_complete(self) -> Path:
        """Return the checkpoint of the last complete epoch of a run that is done, whose average is loaded.

        The newest may stand within the next epoch, where `epochs` or `minutes` were lowered after an interrupt.
        """
        path = self.run / runs.checkpoint_name(self.epoch)
        if not self.index:
            return path
        if not path.is_dir():  # dropped by an earlier version
            return self.run / runs.checkpoint_name(self.epoch, self.index)
        self.ema.module.load_state_dict(runs.load_checkpoint(path).states["ema"])
        return path

    def state_dict(self) -> dict[str, Any]:
        """Return all that training goes on from: states of tensors, plain values, and what identifies the images."""
        rng: dict[str, Any] = {"torch": torch.get_rng_state(), "averaged": self.ema.n_averaged}
        if self.index:
            rng |= {"noise": self.noise.get_state(), "loss": self.loss}
            if self.loss.is_cuda:
                rng["cuda"] = [torch.cuda.get_rng_state(self.loss.device)]
        learning = {"model": self.bare, "ema": self.ema.module, "optimiser": self.optimiser}
        images = {"shape": list(self.images.shape), "classes": self.images.classes, "data": self.images.fingerprint}
        plain = {name: getattr(self, own) for name, own in PLAIN.items()}
        return {name: one.state_dict() for name, one in learning.items()} | {"rng": rng} | plain | images

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned, also in an earlier version, which knew less."""
        rng = state["rng"]
        self.bare.load_state_dict(state["model"])
        self.ema.module.load_state_dict(state["ema"])
        self.ema.n_averaged.copy_(rng["averaged"])
        self.optimiser.load_state_dict(state["optimiser"])
        torch.set_rng_state(rng["torch"])
        for name, own in PLAIN.items():
            setattr(self, own, state.get(name, getattr(self, own)))
        if self.index:
            self.noise.set_state(rng["noise"])
            self.loss.copy_(rng["loss"])
            if self.loss.is_cuda and "cuda" in rng:
                torch.cuda.set_rng_state(rng["cuda"][0], self.loss.device)
