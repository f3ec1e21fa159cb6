"""How well can the class be told from a test digit that was destroyed to the end?  No restoration can do better.

    python benchmarks/ceilings.py [--names row col ...] [--record]

A classifier is fitted on the numbers that survive of the training digits, and asked about the test digits: how often
its best guess is right, and how often draws from its posterior would be. What was measured is kept in
contents/evaluation/.
"""

import sys

import sklearn
import torch
from restoration import NAMES

from thaw.base.files import enter_project
from thaw.cli import options as o
from thaw.play import open_model
from thaw.report.recorder import Recorder
from thaw.scoring import model_ceiling


def main(*, names: o.Names = NAMES, record: o.Record = False) -> None:
    """Print the table, in percent."""
    enter_project()
    torch.set_num_threads(1)
    recorder = Recorder(
        "ceiling", {"benchmark": "benchmarks/ceilings.py", "data": "mnist", "seed": 0, "sklearn": sklearn.__version__}
    )
    for name in names:
        model = open_model(f"{name}_default")
        found = model_ceiling(model)
        shares = {what: (100 * getattr(found, what), ".1f") for what in ("best_guess", "posterior", "error")}
        print(f"{name:14s}", "  ".join(f"{what} {value:.1f}" for what, (value, _) in shares.items()), flush=True)
        if record:
            values = {f"{name}.{what}": value for what, value in shares.items()} | {"n": (found.n, ",d")}
            recorder.record(values, degradation=model.config.degradation)


if __name__ == "__main__":
    sys.exit(o.run(main))
