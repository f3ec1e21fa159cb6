"""Blur and noise mixed: what is lost, and how good the digits are, by the ratio of the two.

    python benchmarks/blur_noise.py [--n 1000] [--record]

Warm Diffusion (Hsueh et al. 2025) mixes blur and noise, and asks in which ratio. Here the temperature sets it: at T the
blur is `WIDTH` pixels wide and the noise has a deviation of tau, so that the ratio is WIDTH / tau. With every
temperature stands what the sampler loses of the variance with a perfect restorer, in 14 steps and in all, and the
distance of n digits of the set `blur_default` to the training images. What was drawn and measured is kept in
contents/evaluation/.
"""

import sys
from typing import Any

import torch
from repairs import BEFORE, GUIDED, WEIGHTS

from thaw import degradations, play
from thaw.base.files import enter_project
from thaw.cli import options as o
from thaw.data import load, strip
from thaw.process import Process
from thaw.report.figures import curves
from thaw.report.recorder import Recorder
from thaw.schedules import noise_schedule
from thaw.scoring import evaluate_model, labels_in_shares, load_judge
from thaw.scoring.budget import Oracle

WIDTH = 20.0  # deviation of the blur at T, in pixels
TAUS = (0.1, 0.25, 0.5, 1.0, 1.5, 2.0)
STATES = 12  # of a trajectory in the figure
RATIO = "blur over noise at T (pixels)"


def main(*, n: o.Scored = 1000, record: o.Record = False) -> None:
    """Print a line a temperature."""
    enter_project()
    torch.set_num_threads(1)
    judge, images = load_judge("mnist"), load("mnist", "train").subset(5000, 0).pixels()
    blur, model = degradations.build("blur", (1, 28, 28), largest=WIDTH), play.open_model("blur_default")
    oracle, ways = Oracle(blur, images), (BEFORE.steps, blur.steps)
    settings = GUIDED | {"steps": WEIGHTS["all"]["steps"], "labels": labels_in_shares(judge, n)}
    lost: dict[int, list[float]] = {steps: [] for steps in ways}
    distances = []
    for tau in TAUS:
        for steps in ways:
            lost[steps].append(100 * oracle.loss(BEFORE.replace(tau=tau, steps=steps)).distance)
        fid = evaluate_model(model, n, judge=judge, reference="train", tau=tau, **settings).scores["fid"]
        distances.append(fid.value)
        print(f"tau {tau:4.2f}  ratio {WIDTH / tau:5.1f}", *(f"  lost {found[-1]:.1f} %" for found in lost.values()),
              f"  distance {fid.value:.2f}", flush=True)  # fmt: skip
    if not record:
        return
    recorder = Recorder("blur_noise", {"benchmark": "benchmarks/blur_noise.py", "seed": 0, "n": n}, judge=judge)
    least = min(range(len(TAUS)), key=distances.__getitem__)
    values: dict[str, tuple[Any, str]] = {"best_tau": (TAUS[least], "g"), "best_ratio": (WIDTH / TAUS[least], ".0f")}
    values |= {"best_fid": (distances[least], ".2f"), "floor": (fid.floor, ".2f"), "width": (WIDTH, "g")}
    values |= {"warm_fid": (distances[TAUS.index(1.0)], ".2f"), "taken": (settings["steps"], "d"), "n": (n, ",d")}
    values |= {"least_tau": (TAUS[0], "g"), "least_ratio": (WIDTH / TAUS[0], ".0f"), "least_fid": (distances[0], ".2f")}
    recorder.record(values, model)
    ratios = [WIDTH / tau for tau in TAUS]
    series = {f"{steps} steps": (ratios, found) for steps, found in lost.items()}
    recorder.show_figure("lost", curves(series, RATIO, "variance lost (%)", log=True, log_x=True), model)
    series = {"blur": (ratios, distances)}
    figure = curves(series, RATIO, "Fréchet distance", log_x=True, floor=(fid.floor, "real"))
    recorder.show_figure("distance", figure, model)
    process = Process(blur, noise_schedule("flow", blur.steps)[1], tau=(0.0, max(TAUS)))
    noise = torch.randn(1, *blur.shape, generator=torch.Generator().manual_seed(0))
    each = [[process(images[:1], torch.tensor([t]), torch.tensor([tau]), noise) for t in range(blur.steps + 1)]
            for tau in TAUS]  # fmt: skip
    recorder.show_grid("states", torch.cat([strip(states, STATES) for states in each]), STATES, model, scale=2)


if __name__ == "__main__":
    sys.exit(o.run(main))
