"""Cost of the parts, side by side in one run: degradations, a training step, sampling, the earlier study's way.

    make speed            (or: python benchmarks/speed.py --repeats 7)

Prints medians of CPU seconds; asserts nothing. One torch thread, because two are slower on small shared machines.
"""

import sys

import torch
from timing import median_seconds, training_step

from thaw import degradations
from thaw.base.errors import ThawError
from thaw.base.machine import machine, timed
from thaw.base.seeding import generator
from thaw.cli import options as o
from thaw.experiment.build import build_model, build_network, build_process
from thaw.experiment.config import load_config
from thaw.model import Model
from thaw.networks import count_multiply_adds, count_parameters
from thaw.report import results
from thaw.report.provenance import weights_of
from thaw.store import weights
from thaw.terminal import Terminal

SHAPE, CLASSES, BATCH = (1, 28, 28), 10, 128


def shipped_or_random(label: str, path: str) -> Model:
    """Return the shipped model, or one of the same cost with random weights."""
    try:
        return weights.load_model(weights.release_path(label))
    except ThawError:
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

    model = shipped_or_random("default", "configs/ddpm/default.yaml")
    ours = median_seconds(lambda: model.sample(model.labels(64)), repeats)
    steps, evaluations = model.config.sample_steps, model.sampling.evaluations(model.process)
    print(f"64 digits, U-Net: {steps} steps, {evaluations} evaluations: {ours:.2f} s")
    baseline = shipped_or_random("cnn", "configs/ddpm/cnn.yaml")
    few = 20  # of its 1000 steps, all alike; timing them all would take minutes
    theirs = median_seconds(lambda: baseline.sample(baseline.labels(64), steps=few), max(1, repeats // 2))
    theirs *= baseline.process.steps / few
    print(f"64 digits, plain CNN, {baseline.process.steps} ancestral steps: {theirs:.0f} s (from {few} steps)")
    print(f"the U-Net draws {theirs / ours:.0f} times faster")
    for one in (model, baseline):
        if "fid" in one.info:
            fid = one.info["fid"]
            real = results.number(fid["floor"])
            print(f"  {one.info['file']}: FID {fid['value']:.2f} (real images {real}, n = {fid['n']})")
    if record:
        keep(model, baseline, {"default": ours, "cnn": theirs}, few)


def keep(model: Model, baseline: Model, seconds: dict[str, float], few: int) -> None:
    """Record what the comparison of the shipped U-Net with the shipped plain CNN found."""
    if not ("fid" in model.info and "fid" in baseline.info):
        raise ThawError("pretrained/ lacks the scored weights of default or cnn; nothing was recorded")
    fid, entropy = baseline.info["fid"], baseline.info["entropy"]
    values = {
        "ddpm.cnn.parameters": (count_parameters(baseline.network), ",d"),
        "ddpm.cnn.epochs": (baseline.epoch, "d"),
        "ddpm.cnn.train_minutes": (baseline.info["train_seconds"] / 60, ".0f"),
        "ddpm.cnn.evaluations": (baseline.process.steps, ",d"),
        "ddpm.cnn.timed_steps": (few, "d"),
        "ddpm.cnn.seconds_64": (seconds["cnn"], ".0f"),
        "ddpm.cnn.final.n": (fid["n"], ",d"),
        "ddpm.cnn.final.fid": (fid["value"], ".1f"),
        "ddpm.cnn.final.fid_floor": (fid["floor"], ".2f"),
        "ddpm.cnn.final.entropy": (entropy["value"], ".3f"),
        "speed.default_seconds_64": (seconds["default"], ".1f"),
        "speed.ratio_to_cnn": (seconds["cnn"] / seconds["default"], ".0f"),
    }
    results.record(values, {"benchmark": "benchmarks/speed.py", "weights": weights_of(model, baseline)} | timed())


if __name__ == "__main__":
    sys.exit(o.run(main))
