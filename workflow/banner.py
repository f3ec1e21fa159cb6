"""The README's picture: hot, cold and warm digits of the shipped weights side by side.

python workflow/banner.py [--out Plots/readme.png]      (or: make banner)
"""

import sys
from pathlib import Path

import torch

from thaw.base.files import check_target, needed
from thaw.base.pixels import to_uint8
from thaw.cli import options as o
from thaw.report import figures
from thaw.report.recorder import weights_of
from thaw.store.catalogue import open_model


def banner(path: str | Path = "Plots/readme.png", hot: str = "default", cold: str = "row_default") -> Path:
    """Draw the README's picture: hot, cold and warm side by side, five of each class, seed 0."""
    path = check_target(path, ".png")
    check_target(path, ".png", also=[path.with_name(f"{path.name}.json")])
    hot_model, cold_model = open_model(hot), open_model(cold)
    y = hot_model.labels(50)
    runs = [(hot_model, {}), (cold_model, {"sampler": "algorithm2"}), (cold_model, {"sampler": "warm"})]
    blocks = [to_uint8(model.sample(y, seed=0, **settings)) for model, settings in runs]
    C, H, W = hot_model.process.shape
    blank = torch.full((5, 1, C, H, W), 255, dtype=torch.uint8)
    rows = [part for block in blocks for part in (block.reshape(5, 10, C, H, W), blank)][:-1]
    origin = {"notebook": "load_and_play", "seed": 0, "weights": weights_of(hot_model, cold_model)}
    return figures.save_grid(path, torch.cat(rows, dim=1).flatten(0, 1), columns=32, origin=origin, scale=2)


def main(*, out: o.Out = "Plots/readme.png") -> None:
    """Draw the picture."""
    needed("Plots", "name another place for the picture")
    print(banner(out))


if __name__ == "__main__":
    sys.exit(o.run(main))
