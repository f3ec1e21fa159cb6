"""Where the time of a training step goes, and how near each convolution comes to the matrix-multiply peak.

    python benchmarks/recipe/profile_step.py [--config configs/ddpm/default.yaml]

Writes measured/profile.json for the page. Times are CPU seconds of one thread, medians; the peak is that of a
1024 x 1024 float32 matrix product, measured in the same process. Run it on a machine that does nothing else.
"""

import argparse
import statistics
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile
from trial import MEASURED

from thaw.config import load_config
from thaw.files import write_json
from thaw.model import build_network, build_process
from thaw.networks import count_multiply_adds
from thaw.optimisers import build_optimiser
from thaw.seeding import generator

SHAPE, CLASSES, BATCH = (1, 28, 28), 10, 128
KINDS = {
    "convolutions": ("convolution",),
    "normalisation": ("group_norm",),
    "activation": ("gelu", "silu"),
    "attention": ("attention",),
    "matrix products": ("addmm", "aten::mm", "bmm"),
    "random numbers": ("normal", "random", "rand"),
}  # where an operator's own time is counted, by a part of its name; else "everything else"


def cpu_seconds(function: Callable[[], object], repeats: int = 9) -> float:
    """Return the median CPU time of a call, after two that do not count."""
    times = []
    for _ in range(repeats + 2):
        began = time.process_time()
        function()
        times.append(time.process_time() - began)
    return statistics.median(times[2:])


def peak() -> float:
    """Return multiply-adds a second of a 1024 x 1024 float32 matrix product."""
    a = torch.randn(1024, 1024)
    return 1024**3 / cpu_seconds(lambda: a @ a)


def convolutions(network: nn.Module) -> dict[tuple[Any, ...], int]:
    """Return the distinct convolutions of a forward pass, as (in, out, kernel, stride, height, width), counted."""
    found: Counter[tuple[Any, ...]] = Counter()

    def note(layer: nn.Conv2d, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        key = (layer.in_channels, layer.out_channels, layer.kernel_size[0], layer.stride[0], *inputs[0].shape[2:])
        found[key] += 1

    hooks = [m.register_forward_hook(note) for m in network.modules() if isinstance(m, nn.Conv2d)]
    with torch.no_grad():
        network(torch.zeros(2, *SHAPE), torch.ones(2), torch.ones(2), torch.zeros(2, dtype=torch.long))
    for hook in hooks:
        hook.remove()
    return dict(found)


def time_convolution(c_in: int, c_out: int, kernel: int, stride: int, height: int, width: int) -> tuple[float, float]:
    """Return CPU seconds and multiply-adds of one convolution, forward and backward, at the batch size."""
    layer = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2).to(memory_format=torch.channels_last)
    x = torch.randn(BATCH, c_in, height, width).to(memory_format=torch.channels_last).requires_grad_()
    gradient = torch.randn_like(layer(x))
    seconds = cpu_seconds(lambda: layer(x).backward(gradient))
    return seconds, 3.0 * BATCH * layer.weight.numel() * gradient.shape[2] * gradient.shape[3]


def main() -> None:
    """Profile, print and write the log."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--config", default="configs/ddpm/default.yaml")
    config = load_config(options.parse_args().config)
    torch.set_num_threads(1)
    process, network = build_process(config, SHAPE), build_network(config, SHAPE, CLASSES).train()
    optimiser = build_optimiser(network, config.optimiser, config.lr, config.weight_decay, "cpu")
    draws, x0 = generator(0, "profile"), torch.rand(BATCH, *SHAPE) * 2 - 1
    y = torch.randint(0, CLASSES, (BATCH,), generator=draws)

    def step() -> None:
        loss = process.loss(network, x0, y, process.draw(BATCH, draws))
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), config.clip)
        with torch.profiler.record_function("optimiser"):
            optimiser.step()

    best, seconds = peak(), cpu_seconds(step)
    with profile(activities=[ProfilerActivity.CPU]) as recorded:
        for _ in range(8):
            step()
    shares: Counter[str] = Counter()
    for event in recorded.events():
        inside, outer = event.name.removeprefix("aten::"), event
        while outer is not None and outer.name != "optimiser":
            outer = outer.cpu_parent
        named = (kind for kind, parts in KINDS.items() if any(part in event.name for part in parts))
        kind = "optimiser" if outer is not None else next(named, "everything else") if inside else ""
        shares[kind] += event.self_cpu_time_total
    total = sum(shares.values())
    layers = []
    for (c_in, c_out, kernel, stride, height, width), count in convolutions(network).items():
        spent, work = time_convolution(c_in, c_out, kernel, stride, height, width)
        layers.append({"in": c_in, "out": c_out, "kernel": kernel, "stride": stride, "size": f"{height} x {width}",
                       "count": count, "ms": 1e3 * spent * count, "of_peak": work / spent / best})  # fmt: skip
    work = 3.0 * BATCH * count_multiply_adds(network, SHAPE)
    log = {"config": config.label, "batch": BATCH, "step_ms": 1e3 * seconds, "images_per_second": BATCH / seconds,
           "peak_gmacs": best / 1e9, "of_peak": work / seconds / best,
           "shares": {kind: share / total for kind, share in shares.most_common()},
           "convolutions": sorted(layers, key=lambda layer: -layer["ms"])}  # fmt: skip
    write_json(MEASURED / "profile.json", log)
    print(f"{log['images_per_second']:.0f} images/s, {log['of_peak']:.0%} of {log['peak_gmacs']:.0f} G multiply-adds/s")
    for kind, share in log["shares"].items():
        print(f"{share:6.1%}  {kind}")
    for layer in log["convolutions"]:
        print(f"{layer['ms']:6.2f} ms  {layer['of_peak']:.0%} of peak  {layer}")


if __name__ == "__main__":
    main()
