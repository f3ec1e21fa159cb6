"""What is the fitted start worth?  The same networks from fitted, simpler, and hand-set starts.

    python benchmarks/terminals.py [--n 1000] [--models row_default zoom_nearest_default] [--record]

Sampling begins at coordinates of a fully degraded image (28 means of rows, 16 pixels of the zoom's window). They are
drawn from: the mixture of Gaussians that was fitted to each class and ships with the weights; one Gaussian over all
classes, as in Bansal et al. (2022); each number on its own from its histogram over the training set (the zoom study);
each number uniformly between its least and greatest value there (the row study); and, as the best that any start could
do, from real training images of the class. Everything else is the same, cold (Algorithm 1) and at temperature 1.
"""

import sys
from dataclasses import replace

import torch
from torch import Tensor

from thaw.base.files import enter_project
from thaw.cli import options as o
from thaw.data import load
from thaw.play import open_model
from thaw.report.recorder import Recorder
from thaw.scoring import load_judge, score_model
from thaw.terminal import fit_terminal, terminal_coordinates

MODELS = ("row_default", "zoom_nearest_default")
SAMPLERS = {"cold": {"sampler": "algorithm1"}, "warm": {"sampler": "warm", "tau": 1.0}}


class Given:
    """Starts that are drawn from the training set's coordinates by a rule.

    Args:
        known: (N, D) coordinates of the training images.
        labels: (N,) their classes.
        rule: "real" (one image of the class), "histogram" (each number from another image), or "uniform".
    """

    def __init__(self, known: Tensor, labels: Tensor, rule: str) -> None:
        self.known, self.labels, self.rule = known.float(), labels, rule

    def sample(self, y: Tensor, generator: torch.Generator) -> Tensor:
        """Draw coordinates for class labels (B,), which only "real" looks at.  (B, D)"""
        (N, D), B = self.known.shape, len(y)
        if self.rule == "real":
            of_class = (self.labels[None] == y.cpu()[:, None]).float()
            return self.known[torch.multinomial(of_class, 1, generator=generator)[:, 0]]
        if self.rule == "histogram":
            return self.known.gather(0, torch.randint(N, (B, D), generator=generator))
        low, high = self.known.amin(dim=0), self.known.amax(dim=0)
        return low + (high - low) * torch.rand(B, D, generator=generator)


def main(*, n: o.Scored = 1_000, models: o.Names = MODELS, record: o.Record = False) -> None:
    """Print the table."""
    enter_project()
    torch.set_num_threads(1)
    train, judge = load("mnist"), load_judge("mnist")
    values: dict[str, tuple[float, str]] = {"n": (n, ",d")}
    for name in models:
        model = open_model(name)
        degradation = model.process.degradation
        known = terminal_coordinates(degradation, train.batches())
        one = fit_terminal(degradation, train.batches(), torch.zeros_like(train.labels), components=1)
        starts = {"fitted": model.terminal, "gaussian": one}
        starts |= {rule: Given(known, train.labels, rule) for rule in ("histogram", "uniform", "real")}
        for start, terminal in starts.items():
            for how, settings in SAMPLERS.items():
                found = score_model(replace(model, terminal=terminal), judge, n, **settings)
                fid, accuracy = found["fid"], found["accuracy"]
                print(f"{name:22s} {start:10s} {how}: {fid}, accuracy {accuracy.value:.1%}", flush=True)
                values[f"{name}.{start}.{how}"] = (fid.value, ".2f")
                values["floor"] = (fid.floor, ".2f")
    if record:
        made_by = {"benchmark": "benchmarks/terminals.py", "torch": torch.__version__, "features": judge.digest}
        Recorder("terminals", made_by, judge=judge).record(values, *map(open_model, models))


if __name__ == "__main__":
    sys.exit(o.run(main))
