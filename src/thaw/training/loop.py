"""The training loop: a generator of epochs, on Accelerate, resumable bit for bit."""

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from thaw.base import Interrupts, need, user_path
from thaw.experiment import Config
from thaw.model import Model
from thaw.scoring import Judge
from thaw.store import RUNS, load_data, load_trajectories, run_lock, teacher_of
from thaw.training import reporting
from thaw.training.parallel import build_accelerator
from thaw.training.tracking import RunTracker
from thaw.training.trainer import Trainer


@dataclass
class Epoch:
    """What `train` yields after each epoch (and once before the first, as epoch 0).

    Attributes:
        epoch: passes over the training set so far.
        record: the line of metrics.jsonl: loss, learning rate, images per second, scores.
        model: the averaged model, ready to sample from; valid until the next epoch.
        path: the checkpoint, or None where none was written.
        before: the run was complete already; this is what it had come to, and nothing was trained or written.
    """

    epoch: int
    record: dict[str, Any]
    model: Model
    path: Path | None
    before: bool = False

    def __str__(self) -> str:
        told = f"epoch {self.epoch:4d}{reporting.describe(self.record)}"
        return f"{told}   (trained before)" if self.before else told


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

    Under `accelerate launch` all processes call this with the same arguments and get the same epochs
    (but samples and scores in the first one's only, which alone writes); see `thaw.training.parallel`.

    Args:
        config: the experiment.
        run: run directory; `contents/runs/<run name>` by default.
        judge: scores samples every `evaluate_every` epochs; None for training only.
        progress: show one progress bar over all steps, with images per second; by default unless the
            notebook runs headlessly.
        position: line of the progress bar, where several processes show one each.

    Yields:
        `Epoch`s, from epoch 0 (random weights) or from the epoch after the newest checkpoint. Of a run that has all its
        epochs, or has used up its `minutes`, the last one, again: there is always a model to sample from.

    Raises:
        ThawError: if the data set is missing, the run directory cannot be written, is another
            experiment's or in use by another process, the tracker cannot start, or the loss is not
            finite.
    """
    # The experiment: its directory, images, and processes.
    if config.tracker != "none":
        need("trackers", config.tracker)
    run = user_path(run) if run else RUNS / config.run_name
    progress = "THAW_HEADLESS" not in os.environ if progress is None else progress
    if config.flow_map:
        teacher_of(config)  # a mistake is told before anything is written
    images = None if config.flow_map else load_data(config, "train")
    if config.limit is not None and images is not None:
        images = images.subset(min(config.limit, len(images)), config.seed)
    accelerator = build_accelerator(config)
    main = accelerator.is_main_process  # of several that train one model: the one that writes
    with contextlib.ExitStack() as held:
        # Its state: from the newest checkpoint, or new.
        if main:
            held.enter_context(run_lock(run))
        if images is None:  # what takes hours to draw is not drawn for a run that is another process's
            images = load_trajectories(config, progress=progress)
        trainer = Trainer(config, images, run, accelerator, judge)
        resumed = trainer.resume()
        if config.tracker != "none" and main:
            trainer.tracker = held.enter_context(contextlib.closing(RunTracker(config, run)))
            if resumed:
                trainer.tracker.send(trainer.records, trainer.points)  # the process may have died before it did

        # Where it stands: at its beginning, at its end, or between.
        if not resumed:
            record = trainer.report({})
            yield Epoch(0, record, trainer.model(), trainer.save())
        elif trainer.done:
            path = trainer.last_complete()
            yield Epoch(trainer.epoch, trainer.records[-1], trainer.model(), path, before=True)
            return

        # The epochs.
        shown, interrupts = trainer.batches * config.batch_size, Interrupts()
        with tqdm(
            total=config.epochs * shown, initial=trainer.images_seen,
            disable=not progress or not main, unit="img", unit_scale=True, mininterval=2,
            desc=f"training {config.label}", position=position,
        ) as bar:  # fmt: skip
            if accelerator.num_processes > 1:
                held.enter_context(interrupts)
            while not trainer.done:
                yield _next_epoch(trainer, bar, interrupts)
            interrupts.act()


def _next_epoch(trainer: Trainer, bar: tqdm, interrupts: Interrupts) -> Epoch:
    """Train, report and save one epoch; an interrupt leaves a checkpoint of what was done and is raised.

    Several processes act on it only where all of them agreed to, or one would wait for the others'
    gradients for ever; what comes later than that is heard in the next epoch.
    """
    alone, path = trainer.accelerator.num_processes == 1, None
    block = interrupts if alone else contextlib.nullcontext()
    # Train.
    with block:
        for step in trainer.steps():
            bar.update(step.images)
            if step.share:
                bar.total = round(bar.n / step.share)  # how many images the time will be enough for
            if interrupts.received is not None:
                trainer.stop()
        if trainer.index and (trainer.stopped or trainer.report_takes_time()):
            path = trainer.save()
    # Stop here, where that was asked for.
    if trainer.stopped or (alone and interrupts.received is not None):
        kept = path or trainer.run / ".latest"
        if trainer.accelerator.is_main_process:
            where = f"Stopped in epoch {trainer.epoch + 1}; {kept} has it all"
            print(f"\n{where}, and training again goes on there.", flush=True)
        interrupts.received = interrupts.received or signal.SIGTERM  # where another process was asked
        interrupts.act()
    # Report and save.
    record = trainer.report(trainer.end_epoch())
    bar.set_postfix(epoch=trainer.epoch, loss=f"{record['loss']:.4f}")
    with block:
        path = trainer.save()
    if alone:
        interrupts.act()
    return Epoch(trainer.epoch, record, trainer.model(), path)
