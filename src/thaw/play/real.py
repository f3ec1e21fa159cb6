"""Real pictures to begin with: embedded ones, or a data set's."""

from pathlib import Path

from torch import Tensor

from thaw.base import ThawError
from thaw.data import load
from thaw.model import Model
from thaw.store import example, examples_path, load_data

Picture = tuple[Tensor, int | None]  # pixels (1, C, H, W) in [-1, 1], and the class where it is known


def from_test_split(index: int, data: str) -> Picture:
    """Return an image of a test split that is on the disk.

    Raises:
        ThawError: where the data set is not, or for an index beyond its end.
    """
    images = load(data, "test", download=False)
    if index >= len(images):
        raise ThawError(f"{data} has {len(images)} test images; choose one below {len(images)}")
    return images.pixels(slice(index, index + 1)), int(images.labels[index])


def example_for(model: Model, folder: str | Path | None = None) -> Tensor:
    """Return a real picture of a model's data set: an embedded one, or else its first test image.  (1, C, H, W)

    Raises:
        ThawError: where neither is there.
    """
    data = model.config.data_name
    if examples_path(data, folder).is_file():
        return example(14, data, folder)[0]
    images = model.config.model_copy(update={"autoencoder": None})
    return load_data(images, "test", download=False).pixels(slice(0, 1))
