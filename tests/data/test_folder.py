"""Any folder of images: how it is read, and that everything works on 32 x 32 colour images."""

from pathlib import Path

import numpy as np
import pytest
import torch
from cases import ROOT
from PIL import Image
from runs import configure, run

from thaw import degradations
from thaw.base.errors import ThawError
from thaw.base.pixels import to_uint8
from thaw.base.seeding import generator
from thaw.data import ImageSet
from thaw.data.folder import _read_once, load_folder
from thaw.data.images import open_set, read_items
from thaw.experiment.config import load_config, make_config
from thaw.networks import count_parameters
from thaw.store.inputs import load_data
from thaw.store.weights import load_model, save_release
from thaw.training.parallel import build_accelerator
from thaw.training.trainer import Trainer

FOLDER = {"data": "folder", "data_path": "flowers", "epochs": 1, "limit": 48, "batch_size": 24, "sample_steps": 2}


def read_image(path: Path, height: int, width: int, channels: int) -> torch.Tensor:
    return read_items(open_set(path), str(path), shape=(channels, height, width), say=lambda _: None)[0]


def paint(path: Path, seed: int, width: int = 40, height: int = 36, mode: str = "RGB") -> Path:
    """Write an image of one smooth random colour gradient."""
    corners = np.random.default_rng(seed).integers(0, 256, (2, 2, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(corners).resize((width, height), Image.Resampling.BILINEAR).convert(mode).save(path)
    return path


@pytest.fixture
def flowers(tmp_path) -> Path:
    """`flowers/` in the working directory: three classes of 20 colour images, of several sizes and kinds."""
    for index in range(60):
        kind = ("iris", "poppy", "rose")[index % 3]
        ending, mode = (("png", "RGB"), ("jpg", "RGB"), ("PNG", "P"), ("png", "RGBA"), ("bmp", "L"))[index % 5]
        paint(tmp_path / "flowers" / kind / f"{index:02d}.{ending}", index, 33 + index, 70 - index % 30, mode)
    (tmp_path / "flowers" / "notes.txt").touch()
    return tmp_path / "flowers"


def test_the_subfolders_are_the_classes_and_the_splits_share_nothing(flowers):
    parts = [load_folder(flowers, split, extensions=("png", "jpg")) for split in ("train", "test")]
    for images, n in zip(parts, (43, 5), strict=True):  # 12 of the 60 are .bmp, which is not asked for
        assert isinstance(images, ImageSet) and len(images) == n
        assert images.shape == (3, 32, 32) and images.images.dtype == torch.uint8 and images.name == "flowers"
        assert images.classes == 3 and images.labels.dtype == torch.int64
    pictures = {bytes(image.flatten().tolist()) for images in parts for image in images.images}
    assert len(pictures) == 48
    everything = load_data(make_config(FOLDER))
    assert len(everything) == 54 and everything.split == "train" and set(everything.labels.tolist()) == {0, 1, 2}
    alone = read_image(flowers / "poppy" / "01.jpg", 32, 32, 3)
    index = [torch.equal(alone, image) for images in parts for image in images.images].index(True)
    assert torch.cat([images.labels for images in parts])[index] == 1


def test_train_and_test_folders_are_the_splits(tmp_path):
    for split, kinds in (("train", "ab"), ("test", "b")):
        for kind in kinds:
            paint(tmp_path / "set" / split / kind / "x.png", ord(kind))
    train, test = (load_folder(tmp_path / "set", split) for split in ("train", "test"))
    assert train.labels.tolist() == [0, 1] and test.labels.tolist() == [1] and test.classes == 2
    paint(tmp_path / "set" / "test" / "c" / "x.png", 3)
    _read_once.cache_clear()
    with pytest.raises(ThawError, match="classes that .*train has not: c"):
        load_folder(tmp_path / "set", "test")


def test_a_folder_is_the_one_that_its_path_leads_to_now(tmp_path, monkeypatch):
    """The same name in another working directory, or behind a link that was moved, is another folder."""
    for place, count in (("here", 12), ("there", 7)):
        for index in range(count):
            paint(tmp_path / place / "mine" / f"{index}.png", index)
        monkeypatch.chdir(tmp_path / place)
        assert len(load_folder("mine")) + len(load_folder("mine", "test")) == count
        (tmp_path / "link").unlink(missing_ok=True)
        (tmp_path / "link").symlink_to(tmp_path / place / "mine")
        assert len(load_folder(tmp_path / "link", size=8)) + len(load_folder(tmp_path / "link", "test", 8)) == count
    assert load_folder("mine") is load_folder("mine")


def test_an_image_is_cropped_around_its_middle_turned_upright_and_resized(tmp_path):
    wide = np.zeros((32, 96, 3), dtype=np.uint8)
    wide[:, 32:64] = (200, 100, 50)  # only the middle is coloured
    Image.fromarray(wide).save(tmp_path / "wide.png")
    image = read_image(tmp_path / "wide.png", 32, 32, 3)
    assert torch.equal(image, torch.tensor([200, 100, 50], dtype=torch.uint8)[:, None, None].expand(3, 32, 32))
    half = read_image(tmp_path / "wide.png", 16, 48, 1)  # the same proportions: nothing is cropped
    assert half.shape == (1, 16, 48) and not half[..., :12].any() and half[..., 20:28].float().std() == 0
    upside = Image.new("L", (8, 4))
    upside.putpixel((0, 0), 255)
    exif = Image.Exif()
    exif[0x0112] = 6  # taken with the camera turned by 90 degrees
    upside.save(tmp_path / "turned.png", exif=exif)
    turned = read_image(tmp_path / "turned.png", 8, 4, 1)
    assert turned[0, 0, 3] == 255 and turned.sum() == 255


def test_what_is_wrong_with_a_folder_is_told(tmp_path, flowers):
    with pytest.raises(ThawError, match="no folder .*nowhere; set data_path"):
        load_folder(tmp_path / "nowhere")
    with pytest.raises(ThawError, match=r"no images in .*extensions \.tif; set data_extensions"):
        load_folder(flowers, extensions=("tif",))
    (flowers / "iris" / "00.png").write_bytes(b"no image")
    with pytest.raises(ThawError, match=r"cannot read .*iris/00.png as an image"):
        load_folder(flowers)
    paint(flowers / "loose.png", 0)
    with pytest.raises(ThawError, match=r"in subfolders and beside them \(loose.png\)"):
        load_folder(flowers)
    with pytest.raises(ThawError, match="unknown split 'validation'"):
        load_folder(flowers, "validation")
    for values in ({"data": "folder"}, {"data_path": "flowers"}):
        with pytest.raises(ThawError, match="data: folder .or pairs. and data_path belong together"):
            make_config(values)


@pytest.mark.parametrize("name", degradations.names())
def test_colour_images_train_sample_and_restore_with_every_degradation(flowers, tmp_path, name):
    """At 32 x 32 x 3: one epoch, then every sampler; restorations keep to the range and the shape."""
    hot = name == "scale"
    values = {"study": "ddpm" if hot else "custom", "degradation": name, "tau": (1.0, 1.0) if hot else (0.0, 1.0)}
    values |= {"steps": 10 if hot else None, "options": {"data": "digits"} if name == "morph" else {}}
    model = run(configure(**FOLDER | values), tmp_path / "run")[-1].model
    assert model.process.shape == (3, 32, 32) and model.classes == 3
    y, T = model.labels(3), model.process.steps
    assert to_uint8(model.sample(y)).shape == (3, 3, 32, 32)
    real = load_data(model.config, "test").pixels(slice(3))
    z = model.process.degradation.draw_z(3, generator(0, "z"))
    t = T // 2
    degraded = model.process.degradation(real, torch.full((3,), t), z)
    ways = [("direct", 1.0), ("warm", 1.0)]
    ways += [] if hot else [("direct", 0.0), ("algorithm1", 0.0), ("algorithm2", 0.0), ("warm", 0.0)]
    for sampler, tau in ways:
        restored = model.restore(degraded, t, y=y, z=z, sampler=sampler, tau=tau, steps=3)
        assert to_uint8(restored).shape == (3, 3, 32, 32)
    again = load_model(save_release(tmp_path / "out", model, model.network.state_dict()))
    assert again.sample(y).shape == (3, 3, 32, 32)


def test_a_folder_without_classes_trains_and_samples(tmp_path):
    for index in range(30):
        paint(tmp_path / "flowers" / f"{index}.png", index)
    config = configure(**FOLDER | {"data_channels": 1, "data_size": 20, "sample_every": 1})
    model = run(config, tmp_path / "run")[-1].model
    assert model.classes == 0 and not model.conditional
    assert load_model(tmp_path / "run").sample(model.labels(4)).shape == (4, 1, 20, 20)
    assert config.run_name == "ddpm_flowers_default_seed0"


@pytest.mark.slow
@pytest.mark.parametrize(("million", "widths"), [(64, 3), (123, 4), (147, 4)])
def test_the_large_networks_take_a_step(tmp_path, million, widths):
    """One optimiser step of each preset, on images of 16 x 16 pixels: every weight moves, none is lost."""
    path = ROOT / f"configs/ddpm/large_{million}m.yaml"
    small = {"data_size": 16, "batch_size": 2, "mixed_precision": "no", "save_minutes": 60.0}
    config = load_config(path, **small)
    assert len(config.widths) == widths
    images = ImageSet("noise", "train", torch.randint(256, (2, 3, 16, 16)).byte(), torch.zeros(2).long(), 0)
    trainer = Trainer(config, images, tmp_path / "run", build_accelerator(config))
    assert count_parameters(trainer.network) / 1e6 == pytest.approx(million, rel=0.01)
    before = trainer.network.stem.weight.detach().clone()
    assert [step.images for step in trainer.steps()] == [2]
    record = trainer.end_epoch()
    assert record["images"] == 2 and 0 < record["loss"] < 10
    assert not torch.equal(trainer.network.stem.weight, before)
    assert all(torch.isfinite(p).all() for p in trainer.network.parameters())
