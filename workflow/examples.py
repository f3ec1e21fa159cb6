"""The example images that are shipped, chosen out of a data set's test split.

python workflow/examples.py [--data mnist] [--out pretrained]
"""

import sys
from pathlib import Path

import torch

from thaw.base.files import check_target
from thaw.cli import options as o
from thaw.data import ImageSet, load
from thaw.store.examples import FORMAT, examples_path
from thaw.store.released import PRETRAINED, save_released

EACH = 2  # images of a class


def choose_examples(images: ImageSet, each: int = EACH) -> ImageSet:
    """Return the first `each` images of every class, in order of the classes: chosen by nobody's taste."""
    return images.take(torch.cat([(images.labels == label).nonzero()[:each, 0] for label in range(images.classes)]))


def save_examples(images: ImageSet, folder: str | Path = PRETRAINED) -> Path:
    """Write example images and list the file in MANIFEST.json."""
    path = check_target(examples_path(images.name, folder), ".pth")
    content = {"data": images.name, "split": images.split, "classes": images.classes}
    content |= {"images": images.images, "labels": images.labels}
    return save_released(path, FORMAT, content, {"images": len(images), "split": images.split})


def main(*, data: o.Data = "mnist", out: o.Out = "pretrained") -> None:
    """Choose and write them."""
    folder = check_target(out, folder="filled")
    print(save_examples(choose_examples(load(data, "test")), folder))


if __name__ == "__main__":
    sys.exit(o.run(main))
