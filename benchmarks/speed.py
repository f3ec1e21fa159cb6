"""Cost of the parts, side by side in one run: degradations, a training step, sampling, the earlier study's way.

    make speed            (or: python benchmarks/speed.py --repeats 7)

Prints medians of CPU seconds; asserts nothing. One torch thread, because two are slower on small shared machines.
"""

import sys

import torch
from timing import median_seconds, training_step

from thaw import degradations
from thaw.base.machine import machine, timed
from thaw.base.seeding import generator
from thaw.cli import options as o
from thaw.experiment.build import build_model, build_network, build_process
from thaw.experiment.config import load_config
from thaw.model import Model
from thaw.networks import count_multiply_adds, count_parameters
from thaw.report.recorder import Recorder
from thaw.terminal import Terminal

SHAPE, CLASSES, BATCH = (1, 28, 28), 10, 128


def untrained(path: str) -> Model:
    """Return a model with random weights, of the same cost as with any others."""
    config = load_config(path)
    network = build_network(config, SHAPE, CLASSES).eval()
    return build_model(config, build_process(config, SHAPE), network, Terminal.point(torch.zeros(0)), CLASSES)


def main(*, repeats: o.Repeats = 5, record: o.Record = False) -> None:
    """Print the table."""
    torch.set_num_threads(1)

    print(f"torch {torch.__version__}, one thread, medians of {repeats}, CPU seconds; {machine()}\n")
    for path in ("configs/ddpm/light.yaml", "configs/ddpm/default.yaml", "configs/ddpm/more_capacity.yaml"):
        config = load_config(path)
        network = build_network(config, SHAPE, CLASSES)
        adds = count_multiply_adds(network, SHAPE) / 1e6
        print(f"{path:34s} {count_parameters(network):9,d} parameters {adds:6.1f} M multiply-adds")

    step = median_seconds(training_step(load_config("configs/ddpm/default.yaml"))[0], repeats)
    print(f"\ntraining step, batch {BATCH}: {1000 * step:.0f} ms = {BATCH / step:.0f} images/s")
    x0 = torch.rand(BATCH, *SHAPE) * 2 - 1
    for name in degradations.names():
        degradation = degradations.build(name, SHAPE)
        t = torch.randint(1, degradation.steps + 1, (BATCH,))
        z = degradation.draw_z(BATCH, generator(0, "benchmark z"))
        seconds = median_seconds(lambda d=degradation, t=t, z=z: d(x0, t, z), 20 * repeats)
        print(f"  forward {name:13s} {1000 * seconds:7.2f} ms = {100 * seconds / step:5.2f} % of the step")

    model, earlier = untrained("configs/ddpm/default.yaml"), untrained("configs/ddpm/cnn.yaml")
    ours = median_seconds(lambda: model.sample(model.labels(64)), repeats)
    steps, evaluations = model.config.sample_steps, model.sampling.evaluations(model.process)
    print(f"64 digits, U-Net: {steps} steps, {evaluations} evaluations: {ours:.2f} s")
    few = 20  # of its 1000 steps, all alike; timing them all would take minutes
    theirs = median_seconds(lambda: earlier.sample(earlier.labels(64), steps=few), max(1, repeats // 2))
    theirs *= earlier.process.steps / few
    print(f"64 digits, plain CNN, {earlier.process.steps} ancestral steps: {theirs:.0f} s (from {few} steps)")
    print(f"the U-Net draws {theirs / ours:.0f} times faster")
    if record:
        recorder = Recorder("speed", {"benchmark": "benchmarks/speed.py", "config": "configs/ddpm"} | timed())
        values = {"default_seconds_64": (ours, ".1f"), "earlier_seconds_64": (theirs, ".0f")}
        recorder.record(values | {"timed_steps": (few, "d"), "ratio_to_earlier": (theirs / ours, ".0f")})


if __name__ == "__main__":
    sys.exit(o.run(main))
