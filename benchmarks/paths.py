"""Does the fast training path cost quality?  The default model by the fast path and by a plain one, over seeds.

    python benchmarks/paths.py [--epochs 1] [--seeds 3] [--n 2000] [--record]

The fast path is `thaw.train`'s: channels last, one call of torch._foreach for the moving average, the data in memory.
The plain one computes the same in fp32 with images in the usual layout, a loop over the parameters, and a data loader
that reads image by image. Both see the same batches, noise and initial weights: they differ by the rounding of their
sums alone, which grows over the steps as a change of seed would. The question is whether the scores differ by more than
seeds do. Each training is kept in contents/paths/, and not done again.
"""

import json
import statistics
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from thaw.base.files import enter_project, write_json
from thaw.base.pixels import to_pixels
from thaw.cli import options as o
from thaw.data import ImageSet
from thaw.experiment.config import Config, load_config
from thaw.report.recorder import Recorder
from thaw.scoring import load_judge, score_model
from thaw.store.inputs import load_data
from thaw.training.parallel import build_accelerator
from thaw.training.trainer import Trainer

CONFIG, OUT = "configs/ddpm/default.yaml", Path("contents/paths")
PATHS = ("fast", "plain")


class OneByOne(Dataset):
    """Images converted when they are asked for, one at a time."""

    def __init__(self, images: ImageSet) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return to_pixels(self.images.images[index])


class PlainImages(ImageSet):
    """A data set that is read through torch's DataLoader."""

    def pixels(self, index: Tensor | slice = slice(None)) -> Tensor:
        """Return images as float32 in [-1, 1].  (n,) indices -> (n, C, H, W)"""
        chosen = torch.arange(len(self))[index].tolist()
        loader = DataLoader(OneByOne(self), batch_size=len(chosen), sampler=chosen)
        return next(iter(loader))


def make_plain(trainer: Trainer) -> None:
    """Take from a trainer what makes it fast; it computes the same otherwise."""
    trainer.images = PlainImages(**vars(trainer.images))
    trainer.bare.to(memory_format=torch.contiguous_format)
    for module in trainer.bare.modules():
        if isinstance(module, nn.Conv2d):  # the network asks for channels last at its entrance
            module.register_forward_pre_hook(lambda _, given: tuple(part.contiguous() for part in given))
    decay = trainer.config.ema

    def update(averaged: Tensor, current: Tensor, n: Tensor) -> Tensor:
        return averaged + (1 - min(decay, (1 + int(n)) / (10 + int(n)))) * (current - averaged)

    trainer.ema = AveragedModel(trainer.bare, avg_fn=update)


def train(config: Config, path: str, n: int) -> dict[str, Any]:
    """Train by one path, or read what it gave before: the losses of the epochs, seconds, and scores of n samples."""
    kept = OUT / f"{path}_{config.epochs}_seed{config.seed}_{n}.json"
    if kept.is_file():
        return json.loads(kept.read_text())
    trainer = Trainer(config, load_data(config, "train"), OUT / f"{path}_seed{config.seed}", build_accelerator(config))
    if path == "plain":
        make_plain(trainer)
    losses = []
    with tqdm(total=trainer.total * config.batch_size, desc=f"{path}, seed {config.seed}", unit="img") as bar:
        while not trainer.done:
            for step in trainer.steps():
                bar.update(step.images)
            losses.append(trainer.end_epoch()["loss"])
    scores = score_model(trainer.model(), load_judge(config.data), n, seed=0)
    found = {"losses": losses, "seconds": trainer.seconds}
    found |= {name: score.value for name, score in scores.items()} | {"floor": scores["fid"].floor}
    write_json(kept, found)
    return found


def main(*, epochs: o.Passes = 1, seeds: o.Count = 3, n: o.Scored = 2_000, record: o.Record = False) -> None:
    """Train what was not trained yet, and print the table."""
    enter_project()
    values: dict[str, tuple[float, str]] = {"n": (n, ",d"), "seeds": (seeds, "d")}
    values["epochs"] = (epochs, "d")
    fids: dict[str, list[float]] = {path: [] for path in PATHS}
    print("path   seed   loss of the last epoch   distance (test)   accuracy")
    for seed in range(seeds):
        for path in PATHS:
            found = train(load_config(CONFIG, epochs=epochs, seed=seed), path, n)
            fids[path].append(found["fid"])
            row = f"{path:6s} {seed:4d} {found['losses'][-1]:24.6f} {found['fid']:17.3f} {found['accuracy']:10.3f}"
            print(row, flush=True)
            values["floor"] = (found["floor"], ".2f")
    for path, found in fids.items():
        spread = statistics.stdev(found) if len(found) > 1 else 0.0
        print(f"{path:6s} {statistics.mean(found):.3f} ± {spread:.3f} over the seeds")
        values |= {f"{path}.fid": (statistics.mean(found), ".2f"), f"{path}.spread": (spread, ".2f")}
    apart = max(abs(a - b) for a, b in zip(fids["fast"], fids["plain"], strict=True))
    values["apart"] = (apart, ".2f")
    print(f"at the same seed the two are at most {apart:.3f} apart")
    if record:
        made_by = {"benchmark": "benchmarks/paths.py", "config": CONFIG, "torch": torch.__version__}
        Recorder("paths", made_by).record(values)


if __name__ == "__main__":
    sys.exit(o.run(main))
