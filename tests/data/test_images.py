"""Anybody's images: the same picture in every mode, format and array is read as the same pixels, by every reader."""

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from cases import ROOT
from PIL import Image, ImageCms

from thaw.base.errors import ThawError
from thaw.cli.main import main
from thaw.data import DATA_SETS, load
from thaw.data.folder import load_folder
from thaw.data.grids import save_images
from thaw.data.images import background_hint, background_of, hidden, list_images, open_set, read_images, read_items
from thaw.experiment.config import make_config
from thaw.scoring import evaluate_images, table

N = 6
SYSTEMS = [
    ".DS_Store",
    "._0.png",
    ".git/x.png",
    ".ipynb_checkpoints/0.png",
    "__MACOSX/0.png",
    "Thumbs.db",
    "@eaDir/0.png",
]
SYSTEMS += [
    "lost+found/0.png",
    "$RECYCLE.BIN/0.png",
    "__pycache__/0.png",
    "desktop.ini",
    "System Volume Information/0.png",
]


def converted(mode: str, **settings) -> Callable:
    """Save a grey picture in a mode."""
    via = "L" if mode == "P" else "RGB"  # whose palette would be another
    return lambda grey, path: Image.fromarray(grey).convert(via).convert(mode).save(path, **settings)


def sixteen(mode: str) -> Callable:
    """Save a grey picture with 16 bits."""
    order = ">u2" if mode.endswith("B") else "<u2"
    return lambda grey, path: Image.frombytes(mode, grey.shape[::-1], (grey * np.array(257, order)).tobytes()).save(
        path
    )


def lab(grey: np.ndarray, path: Path) -> None:
    profiles = (ImageCms.createProfile(name) for name in ("sRGB", "LAB"))
    ImageCms.profileToProfile(Image.fromarray(grey).convert("RGB"), *profiles, outputMode="LAB").save(path)


def strokes(mode: str, premultiplied: bool = False) -> Callable:
    """Save white strokes on a transparent ground, whose hidden colour is not black."""

    def save(grey: np.ndarray, path: Path) -> None:
        white = grey if premultiplied else np.full_like(grey, 255)
        parts = [white] * (3 if mode.startswith("RGB") else 1)
        Image.fromarray(np.stack([*parts, grey], axis=-1), mode).save(path)

    return save


def keyed(mode: str, **settings) -> Callable:
    """Save a picture whose black is another colour, named transparent by a tRNS chunk."""

    def save(grey: np.ndarray, path: Path) -> None:
        key = next(level for level in range(255, 0, -1) if level not in grey)
        array = np.where(grey == 0, key, grey).astype(np.uint8)
        if mode == "I;16":
            Image.fromarray(array * np.uint16(257)).save(path, transparency=key * 257)
            return
        transparency = (key,) * 3 if mode == "RGB" else key
        Image.fromarray(array).convert(mode).save(path, transparency=transparency, **settings)

    return save


def palette(grey: np.ndarray, path: Path) -> None:
    """Save white strokes by a palette of one colour and 256 opacities."""
    image = Image.fromarray(grey, "P")
    image.putpalette([255] * 768)
    image.save(path, transparency=bytes(range(256)))


WAYS = {  # name -> ending, how to save, how far pixels may be off
    **{f"png {mode}": ("png", converted(mode), 0) for mode in ("L", "LA", "P", "RGB", "RGBA")},
    **{f"tif {mode}": ("tif", converted(mode), 2) for mode in ("L", "LA", "P", "RGB", "RGBX", "RGBA", "CMYK", "YCbCr")},
    **{ending: (ending, converted("RGB"), 0) for ending in ("bmp", "gif", "ppm", "pgm", "tiff", "PNG", "jp2")},
    **{ending: (ending, converted("L", quality=95), 14) for ending in ("jpg", "jpeg", "JPG", "webp", "avif")},
    "webp lossless": ("webp", converted("RGB", lossless=True), 0),
    "tif LAB": ("tif", lab, 3),
    "png I;16": ("png", sixteen("I;16"), 0),
    **{f"tif {mode}": ("tif", sixteen(mode), 0) for mode in ("I;16", "I;16B")},
    "pgm of 16 bits": ("pgm", sixteen("I;16"), 0),
    **{f"transparent {mode}": ("png", strokes(mode), 0) for mode in ("LA", "RGBA")},
    "transparent tif": ("tif", strokes("RGBA"), 0),
    **{f"tRNS {mode}": ("png", keyed(mode), 0) for mode in ("L", "RGB", "I;16")},
    "tRNS P": ("png", palette, 0),
}  # fmt: skip


@pytest.fixture(scope="session")
def greys(digits) -> np.ndarray:
    return digits.images[:N, 0].numpy()


@pytest.fixture
def fails(capsys):
    def run(*arguments: object) -> str:
        capsys.readouterr()
        assert main(list(map(str, arguments))) == 1
        return capsys.readouterr().err

    return run


def silent(_: str) -> None:
    pass


@pytest.mark.parametrize("way", WAYS)
def test_every_mode_and_format_gives_the_same_pixels_to_every_reader(way, greys, tmp_path):
    """To `evaluate` at its own size, to `restore` fitted to a model, and to a folder of training data."""
    ending, save, far = WAYS[way]
    folder = tmp_path / "set"
    folder.mkdir()
    for index, grey in enumerate(greys):
        save(grey, folder / f"{index}.{ending}")
    scored, labels = read_images(folder, 1, say=silent)
    restored = read_items(open_set(folder), "set", shape=(1, 28, 28), say=silent)
    trained = torch.cat([load_folder(folder, split, 28, 1).images for split in ("train", "test")])
    expected = torch.from_numpy(greys)[:, None]
    assert labels is None and (scored.int() - expected).abs().max() <= far
    assert torch.equal(scored, restored)
    assert sorted(image.numpy().tobytes() for image in trained) == sorted(image.numpy().tobytes() for image in scored)


def test_every_layout_of_an_array_gives_the_same_pixels(greys, tmp_path, capsys):
    alpha = np.stack([np.full_like(greys, 255)] * 3 + [greys], axis=-1)
    layouts = [greys, greys[:, None], greys[..., None], np.stack([greys] * 3, axis=1), np.stack([greys] * 3, axis=-1)]
    layouts += [alpha, alpha.transpose(0, 3, 1, 2)]
    expected = torch.from_numpy(greys)[:, None]
    for number, array in enumerate(layouts):
        np.save(tmp_path / f"{number}.npy", array)
        np.savez(tmp_path / f"{number}.npz", array, labels=np.arange(N))
        for source in (array, torch.from_numpy(array), tmp_path / f"{number}.npy", tmp_path / f"{number}.npz"):
            images, labels = read_images(source)
            assert torch.equal(images, expected)
            assert torch.equal(read_items(open_set(source), "x", shape=(3, 28, 28)), expected.expand(-1, 3, -1, -1))
            assert labels is None or labels.tolist() == list(range(N))
    (tmp_path / "parts").mkdir()
    np.save(tmp_path / "parts/a.npy", greys[:4])
    np.save(tmp_path / "parts/b.npy", greys[4])
    np.savez(tmp_path / "parts/c.npz", images=greys[5:])
    assert torch.equal(read_images(tmp_path / "parts")[0], expected)
    assert f"{N} of {N} images of the array are transparent: composited over black" in capsys.readouterr().out
    trained = load_folder(tmp_path / "0.npz", "train", 28, 1)
    assert trained.classes == N and torch.equal(trained.images, expected[trained.labels])


def test_what_is_transparent_lies_over_the_background_that_is_meant(greys, tmp_path, capsys):
    (tmp_path / "set").mkdir()
    for index, grey in enumerate(greys):  # black strokes
        Image.fromarray(np.stack([grey * 0] * 3 + [grey], axis=-1)).save(tmp_path / "set" / f"{index}.png")
    with pytest.raises(ThawError, match="all 5 images of .* are equal, every pixel 0"):
        load_folder(tmp_path / "set", "train", 28, 1)
    white = make_config({"data": "folder", "data_path": "set", "data_background": "white"}).background
    images = load_folder(tmp_path / "set", "train", 28, 1, background=white)
    assert "5 of 5 images of" in capsys.readouterr().out
    assert {bytes(255 - i.numpy()) for i in images.images} < {grey.tobytes() for grey in greys}
    assert white == 255 and make_config({"data": "mnist", "data_background": "white"}).background == 0


def test_sets_of_equal_images_are_not_scored(judge):
    for images in (np.zeros((300, 28, 28), np.uint8), torch.full((300, 1, 28, 28), 7, dtype=torch.uint8)):
        with pytest.raises(ThawError, match=r"all 300 images of images are equal, every pixel [07];"):
            evaluate_images(images, judge=judge)


def test_what_has_no_clear_range_or_is_no_image_is_refused(tmp_path):
    with pytest.raises(ThawError, match="a path is empty"):
        read_images("")
    for mode in ("I", "F"):
        Image.new(mode, (4, 4)).save(tmp_path / "x.tif")
        with pytest.raises(ThawError, match=rf"x\.tif holds 32-bit greys \(mode {mode}\)"):
            read_images(tmp_path / "x.tif")
    for kind in (np.uint16, np.int64, np.float32, bool):
        np.save(tmp_path / "x.npy", np.zeros((4, 28, 28), kind))
        with pytest.raises(ThawError, match=f"x.npy holds {np.dtype(kind)} values; save greys 0..255 as uint8"):
            read_images(tmp_path / "x.npy")
    np.save(tmp_path / "x.npy", np.array([{}]), allow_pickle=True)
    np.savez(tmp_path / "empty.npz", np.zeros((0, 28, 28), np.uint8))
    for name, text in (
        ("x.npy", "no numpy file of plain numbers"),
        ("empty.npz", "no images"),
        ("nowhere", "no file or"),
    ):
        with pytest.raises(ThawError, match=text):
            read_images(tmp_path / name)
    for ending in ("png", "jpg", "gif", "tif", "webp", "npy", "npz"):
        for content in (
            b"",
            b"\x89PNG\r\n\x1a\n",
            b"II*\x00\x08\x00\x00\x00",
            b"GIF89a",
            b"PK\x03\x04",
            b"\x93NUMPY\x01",
        ):
            (tmp_path / f"y.{ending}").write_bytes(content)
            with pytest.raises(ThawError, match=rf"y\.{ending} .*save it again"):
                read_images(tmp_path / f"y.{ending}")


def test_the_transparent_colour_of_few_greys_is_found(tmp_path):
    """PNGs of 1, 2 and 4 bits name it in their own levels."""
    for bits, top in ((1, 1), (2, 3), (4, 15)):
        for key in (0, top):
            header = struct.pack(">IIBBBBB", 8, 1, bits, 0, 0, 0, 0)
            row = np.packbits([bit for level in [0, top] * 4 for bit in map(int, f"{level:0{bits}b}")]).tobytes()
            parts = [(b"IHDR", header), (b"tRNS", struct.pack(">H", key)), (b"IDAT", zlib.compress(b"\0" + row))]
            chunks = (struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in parts)
            end = b"\0\0\0\0IEND\xaeB`\x82"
            (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + end)
            images, _ = read_images(tmp_path / "x.png", background=77, say=silent)
            assert images.flatten().tolist() == [77 if level == key else 255 * level // top for level in [0, top] * 4]


def test_of_several_frames_the_first_is_taken_and_said(greys, tmp_path, capsys):
    frames = [Image.fromarray(grey) for grey in greys]
    for ending in ("gif", "png", "tif", "webp"):
        path = tmp_path / f"x.{ending}"
        frames[0].save(
            path, save_all=True, append_images=frames[1:], **({"lossless": True} if ending == "webp" else {})
        )
        assert torch.equal(read_images(path)[0][0, 0], torch.from_numpy(greys[0]))
        assert "1 of 1 images" in capsys.readouterr().out


def test_what_systems_leave_behind_is_no_data_and_other_files_are_told(greys, tmp_path, capsys):
    """A class for nothing hidden, in a divided folder as well; a class folder without images is none, and told."""
    assert all(any(hidden(part) for part in Path(name).parts) for name in SYSTEMS)
    assert not any(map(hidden, ("0", "a.png", "train", "lost", "git")))
    for root in ("flat", "divided/train", "divided/test"):
        for name in [
            *SYSTEMS,
            *(f"{kind}/{junk}" for kind in "ab" for junk in SYSTEMS),
            "a/0.png",
            "b/1.PNG",
            "b/2.png",
        ]:
            path = tmp_path / root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(greys[int(path.stem) if path.stem.isdecimal() else 0]).save(path, "png")
        (tmp_path / root / "empty").mkdir()
        (tmp_path / root / "b/notes.txt").touch()
        (tmp_path / root / "README").touch()
    for name, splits in (("flat", ["train"]), ("divided", ["train", "test"])):
        for split in splits:
            images = load_folder(tmp_path / name, split, 28, 1)
            assert images.classes == 2 and set(images.labels.tolist()) <= {0, 1}
            told = capsys.readouterr().out
            assert "left out: 2 (" in told and "1 .txt" in told and "1 without an ending" in told
            assert "without images are no classes: empty" in told
    load_folder(tmp_path / "flat", "test", 28, 1)
    assert capsys.readouterr().out == ""  # once
    assert [path.name for path in list_images(tmp_path / "flat")] == ["0.png", "1.PNG", "2.png"]


def test_linked_folders_are_read_and_loops_end(greys, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    Image.fromarray(greys[0]).save(tmp_path / "elsewhere" / "0.png")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "3").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "set")
    images, labels = read_images(tmp_path / "set")
    assert len(images) == 1 and labels.tolist() == [3]


def test_restore_takes_what_evaluate_takes_and_says_how_many(greys, tmp_path, capsys, tiny):
    from thaw.store.weights import save_release

    model = tiny(study="custom", degradation="row", options={"group": 4}, steps=None, tau=(0.0, 1.0))
    weights = save_release(tmp_path / "weights", model, model.network.state_dict())
    (tmp_path / "folder").mkdir()
    for index, grey in enumerate(greys):
        Image.fromarray(grey).save(tmp_path / "folder" / f"{index}.jp2")
    np.save(tmp_path / "a.npy", greys[:, None])
    np.savez(tmp_path / "b.npz", greys)
    np.save(tmp_path / "larger.npy", greys.repeat(2, axis=1).repeat(2, axis=2))
    settings = ["--model", weights, "--degrade", "--steps", 2, "-n", 4]
    found = []
    for number, name in enumerate(("folder", "a.npy", "b.npz")):
        out = tmp_path / f"out{number}.npz"
        assert main(list(map(str, ["restore", tmp_path / name, *settings, "--out", out]))) == 0
        assert f"4 images (the first of {N}; -n {N} takes all) restored" in capsys.readouterr().out
        found.append(np.load(out)["images"])
    assert np.array_equal(found[0], found[1]) and np.array_equal(found[0], found[2]) and len(found[0]) == 4
    np.save(tmp_path / "inverted.npy", 255 - greys)
    assert main(list(map(str, ["restore", tmp_path / "inverted.npy", *settings, "--out", tmp_path / "x.npz"]))) == 0
    assert "bright background (grey 255)" in capsys.readouterr().out
    assert main(list(map(str, ["restore", tmp_path / "larger.npy", *settings, "--out", tmp_path / "y.npz"]))) == 0
    said = capsys.readouterr().out
    assert "4 of 4 images" in said and "resized to 28 x 28" in said and "bright" not in said


@pytest.mark.parametrize("name", DATA_SETS)
def test_the_backgrounds_of_the_data_sets_are_dark_and_inverted_ones_are_hinted_at(name):
    try:
        images = load(name, "test", download=False).images[:500]
    except ThawError as error:
        pytest.skip(f"needs the files: {error}")
    assert background_of(images) == 0 and not background_hint(images, 0, name)
    assert "invert" in background_hint(255 - images, 0, name) and not background_hint(255 - images, 255, name)


def test_a_home_folder_is_found_in_every_path(greys, tmp_path, monkeypatch, fails):
    monkeypatch.setenv("HOME", str(tmp_path))
    Path("pretrained").symlink_to(ROOT / "pretrained")
    np.save(tmp_path / "x.npy", greys)
    save_images("~/drawn.png", torch.from_numpy(greys)[:, None], columns=2)
    assert (tmp_path / "drawn.png").is_file()
    assert len(read_images("~/x.npy")[0]) == N == len(open_set(Path("~/x.npy")))
    assert make_config({"data": "folder", "data_path": "~/set"}).data_path == str(tmp_path / "set")
    assert make_config({"start_from": "~/run"}).start_from == str(tmp_path / "run")
    assert f"no file or folder {tmp_path}/nothing.npy" in fails("evaluate", "--images=~/nothing.npy")
    assert f"no folder {tmp_path}/set" in fails(
        "init", "--config", ROOT / "configs/ddpm/testing.yaml", "--set", "data=folder",
        "--set", "data_path=~/set", "--run", "~/run",
    )  # fmt: skip
    assert f"no configuration {tmp_path}/x.yaml" in fails("train", "--config", "~/x.yaml")
    assert not os.path.exists("~")


@pytest.mark.slow
def test_several_sets_stand_in_one_table_with_their_n_and_what_lacks_is_told(digits, judge):
    images, labels = digits.images[:300], digits.labels[:300]
    found = [
        evaluate_images(images, name="bare", judge=judge),
        evaluate_images(images[:260], labels[:260], judge=judge),
    ]
    lines = table(found).splitlines()
    assert any(line.split() == ["n", "300", "260"] for line in lines)
    assert any(line.startswith("No accuracy for bare: nothing tells their classes") for line in lines)
    assert "No accuracy" not in table(found[1:])
