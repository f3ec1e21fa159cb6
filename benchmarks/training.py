"""Images a second of whole training steps, side by side in one run: ours, two libraries', the earlier study's.

    make speed            (or: python benchmarks/training.py --repeats 9)

Ours is what `thaw.train` does for a batch, at the default configuration. The two libraries take the step of their own
tutorial or trainer, on a network of theirs whose channels are chosen so that a forward pass has our multiply-adds; the
earlier study takes its plain network, and degrades image by image and row by row in Python. One thread, batches of
128 in memory (no data loader for anybody), CPU seconds, all calls in turn; ratios are medians over the rounds.
"""

import statistics
import sys
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from timing import interleaved, matrix_product, median_ratio, training_step
from torch import Tensor, nn

from thaw.base.machine import machine, timed
from thaw.cli import options as o
from thaw.degradations.lines import line_order
from thaw.experiment.config import load_config
from thaw.networks import build, count_multiply_adds, count_parameters, multiply_adds
from thaw.report.recorder import Recorder

CONFIG = "configs/ddpm/default.yaml"


class Contender(NamedTuple):
    """One way of training."""

    name: str
    network: nn.Module
    adds: int  # multiply-adds of a forward pass of one image
    step: Callable[[], object]  # one optimiser step on a batch


def diffusers_way(draw: Callable[[], Tensor]) -> Contender:
    """Return diffusers' UNet2DModel and DDPMScheduler in the training loop of its tutorial."""
    from diffusers import DDPMScheduler, UNet2DModel
    from diffusers.optimization import get_cosine_schedule_with_warmup

    network = UNet2DModel(
        sample_size=28, in_channels=1, out_channels=1, layers_per_block=1, block_out_channels=(8, 16, 24),
        down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"), norm_num_groups=8,
    )  # fmt: skip
    scheduler = DDPMScheduler(num_train_timesteps=1000)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-4)
    rate = get_cosine_schedule_with_warmup(optimiser, num_warmup_steps=500, num_training_steps=10_000)

    def step() -> None:
        x0 = draw()
        noise, t = torch.randn(x0.shape), torch.randint(0, 1000, (len(x0),))
        predicted = network(scheduler.add_noise(x0, noise, t), t, return_dict=False)[0]
        F.mse_loss(predicted, noise).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        rate.step()
        optimiser.zero_grad()

    one = draw()[:1]
    return Contender("diffusers", network, multiply_adds(lambda: network(one, torch.zeros(1))), step)


def lucidrains_way(draw: Callable[[], Tensor]) -> Contender:
    """Return denoising-diffusion-pytorch's Unet and GaussianDiffusion in the step of its Trainer."""
    from denoising_diffusion_pytorch import GaussianDiffusion, Unet
    from ema_pytorch import EMA

    network = Unet(dim=8, dim_mults=(1, 2, 2), channels=1, attn_dim_head=4)
    diffusion = GaussianDiffusion(network, image_size=28, timesteps=1000)
    optimiser = torch.optim.Adam(diffusion.parameters(), lr=1e-4, betas=(0.9, 0.99))
    ema = EMA(diffusion, beta=0.995, update_every=10)

    def step() -> None:
        loss = diffusion(draw().add(1).div(2))  # it takes pixels in [0, 1]
        loss.backward()
        nn.utils.clip_grad_norm_(diffusion.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        ema.update()

    one = draw()[:1]
    return Contender("lucidrains", network, multiply_adds(lambda: network(one, torch.zeros(1))), step)


def average_one_by_one(x0: Tensor, t: Tensor, order: Tensor) -> Tensor:
    """Replace the first t rows of the order by their means, image by image and row by row.  (B, C, H, W)"""
    x_t = x0.clone()
    for image, count in zip(x_t, t.tolist(), strict=True):
        for row in order[:count].tolist():
            image[:, row, :] = image[:, row, :].mean()
    return x_t


def earlier_way(draw: Callable[[], Tensor]) -> Contender:
    """Return the earlier study's cold training: its plain network, Adam, rows averaged in a Python loop."""
    network, T = build("cnn", (1, 28, 28), 10, widths=(16, 32, 32, 16)), 28
    optimiser, order = torch.optim.Adam(network.parameters(), lr=2e-4), line_order(T, "random", 0)

    def step() -> None:
        x0 = draw()
        t = torch.randint(1, T + 1, (len(x0),))
        loss = F.mse_loss(network(average_one_by_one(x0, t, order), t / T, t / T, t), x0)  # it looks at the time only
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return Contender("earlier", network, count_multiply_adds(network, (1, 28, 28)), step)


def main(*, repeats: o.Repeats = 9, record: o.Record = False) -> None:
    """Print the table."""
    config = load_config(CONFIG)
    step, trainer = training_step(config)
    images, shape, batch = trainer.images, trainer.images.shape, config.batch_size
    torch.manual_seed(0)

    def draw() -> Tensor:
        return images.pixels(torch.randint(len(images), (batch,)))

    ours = Contender("thaw", trainer.bare, count_multiply_adds(trainer.bare, shape), step)
    contenders = [ours, diffusers_way(draw), lucidrains_way(draw), earlier_way(draw)]
    product, work = matrix_product()
    x0, t, order = draw(), torch.randint(1, 29, (batch,)), line_order(28, "random", 0)
    calls = {one.name: one.step for one in contenders}
    calls |= {"product": product, "loop": lambda: average_one_by_one(x0, t, order)}
    times = interleaved(calls, repeats)

    peak = work / statistics.median(times["product"])
    print(f"torch {torch.__version__}, {torch.get_num_threads()} thread, batch {batch}, CPU seconds, ", end="")
    print(f"medians of {repeats} rounds; peak {peak / 1e9:.0f} G multiply-adds/s; {machine()}\n")
    print("                parameters  multiply-adds  ms a step  images/s  of peak  step / ours")
    values: dict[str, tuple[float, str]] = {"peak_gmacs": (peak / 1e9, ".0f"), "repeats": (repeats, "d")}
    values |= {"batch": (batch, "d")}
    for one in contenders:
        seconds = statistics.median(times[one.name])
        # Backward is twice the forward.
        of_peak = 3 * batch * one.adds / work / median_ratio(times, one.name, "product")
        ratio = median_ratio(times, one.name, ours.name)
        parameters = count_parameters(one.network)
        print(f"{one.name:14s} {parameters:11,d} {one.adds / 1e6:12.1f} M {1e3 * seconds:10.0f}", end=" ")
        print(f"{batch / seconds:9.0f} {of_peak:8.0%} {ratio:12.1f}")
        found = {"parameters": (parameters, ",d"), "macs_m": (one.adds / 1e6, ".1f"), "of_peak": (100 * of_peak, ".0f")}
        found |= {"images_per_second": (batch / seconds, ",.0f"), "ratio": (ratio, ".1f")}
        values |= {f"{one.name}.{what}": value for what, value in found.items()}
    share = median_ratio(times, "loop", "earlier")
    values["earlier.loop_share"] = (100 * share, ".0f")
    print(f"\nearlier: its Python loop over images and rows is {share:.0%} of the step")
    if record:
        made_by = {"benchmark": "benchmarks/training.py", "config": CONFIG, "torch": torch.__version__}
        Recorder("speed.training", made_by).record(values, **timed())


if __name__ == "__main__":
    sys.exit(o.run(main))
