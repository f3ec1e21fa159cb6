"""Several processes that train one model (`accelerate launch`): each takes its share of every batch, all stop together.

The data order and all random numbers are those of the whole batch, whatever the number of processes, and each process
takes every n-th image of it. So two processes train what one trains, up to the rounding of sums.
"""

import os
from datetime import timedelta
from pathlib import Path

import torch
from accelerate import Accelerator, InitProcessGroupKwargs
from accelerate.state import AcceleratorState
from accelerate.utils import GradientAccumulationPlugin
from torch import Tensor

from thaw.base import ThawError
from thaw.experiment import Config

PATIENCE = timedelta(hours=6)  # for the first process, which samples and scores while the others wait


def launched() -> tuple[int, int]:
    """Return (rank, number of processes) that the launcher gave to this process; (0, 1) without a launcher."""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def build_accelerator(config: Config) -> Accelerator:
    """Return an Accelerator of the configuration's precision, joined with the other processes where there are some.

    Raises:
        ThawError: for a precision that the device does not compute in.
    """
    if AcceleratorState._shared_state and AcceleratorState().mixed_precision != config.mixed_precision:
        AcceleratorState._reset_state()  # a notebook may train in one precision after another
    if "MASTER_ADDR" in os.environ and "ACCELERATE_MIXED_PRECISION" in os.environ and "WORLD_SIZE" not in os.environ:
        print(
            "`accelerate launch --cpu` starts one process only; for several on a CPU, replace --cpu by --multi_gpu "
            "and give thaw --device cpu.",
            flush=True,
        )
    precision = config.mixed_precision
    try:
        accelerator = Accelerator(
            mixed_precision=precision,
            gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),  # `Trainer.step` weighs the parts
            kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)],
        )
    except (ValueError, ImportError) as error:
        if precision == "no":
            raise
        raise ThawError(f"mixed_precision={precision} does not work here ({error}); set it to no") from None
    if precision == "fp16" and accelerator.device.type == "cpu":  # Accelerate would say nothing, and compute in float32
        raise ThawError("mixed_precision=fp16 needs a GPU, and this run computes on the CPU; set it to no, or to bf16")
    return accelerator


def parts(accelerator: Accelerator, config: Config, n: int) -> list[slice]:
    """Return which of the `n` images of a batch this process takes, one slice for each part it accumulates.

    Raises:
        ThawError: if there are more parts than images.
    """
    rank, world = accelerator.process_index, accelerator.num_processes
    if n < world * config.accumulate:
        raise ThawError(
            f"a batch of {n} images cannot be split among {world} processes with accumulate={config.accumulate}; "
            "lower accumulate, or raise batch_size"
        )
    return [slice(rank + world * part, None, world * config.accumulate) for part in range(config.accumulate)]


def check_same(accelerator: Accelerator, position: tuple[int, int], run: Path) -> None:
    """Wait for all processes; a `ThawError` if they found different checkpoints in the run directory.

    Args:
        position: (epoch, step) of the one that this process found.
    """
    if accelerator.num_processes == 1:
        return
    found = accelerator.gather(torch.tensor([position], device=accelerator.device)).tolist()
    if any(other != found[0] for other in found):
        raise ThawError(
            f"the processes found different checkpoints in {run} (epoch, step: {found}); "
            "it must be in a file system that all of them share"
        )


class Signals:
    """What the processes send each other with every step, so that all count the same loss and stop at the same step.

    It is one sum of three numbers over all processes. What concerns stopping is received a step later: by then it has
    arrived, and no device is kept waiting for it. A process alone knows everything at once.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self.accelerator, self.alone = accelerator, accelerator.num_processes == 1
        self.sent: Tensor | None = None

    def send(self, loss: Tensor, seconds: float, stopping: bool) -> Tensor:
        """Send this step's numbers to the others.

        Args:
            loss: this process's share of the loss, a scalar.
            seconds: since the epoch began; the first process's clock counts.
            stopping: whether this process is to stop.

        Returns:
            The loss over all processes.
        """
        if self.alone:
            return loss
        clock = seconds if self.accelerator.is_main_process else 0.0
        own = torch.tensor([clock, float(stopping)], dtype=loss.dtype).to(loss.device)
        self.sent = self.accelerator.reduce(torch.cat([loss[None], own]), "sum")
        return self.sent[0]

    def receive(self, seconds: float, stopping: bool) -> tuple[float, bool]:
        """Return the seconds, and whether to stop, as all processes know them since the last `send`."""
        if self.alone:
            return seconds, stopping
        if self.sent is None:
            return 0.0, False
        _, clock, stop = self.sent.tolist()
        return clock, stop > 0

    def finish(self, seconds: float, stopping: bool) -> tuple[float, bool]:
        """Return the same as of now, waiting for the other processes."""
        self.send(torch.zeros((), device=self.accelerator.device), seconds, stopping)
        return self.receive(seconds, stopping)
