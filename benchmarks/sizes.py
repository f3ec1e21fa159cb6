"""What is the smallest model that still generates MNIST?  Autoencoder and flow together, from 5,000 parameters on.

    python benchmarks/sizes.py [--n 2000] [--images 1000] [--only NAME ...]

Every size is trained alike, by the recipe of configs/autoencoder/mnist.yaml and configs/latent/mnist.yaml but for the
epochs below, in contents/runs; it goes on where it was stopped. Writes measured/sizes.json after each size, and at the
end Plots/latent_sizes.pdf, latent_sizes_accuracy.pdf and latent_sizes_samples.png, and the numbers `latent.sizes.*`.
"""

import json
import sys
from pathlib import Path
from typing import Any, Literal

import torch

from thaw.base.files import enter_project, write_json
from thaw.base.pixels import to_uint8
from thaw.cli import options as o
from thaw.experiment.config import Config, load_config
from thaw.likelihood import class_shares
from thaw.model import Model
from thaw.networks import count_parameters
from thaw.report import figures, results
from thaw.scoring import classify, floor_at, load_judge, score_model, score_reconstruction
from thaw.scoring.samples import weights_digest
from thaw.store import list_checkpoints, load_model
from thaw.store.inputs import load_data
from thaw.store.runs import RUNS
from thaw.training.loop import train

OUT = Path("benchmarks/measured/sizes.json")
EPOCHS = {"autoencoder": 2, "latent": 40}
# name -> settings of the autoencoder, settings of the flow
SIZES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "size_5k": ({"widths": (4,), "expansion": 1}, {"widths": (4,)}),
    "size_8k": ({"widths": (8,), "expansion": 1}, {"widths": (8,)}),
    "size_13k": ({"widths": (12,), "expansion": 2}, {"widths": (16,)}),
    "size_33k": ({"widths": (24,), "expansion": 2}, {"widths": (32, 32)}),
    "size_full": ({}, {"widths": (72, 72)}),  # the coder as shipped, but for the epochs
}


def configs(name: str) -> tuple[Config, Config]:
    """Return the configurations of the autoencoder and of the flow of a size."""
    coder, flow = SIZES[name]
    quiet = {"set": name, "sample_every": 0, "evaluate_every": 0}
    coding = load_config("configs/autoencoder/mnist.yaml", **quiet, **coder, epochs=EPOCHS["autoencoder"])
    where = {"autoencoder": str(RUNS / coding.run_name), "epochs": EPOCHS["latent"]}
    return coding, load_config("configs/latent/mnist.yaml", **quiet, **flow, **where)


def trained(config: Config) -> Model:
    """Train what is left to train of a configuration, and load it."""
    run = RUNS / config.run_name
    for epoch in train(config, run):
        print(f"{config.run_name}  {epoch}", flush=True)
    return load_model(list_checkpoints(run)[-1])


def measure(name: str, n: int, images: int) -> dict[str, Any]:
    """Train a size and return its log: parameters, errors, scores of `n` samples, accuracy on `images` test images."""
    coding, flow = configs(name)
    coder, model = trained(coding), trained(flow)
    judge, latents = load_judge("mnist"), load_data(flow, "test")
    scores = score_model(model, judge, n, seed=1)
    prior = class_shares(load_data(flow).labels, model.classes)
    found = classify(model, latents.subset(min(images, len(latents)), 0), prior, route="elbo")
    log = {
        "autoencoder_parameters": count_parameters(coder.network),
        "flow_parameters": count_parameters(model.network),
    }
    machines = dict.fromkeys(one.info["machine"] for one in (coder, model) if one.info.get("machine"))
    log |= {"machine": " and ".join(machines)}
    log |= {"seconds": coder.info["seconds"] + model.info["seconds"], "weights": weights_digest(model)[:12], "n": n}
    log |= {score.name: score.value for score in scores.values()}
    log |= {"squared_error": score_reconstruction(coder, load_data(coding, "test"))["mse"]}
    return log | {"bayes": found.record()}


def draw(logs: dict[str, dict[str, Any]]) -> None:
    """Draw the curves of size against quality, and ten digits of each size, a row a size; record the numbers."""
    origin = {"script": "benchmarks/sizes.py", "log": str(OUT)}
    ordered = sorted(logs, key=total_of(logs))
    x, n = [total_of(logs)(name) for name in ordered], logs[ordered[0]]["n"]
    fids = {f"samples, n = {n:,}": (x, [logs[name]["fid"] for name in ordered])}
    floor = (floor_at(load_judge("mnist"), torch.arange(n) % 10), "real images")
    figure = figures.curves(fids, "parameters", "Fréchet distance", log=True, log_x=True, floor=floor)
    figures.save_figure(figure, results.PLOTS / "latent_sizes.pdf", origin)
    shares = {
        "samples are what was asked for": (x, [100 * logs[name]["accuracy"] for name in ordered]),
        "Bayes' rule on test images": (x, [100 * logs[name]["bayes"]["accuracy"] for name in ordered]),
    }
    figure = figures.curves(shares, "parameters", "accuracy (%)", log_x=True)
    figures.save_figure(figure, results.PLOTS / "latent_sizes_accuracy.pdf", origin)
    models = [load_model(RUNS / configs(name)[1].run_name) for name in ordered]
    rows = torch.cat([to_uint8(model.sample(model.labels(20))) for model in models])
    figures.save_grid(results.PLOTS / "latent_sizes_samples.png", rows, columns=20, origin=origin)
    results.record({"latent.sizes.n": (n, ",d")}, origin)
    for name in ordered:
        log = logs[name]
        values = {"parameters": (total_of(logs)(name), ",d"), "fid": (log["fid"], ".2f")}
        values |= {"accuracy": (100 * log["accuracy"], ".1f"), "bayes": (100 * log["bayes"]["accuracy"], ".1f")}
        values |= {"squared_error": (log["squared_error"], ".1f"), "minutes": (log["seconds"] / 60, ".0f")}
        key = name.removeprefix("size_")
        made = origin | {"machine": log.get("machine", "")}
        results.record({f"latent.sizes.{key}.{what}": value for what, value in values.items()}, made)


def total_of(logs: dict[str, dict[str, Any]]) -> Any:
    """Return a function from a size's name to all its parameters."""
    return lambda name: logs[name]["autoencoder_parameters"] + logs[name]["flow_parameters"]


Sizes = o.word("only these", kind=list[Literal[tuple(SIZES)]], consume_multiple=True)


def main(*, n: o.Scored = 2000, images: o.Count = 1000, only: Sizes = tuple(SIZES)) -> None:
    """Measure every size that has no log of this `n` yet, and draw them all."""
    torch.set_num_threads(1)
    enter_project()
    logs = json.loads(OUT.read_text()) if OUT.is_file() else {}
    for name in only:
        if logs.get(name, {}).get("n") != n:
            logs[name] = measure(name, n, images)
            write_json(OUT, logs)
            print(name, json.dumps(logs[name]), flush=True)
    draw(logs)


if __name__ == "__main__":
    sys.exit(o.run(main))
