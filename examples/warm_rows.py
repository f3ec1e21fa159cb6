"""Warm diffusion in one page: rows of digits become grey bars and noise, and a small network undoes it.

    python examples/warm_rows.py [--minutes 2] [--out warm_rows.png]

Nothing but the equation and torch: a degradation, its noise, a network, a plain training loop, `reverse`.

    forward:  x_t = D_t(x0) + tau sigma_t eps
    reverse:  x_s = D_s(x0_hat) + kappa (x_t - D_t(x0_hat)) + nu eps',    x0_hat = network(x_t, t, tau, y)
"""

import argparse
import copy
import time

import torch

from thaw import data, degradations, networks, terminal, to_uint8
from thaw.data.grids import save_grid
from thaw.process import Process
from thaw.sampling import final, reverse
from thaw.schedules import noise_schedule


def main(minutes: float = 2.0, out: str = "warm_rows.png", name: str | None = None, limit: int | None = None) -> float:
    """Train for some minutes on one thread, draw ten digits of each class, and return the last mean loss."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    draws = torch.Generator().manual_seed(0)
    images = data.load(name or data.resolve("mnist"))
    images = images.subset(limit or len(images), seed=0)
    K = images.classes

    # Forward: D_t replaces one row after another by its mean; the noise grows with t; tau goes from cold 0 to warm 1.
    rows = degradations.build("row", images.shape)
    _, sigma = noise_schedule("flow", rows.steps)
    process = Process(rows, sigma, prediction="x0", tau=(0.0, 1.0))
    start = terminal.fit_terminal(rows, images.pixels(), images.labels)  # what the 28 grey bars look like

    # A network that is told the time, the temperature and the class, and the average of its weights.
    network = networks.build("unet", images.shape, K, widths=(24, 64)).to(memory_format=torch.channels_last)
    average = copy.deepcopy(network).eval()
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.01)

    # Training: draw images, steps, temperatures and noise; compare the network's guess with the clean images.
    share, loss, running, began = 0.0, None, None, time.perf_counter()
    while share < 1:
        chosen = torch.randint(len(images), (128,), generator=draws)
        loss = process.loss(network, images.pixels(chosen), images.labels[chosen], process.draw(128, draws))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        running = loss.item() if running is None else 0.98 * running + 0.02 * loss.item()
        share = (time.perf_counter() - began) / (60 * minutes)
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * max(0.0, 1 - share)
        with torch.no_grad():
            for mean, new in zip(average.parameters(), network.parameters(), strict=True):
                mean.lerp_(new, 0.01)
        print(f"\r{min(share, 1):4.0%}  loss {running:.4f}", end="", flush=True)

    # Reverse: start from grey bars of a class and noise, and walk back. Any function (x_t, t) -> x0_hat will do.
    y = torch.arange(10 * K) % K
    bars = rows.from_coordinates(start.sample(y, draws))
    x_T = bars + sigma[-1].float() * torch.randn(bars.shape, generator=draws)
    tau = torch.ones(len(y))

    @torch.no_grad()
    def restore(x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return average(x_t, process.time(t), tau, y).clamp(-1, 1)

    digits = final(reverse(process, restore, x_T, sampler="warm", tau=1.0, eta=1.0, generator=draws))
    save_grid(out, to_uint8(digits), columns=K)
    print(f"\n{len(y)} digits from their {rows.steps} grey bars: {out}")
    return running


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--minutes", type=float, default=2.0)
    options.add_argument("--out", default="warm_rows.png")
    main(**vars(options.parse_args()))
