"""Data sets: shapes, splits and what happens where they are missing."""

import gzip
import os
import struct

import numpy as np
import pytest
import torch

from thaw import data
from thaw.base.errors import ThawError
from thaw.degradations.morph import pictures_of
from thaw.experiment.config import make_config


def test_digits_have_the_layout_of_mnist(digits, digits_test):
    for images, n in ((digits, 1500), (digits_test, 297)):
        assert len(images) == len(images.labels) == n
        assert images.shape == (1, 28, 28) and images.images.dtype == torch.uint8
        assert images.labels.dtype == torch.int64 and images.classes == 10
        assert set(images.labels.tolist()) == set(range(10))
        assert images.images.max() == 255 and images.images.min() == 0
        assert not images.images[:, :, :4].any() and not images.images[..., -4:].any()  # a margin, as MNIST has


def test_splits_are_disjoint_and_together_all_of_the_digits(digits, digits_test):
    """scikit-learn's 1,797 digits differ from each other, so that no test image may equal a training image."""
    pictures = {bytes(image.flatten().tolist()) for split in (digits, digits_test) for image in split.images}
    assert len(pictures) == len(digits) + len(digits_test) == 1797


@pytest.mark.parametrize("split", ["train", "test"])
def test_loading_twice_gives_the_same_images_in_the_same_order(split):
    first, again = data.load("digits", split), data.load("digits", split)
    assert torch.equal(first.images, again.images) and torch.equal(first.labels, again.labels)


def test_pixels_are_floats_between_minus_one_and_one(digits):
    pixels = digits.pixels()
    assert pixels.dtype == torch.float32 and pixels.min() == -1 and pixels.max() == 1
    chosen = torch.tensor([5, 3])
    assert torch.equal(digits.pixels(chosen), pixels[chosen])
    assert torch.equal(digits.pixels(slice(2, 4)), pixels[2:4])


def test_a_subset_is_drawn_by_its_seed_without_repetition(digits):
    first, again, other = (digits.subset(200, seed) for seed in (0, 0, 1))
    assert torch.equal(first.images, again.images) and not torch.equal(first.images, other.images)
    assert len(first) == 200 and first.classes == 10 and first.split == "train"
    assert len({bytes(image.flatten().tolist()) for image in first.images}) == 200
    pairs = {(bytes(i.flatten().tolist()), int(y)) for i, y in zip(digits.images, digits.labels, strict=True)}
    assert {(bytes(i.flatten().tolist()), int(y)) for i, y in zip(first.images, first.labels, strict=True)} <= pairs


def test_asking_for_more_images_than_there_are_is_refused(digits):
    assert len(digits.subset(1500, 0)) == 1500
    with pytest.raises(ThawError, match="1501.*1500"):
        digits.subset(1501, 0)


def test_unknown_names_and_splits_are_refused_with_the_known_ones():
    with pytest.raises(ThawError, match="cifar.*mnist, fashion, emnist, digits"):
        data.load("cifar")
    with pytest.raises(ThawError, match="validation.*train or test"):
        data.load("digits", "validation")


@pytest.mark.parametrize("name", ["mnist", "fashion", "emnist"])
def test_a_folder_without_the_data_is_named(name, tmp_path, monkeypatch):
    monkeypatch.setenv("THAW_DATA", str(tmp_path / "empty"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ThawError, match=f"{name} in {tmp_path / 'empty'}"):
        data.load(name, download=False)
    assert not list((tmp_path / "empty").iterdir())


def _idx(array: np.ndarray) -> bytes:
    """Return an array as the bytes of an IDX file, as MNIST's are."""
    return struct.pack(f">{1 + array.ndim}i", 0x0800 + array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


IMAGES, LABELS = _idx(np.arange(3 * 784).reshape(3, 28, 28) % 256), _idx(np.array([0, 9, 4]))
DAMAGE = {
    "short": ("images-idx3", IMAGES[:-100]),
    "long": ("images-idx3", IMAGES + b"\0"),
    "empty": ("images-idx3", b""),
    "only a part of the header": ("images-idx3", IMAGES[:9]),
    "no images": ("images-idx3", _idx(np.zeros((0, 28, 28)))),
    "labels in their place": ("images-idx3", LABELS),
    "another magic": ("labels-idx1", b"\0\0\x0d\1" + LABELS[4:]),
    "packed": ("labels-idx1", gzip.compress(LABELS)),
    "a page of a server": ("labels-idx1", b"<html>404 not found</html>"),
    "fewer labels than images": ("images-idx3", _idx(np.zeros((4, 28, 28)))),
    "a class too many": ("labels-idx1", _idx(np.array([0, 99, 4]))),
}


@pytest.mark.parametrize(("name", "folder", "split", "begin"), [
    ("mnist", "MNIST", "train", "train"), ("fashion", "FashionMNIST", "test", "t10k"),
    ("emnist", "EMNIST", "train", "emnist-bymerge-test"), ("emnist", "EMNIST", "test", "emnist-balanced-test"),
])  # fmt: skip
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_named_with_the_mend(damage, name, folder, split, begin, tmp_path, monkeypatch):
    """Nothing takes its place: no download, no other data set, no morph into digits."""
    raw = tmp_path / "data" / folder / "raw"
    raw.mkdir(parents=True)
    monkeypatch.setenv("THAW_DATA", str(tmp_path / "data"))
    for prefix in ("train", "t10k", "emnist-bymerge-test", "emnist-balanced-test", "emnist-balanced-train"):
        if not (begin == "emnist-bymerge-test" and "balanced" in prefix):
            (raw / f"{prefix}-images-idx3-ubyte").write_bytes(IMAGES)
            (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(LABELS)
    if begin != "emnist-bymerge-test":  # 3 images cannot be split into 100,000 and the rest
        assert data.load(name, split, download=False).labels.tolist() == [0, 9, 4]
    kind, content = DAMAGE[damage]
    (raw / f"{begin}-{kind}-ubyte").write_bytes(content)
    monkeypatch.delenv("THAW_DATA")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("torchvision.datasets.MNIST.download", lambda _: pytest.fail("there is nothing to download"))
    with pytest.raises(ThawError, match=f"{begin}-{kind}-ubyte.* (remove|copy)"):
        data.load(name, split)
    if split == "test":
        with pytest.raises(ThawError, match=begin):
            data.resolve(name)
    if name == "mnist":
        with pytest.raises(ThawError, match=begin):
            pictures_of(name, tmp_path / damage)


@pytest.mark.parametrize(("name", "begin"), [
    ("mnist", "t10k"), ("fashion", "t10k"), ("emnist", "emnist-balanced-test"), ("emnist", "emnist-letters-test"),
])  # fmt: skip
def test_a_file_that_is_replaced_is_read_anew(name, begin, tmp_path, monkeypatch):
    """Also at the same time to the nanosecond, as a copy may keep it; what was not replaced stays in memory."""
    raw = tmp_path / data.DATA_SETS[name] / "raw"
    raw.mkdir(parents=True)
    monkeypatch.setenv("THAW_DATA", str(tmp_path))

    def loaded(images: int) -> data.ImageSet:
        for kind, array in (("images-idx3", np.ones((images, 28, 28))), ("labels-idx1", np.full(images, 2))):
            for prefix in (begin, "train", begin.replace("test", "train")):  # torchvision looks for both splits
                (raw / f"{prefix}-{kind}-ubyte").write_bytes(_idx(array))
                os.utime(raw / f"{prefix}-{kind}-ubyte", ns=(1, 1))
        split = {"emnist": begin.split("-")[1]} if name == "emnist" else {}
        return data.load(name, "test", download=False, **split)

    assert loaded(2) is loaded(2) and len(loaded(5)) == 5


def test_what_is_missing_or_still_packed_is_named(tmp_path, monkeypatch):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    monkeypatch.setenv("THAW_DATA", str(tmp_path))
    for prefix in ("train", "t10k"):
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(IMAGES)
    with pytest.raises(ThawError, match="t10k-labels-idx1-ubyte missing in .*THAW_DATA"):
        data.load("mnist", "test", download=False)
    (raw / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(LABELS)[:-5])
    with pytest.raises(ThawError, match="t10k-labels-idx1-ubyte.gz is still packed; unpack it, or remove it"):
        data.load("mnist", "test", download=False)


def test_looking_for_a_data_set_leaves_other_folders_alone(tmp_path, monkeypatch):
    (tmp_path / "other" / "raw").mkdir(parents=True)
    (tmp_path / "other" / "notes.txt").touch()
    (tmp_path / "empty" / "raw").mkdir(parents=True)
    monkeypatch.setenv("THAW_DATA", str(tmp_path))
    with pytest.raises(ThawError, match=str(tmp_path)):
        data.load("mnist", "test", download=False)
    assert (tmp_path / "other" / "raw").is_dir() and (tmp_path / "empty" / "raw").is_dir()


def test_digits_need_no_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("THAW_DATA", str(tmp_path / "nowhere"))
    assert len(data.load("digits", "test", download=False)) == 297 and data.resolve("digits") == "digits"


def test_a_named_folder_without_the_data_is_not_papered_over(tmp_path, monkeypatch):
    """`resolve` falls back to digits only where nobody named a folder."""
    monkeypatch.setattr(data.sets, "_torchvision", lambda *_: (_ for _ in ()).throw(OSError("no network")))
    said = []
    monkeypatch.setenv("THAW_DATA", str(tmp_path))
    with pytest.raises(ThawError, match="mnist"):
        data.resolve("mnist", said.append)
    monkeypatch.delenv("THAW_DATA")
    assert data.resolve("mnist", said.append) == "digits"
    assert len(said) == 1 and "digits" in said[0]
    with pytest.raises(ThawError, match="cifar"):
        data.resolve("cifar", said.append)


def test_the_data_folder_is_the_environments_or_the_local_one(tmp_path, monkeypatch):
    monkeypatch.setenv("THAW_DATA", "~/pictures")
    assert data.data_root().is_absolute() and data.data_root().name == "pictures"
    for unset in ("", None):
        monkeypatch.delenv("THAW_DATA", raising=False)
        if unset is not None:
            monkeypatch.setenv("THAW_DATA", unset)
        assert str(data.data_root()) == "data"


def test_mnist_has_its_known_size(mnist):
    train = data.load("mnist", "train", download=False)
    assert len(train) == 60_000 and len(mnist) == 10_000
    for images in (train, mnist):
        assert images.shape == (1, 28, 28) and images.classes == 10 and images.images.dtype == torch.uint8
    assert mnist.labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert torch.bincount(train.labels)[:3].tolist() == [5923, 6742, 5958]


def test_emnist_is_the_split_that_was_asked_for_or_the_seeded_half_of_what_is_there():
    if not any((data.data_root() / "EMNIST/raw").glob("emnist-*-test-images*")):
        pytest.skip("needs the EMNIST files")
    test = data.load("emnist", "test", download=False)
    merged = data.load("emnist", "test", download=False, emnist="bymerge")
    if len(test) == 16_323:  # only the test file of bymerge is there
        assert torch.equal(test.images, merged.images) and torch.equal(test.labels, merged.labels)
        with pytest.raises(ThawError, match="no emnist in"):
            data.load("emnist", "train", download=False, emnist="letters")
    assert (test.name, merged.name, test.classes) == ("emnist", "emnistbymerge", 47)


def test_an_unknown_emnist_split_is_refused_and_others_have_names_of_their_own():
    with pytest.raises(ThawError, match="'digits'.*balanced, byclass, bymerge, letters"):
        data.load("emnist", emnist="digits")
    assert make_config({"data": "emnist", "emnist_split": "letters"}).data_name == "emnistletters"
    assert make_config({"data": "emnist"}).data_name == "emnist"
