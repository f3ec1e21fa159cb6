"""Where the time of a training step goes, and how near each convolution comes to the matrix-multiply peak.

    python benchmarks/recipe/profile_step.py [--config configs/ddpm/default.yaml]

Writes measured/profile.json for the page. Times are CPU seconds of one thread, medians; the peak is that of a
1024 x 1024 float32 matrix product, measured in the same process. Run it on a machine that does nothing else.
"""

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile
from trial import MEASURED

from thaw.base.files import write_json
from thaw.cli import options as o
from thaw.experiment.config import load_config
from thaw.networks import count_multiply_adds

sys.path.append(str(Path(__file__).parents[1]))
from timing import matrix_peak, median_seconds, training_step  # noqa: E402

KINDS = {
    "convolutions": ("convolution",),
    "normalisation": ("group_norm",),
    "activation": ("gelu", "silu"),
    "attention": ("attention",),
    "matrix products": ("addmm", "aten::mm", "bmm"),
    "random numbers": ("normal", "random", "rand"),
}  # where an operator's own time is counted, by a part of its name; else "everything else"


def convolutions(network: nn.Module, shape: tuple[int, int, int]) -> dict[tuple[Any, ...], int]:
    """Return the distinct convolutions of a forward pass, as (in, out, kernel, stride, height, width), counted."""
    found: Counter[tuple[Any, ...]] = Counter()

    def note(layer: nn.Conv2d, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        key = (layer.in_channels, layer.out_channels, layer.kernel_size[0], layer.stride[0], *inputs[0].shape[2:])
        found[key] += 1

    hooks = [m.register_forward_hook(note) for m in network.modules() if isinstance(m, nn.Conv2d)]
    with torch.no_grad():
        network(torch.zeros(2, *shape), torch.ones(2), torch.ones(2), torch.zeros(2, dtype=torch.long))
    for hook in hooks:
        hook.remove()
    return dict(found)


def time_convolution(
    batch: int, c_in: int, c_out: int, kernel: int, stride: int, height: int, width: int
) -> tuple[float, float]:
    """Return CPU seconds and multiply-adds of one convolution, forward and backward."""
    layer = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2).to(memory_format=torch.channels_last)
    x = torch.randn(batch, c_in, height, width).to(memory_format=torch.channels_last).requires_grad_()
    gradient = torch.randn_like(layer(x))
    seconds = median_seconds(lambda: layer(x).backward(gradient))
    return seconds, 3.0 * batch * layer.weight.numel() * gradient.shape[2] * gradient.shape[3]


def main(*, config: o.Config = "configs/ddpm/default.yaml") -> None:
    """Profile, print and write the log."""
    config = load_config(config)
    step, trainer = training_step(config)
    network, shape, batch = trainer.bare, trainer.images.shape, config.batch_size
    best, seconds = matrix_peak(), median_seconds(step)
    with profile(activities=[ProfilerActivity.CPU]) as recorded:
        for _ in range(8):
            step()
    shares: Counter[str] = Counter()
    for event in recorded.events():
        inside, outer = event.name.removeprefix("aten::"), event
        while outer is not None and not outer.name.startswith("Optimizer.step"):
            outer = outer.cpu_parent
        named = (kind for kind, parts in KINDS.items() if any(part in event.name for part in parts))
        kind = "optimiser" if outer is not None else next(named, "everything else") if inside else ""
        shares[kind] += event.self_cpu_time_total
    total = sum(shares.values())
    layers = []
    for (c_in, c_out, kernel, stride, height, width), count in convolutions(network, shape).items():
        spent, work = time_convolution(batch, c_in, c_out, kernel, stride, height, width)
        layers.append({"in": c_in, "out": c_out, "kernel": kernel, "stride": stride, "size": f"{height} x {width}",
                       "count": count, "ms": 1e3 * spent * count, "of_peak": work / spent / best})  # fmt: skip
    work = 3.0 * batch * count_multiply_adds(network, shape)
    log = {"config": config.label, "batch": batch, "step_ms": 1e3 * seconds, "images_per_second": batch / seconds,
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
    sys.exit(o.run(main))
