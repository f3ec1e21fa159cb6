"""Two other losses, each tried once: after the degradation, and with stable targets; rows, softened, from hot weights.

    python benchmarks/losses.py [--names plain after stable] [--epochs 2] [--n 1000] [--record]

`plain` is the loss of `thaw.Process`: the squared error of x0_hat. `after` compares D_t(x0_hat) with D_t(x0), as soft
score matching does (Daras et al. 2022): what D_t hides is not asked for. `stable` compares x0_hat with the mean of the
posterior over a reference batch, in place of the one image that was degraded (Xu et al. 2023): the same minimum, a
target of less variance. All three see the same batches, draws and initial weights. Each run is kept in
contents/losses/, and goes on where it was stopped.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import torch
from torch import Tensor, nn

import thaw
from thaw.base.files import enter_project
from thaw.cli import options as o
from thaw.data import ImageSet
from thaw.experiment.config import load_config
from thaw.process import Draws, Process
from thaw.report.recorder import Recorder
from thaw.scoring import MEASURES, evaluate_model, labels_in_shares, load_judge
from thaw.store.inputs import load_data

CONFIG, OUT = "configs/custom/row_default.yaml", Path("contents/losses")
REFERENCE = 4096  # images of the reference batch
RIDGE = 1e-6  # of the noise's variance, which may be nothing
RECORDED = ("fid", "precision", "recall", "accuracy")
Loss = Callable[[Process, nn.Module, Tensor, Tensor, Draws], Tensor]


def predicted(process: Process, network: nn.Module, x0: Tensor, y: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
    """Return x_t and x0_hat.  (B, C, H, W) each"""
    x_t = process(x0, draws.t, draws.tau, draws.noise, draws.z)
    return x_t, network(x_t, process.time(draws.t), draws.tau, y)


def after(process: Process, network: nn.Module, x0: Tensor, y: Tensor, draws: Draws) -> Tensor:
    """Return the mean of ||D_t(x0_hat) - D_t(x0)||^2 / dim: soft score matching."""
    _, x0_hat = predicted(process, network, x0, y, draws)
    again, given = (process.degradation(x, draws.t, draws.z) for x in (x0_hat, x0))
    return (again - given).square().mean()


def kept(process: Process, t: Tensor) -> Tensor:
    """Return how much of a row is left beside its mean, where D_t moves rows towards their means.  (B,) -> (B, H)"""
    height, width = process.shape[1:]
    stripes = torch.tensor([0.5, -0.5]).repeat(width // 2).expand(1, height, width)
    return 2 * process.degradation(stripes.expand(len(t), -1, -1, -1), t)[:, 0, :, 0]


def posterior_mean(process: Process, x_t: Tensor, draws: Draws, images: Tensor, fitting: Tensor) -> Tensor:
    """Return E[x0 | x_t] where x0 is one of a set of images, each x_t with its own t and tau.  (B, 1, H, W)

    For rows that move towards their means, softened or not: D_t is symmetric, so that all scalar products with
    D_t(x_i) are one matrix product; the images of all t need not be made.

    Args:
        process: of rows, with noise everywhere.
        x_t: (B, 1, H, W).
        draws: t and tau of each.
        images: (N, 1, H, W) in [-1, 1].
        fitting: (B, N) bool, which images count for which x_t.
    """
    rows, share = images[:, 0], kept(process, draws.t).square()  # (N, H, W), (B, H)
    of_means = rows.mean(dim=2).square() * rows.shape[2]  # (N, H)
    norms = of_means.sum(dim=1) + share @ (rows.square().sum(dim=2) - of_means).mT  # (B, N)
    products = process.degradation(x_t, draws.t).flatten(1) @ images.flatten(1).mT
    variance = (draws.tau * process.sigma[draws.t]).square().to(x_t.dtype) + RIDGE
    weights = ((products - norms / 2) / variance[:, None]).masked_fill(~fitting, -torch.inf).softmax(dim=1)
    return (weights @ images.flatten(1)).view_as(x_t)


def stable(reference: ImageSet) -> Loss:
    """Return the loss with the posterior mean over a reference batch, and the batch itself, as the target.

    Of images whose class is told, only those of the class count.
    """
    others, classes = reference.pixels(), reference.labels

    def loss(process: Process, network: nn.Module, x0: Tensor, y: Tensor, draws: Draws) -> Tensor:
        x_t, x0_hat = predicted(process, network, x0, y, draws)
        untold = y[:, None] == reference.classes
        fitting = torch.cat([y[:, None] == y, y[:, None] == classes], dim=1) | untold
        target = posterior_mean(process, x_t, draws, torch.cat([x0, others]), fitting)
        return (x0_hat - target).square().mean()

    return loss


def losses(images: ImageSet) -> dict[str, Loss]:
    """Return every loss by name."""
    return {"plain": Process.loss, "after": after, "stable": stable(images.subset(min(REFERENCE, len(images)), 0))}


def main(*, names: o.Names = None, epochs: o.Epochs = 2, n: o.Scored = 1000, record: o.Record = False) -> None:
    """Train what is not trained yet, and print a line a loss."""
    enter_project()
    config = load_config(CONFIG, epochs=epochs, save_every=epochs)
    judge = load_judge("mnist")
    recorder = Recorder("losses", {"benchmark": "benchmarks/losses.py", "config": CONFIG, "seed": 0}, judge=judge)
    for name, loss in losses(load_data(config)).items():
        if names is not None and name not in names:
            continue
        with patch.object(Process, "loss", loss):
            *_, last = thaw.train(config, OUT / name, progress=False)
        scores = evaluate_model(
            thaw.load_model(last.path), n, labels=labels_in_shares(judge, n), judge=judge, reference="train"
        ).scores
        print(f"{name:8s}", "  ".join(f"{what} {scores[what].value:.3f}" for what in RECORDED), flush=True)
        if record:
            values = {f"{name}.{what}": MEASURES[what].reported(scores[what].value) for what in RECORDED}
            values |= {"n": (n, ",d"), "epochs": (epochs, "d"), "floor": (scores["fid"].floor, ".2f")}
            recorder.record(values | {"reference": (REFERENCE, ",d")})


if __name__ == "__main__":
    sys.exit(o.run(main))
