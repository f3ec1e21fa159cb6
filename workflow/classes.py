"""The classifiers of fully degraded images that are shipped: one for each degradation that leaves numbers to tell by.

python workflow/classes.py [--data mnist] [--out pretrained]

Weights that are trained from now on hold their own; those of the manifest are older.
"""

import sys
from pathlib import Path
from typing import Any

from thaw import degradations
from thaw.base.files import check_target
from thaw.cli import options as o
from thaw.data import ImageSet, load
from thaw.experiment.config import Config
from thaw.store import read_manifest
from thaw.store.released import PRETRAINED, save_released
from thaw.store.weights import CLASSES_FORMAT, classes_path, degrades_by
from thaw.terminal import fit_classifier, terminal_coordinates


def save_classes(images: ImageSet, manifest: dict[str, dict[str, Any]], folder: str | Path = PRETRAINED) -> Path:
    """Fit and write the classifiers for the weights in a manifest, and list the file there."""
    path = check_target(classes_path(images.name, folder), ".pth")
    models = [entry for entry in manifest.values() if entry.get("terminal_rank") and "config" in entry]
    configs = [Config(**entry["config"]) for entry in models]
    found = {degrades_by(config): config for config in configs if config.data_name == images.name}
    content: dict[str, Any] = {"data": images.name}
    for key, config in sorted(found.items()):
        degradation = degradations.build(config.degradation, images.shape, **config.options)
        coordinates = terminal_coordinates(degradation, images.batches())
        content[key] = fit_classifier(coordinates, images.labels).state()
        print(key, flush=True)
    return save_released(path, CLASSES_FORMAT, content, {"classifiers": sorted(found), "split": images.split})


def main(*, data: o.Data = "mnist", out: o.Out = "pretrained") -> None:
    """Fit and write them."""
    folder = check_target(out, folder="filled")
    print(save_classes(load(data, "train"), read_manifest(folder), folder))


if __name__ == "__main__":
    sys.exit(o.run(main))
