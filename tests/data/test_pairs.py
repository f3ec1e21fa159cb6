"""Pairs: clean pictures beside degraded ones, which no function of them need have made."""

import shutil

import numpy as np
import pytest
import torch
from cases import fails, write_pictures

from thaw.base.errors import ThawError
from thaw.base.pixels import to_pixels, to_uint8
from thaw.base.seeding import generator
from thaw.cli.main import main
from thaw.data.folder import load_pairs
from thaw.degradations import build
from thaw.experiment.config import make_config
from thaw.store.inputs import load_data
from thaw.store.weights import load_model, save_release
from thaw.training.loop import train

READING = (28, 1)


def test_every_picture_finds_its_pair_in_both_splits(pairs, digits):
    train_set, test_set = (load_pairs(pairs, split, *READING) for split in ("train", "test"))
    assert (len(train_set), len(test_set)) == (108, 12) and train_set.classes == 10 and train_set.names[3] == "3"
    for one in (train_set, test_set):
        apart = (one.pixels() - to_pixels(one.degraded)).square().mean(dim=(1, 2, 3))
        assert float(apart.max()) < 0.5  # of its own; of another digit's it is more
        mixed = (one.pixels() - to_pixels(one.degraded.roll(1, 0))).square().mean()
        assert float(mixed) > 1.5 * float(apart.mean())
    some = train_set.subset(5, 1)
    assert len(some.degraded) == 5 and some.fingerprint != train_set.fingerprint


@pytest.mark.parametrize("damage", ["no degraded", "alone", "alone too"])
def test_what_is_no_folder_of_pairs_is_told(damage, tmp_path, digits):
    write_pictures(tmp_path / "clean", digits.images[:6], [f"{k}.png" for k in range(6)])
    if damage != "no degraded":
        write_pictures(tmp_path / "degraded", digits.images[:6], [f"{k}.png" for k in range(6)])
    if damage == "alone":
        write_pictures(tmp_path / "clean", digits.images[6:8], ["6.png", "7.png"])
    if damage == "alone too":
        write_pictures(tmp_path / "degraded", digits.images[6:7], ["x.png"])
    told = {
        "no degraded": "no folder .*degraded; pairs are pictures of equal names",
        "alone": "6 in .*clean is without its pair in .*degraded, as 1 others are; name both alike",
        "alone too": "x in .*degraded is without its pair in .*clean; name both alike",
    }
    with pytest.raises(ThawError, match=told[damage]):
        load_pairs(tmp_path, "train", *READING)


@pytest.mark.parametrize(
    ("clean", "degraded"),
    [
        (("a.png", "a.jpg", "b.png"), ("a.png", "b.png", "b.jpg")),  # as many, and of the same names
        (("a.bmp", "a.c.bmp", "b.bmp"), ("a.png", "a.c.png", "b.png")),  # sorted differently
        (("a.png", "a.jpg", "b.png"), ("a.png", "b.png")),
    ],
)
def test_pictures_that_would_be_paired_with_anothers_are_refused(clean, degraded, tmp_path, digits):
    for part, names in (("clean", clean), ("degraded", degraded)):
        write_pictures(tmp_path / part, digits.images[: len(names)], names)
    with pytest.raises(ThawError, match="in clean/ would be the pair of .* in degraded/ of .* with one ending"):
        load_pairs(tmp_path, "train", *READING)


def test_the_command_line_makes_a_run_of_pairs_as_the_manual_has_it(pairs, tmp_path):
    (tmp_path / "scans.yaml").write_text(
        f"study: custom\nset: scans\ndata: pairs\ndata_path: {pairs}\ndata_size: 28\ndata_channels: 1\n"
        "schedule: bridge\ntau: [0.0, 1.0]\nsteps: 40\nwidths: [8, 16]\nterminal_components: 1\n"
    )
    assert main(["init", "--config", str(tmp_path / "scans.yaml"), "--run", str(tmp_path / "scans")]) == 0
    assert load_model(tmp_path / "scans").config.paired


def test_a_study_of_one_pair_is_refused_before_anything_is_trained(tmp_path, digits, capsys):
    for part in ("clean", "degraded"):
        write_pictures(tmp_path / "single" / part, digits.images[:1], ["0.png"])
    assert "holds one image only" in fails(capsys, "study", str(tmp_path / "single"), "--smoke", "--out", "new")
    assert not (tmp_path / "new").exists()


def test_arrays_of_equal_names_and_other_lengths_are_no_pairs(tmp_path, digits):
    for part, ends in (("clean", (3, 5)), ("degraded", (5, 3))):
        (tmp_path / part).mkdir()
        for name, n in zip("ab", ends, strict=True):
            np.save(tmp_path / part / f"{name}.npy", digits.images[:n].numpy())
    with pytest.raises(ThawError, match="b in clean/ would be the pair of a in degraded/"):
        load_pairs(tmp_path, "train", *READING)


def test_pairs_are_what_a_custom_study_undoes_unless_it_names_a_degradation():
    common = {"data": "pairs", "data_path": "x", "study": "custom"}
    config = make_config(common)
    assert config.paired and config.degradation == "morph" and config.label == "morph_default"
    assert not make_config(common | {"degradation": "blur"}).paired
    with pytest.raises(ThawError, match="data: folder .or pairs. and data_path belong together"):
        make_config({"data": "pairs"})
    with pytest.raises(ThawError, match="takes the degraded pictures of data: pairs"):
        make_config({"study": "custom", "degradation": "morph", "options": {"data": "pairs"}})
    with pytest.raises(ThawError, match="degraded pictures come with data: pairs"):
        build("morph", (1, 8, 8), data="pairs").draw_z(1, generator(0))


@pytest.fixture(scope="module")
def trained(pairs, tmp_path_factory):
    """A small model of the pairs, trained for seconds, and its run."""
    run = tmp_path_factory.mktemp("run") / "pairs"
    settings = {"data": "pairs", "data_path": str(pairs), "data_size": 28, "data_channels": 1, "study": "custom"}
    settings |= {"widths": (16, 32), "steps": 20, "epochs": 16, "batch_size": 12, "tau": (0.0, 1.0), "sample_every": 0}
    settings |= {"evaluate_every": 0, "schedule": "bridge", "terminal_components": 1, "ema": 0.98}
    config = make_config(settings)
    *_, last = train(config, run, progress=False)
    return last.model, config, run


@pytest.mark.parametrize("how", [{"sampler": "direct"}, {"sampler": "algorithm2"}, {"tau": 1.0}])
def test_pairs_it_has_not_seen_are_restored(trained, how):
    """Every way comes nearer to the clean picture than the degraded one is, and nearer than to another one's."""
    model, config, _ = trained
    test_set = load_data(config, "test")
    x0, x_T = test_set.pixels(), to_pixels(test_set.degraded)
    restored = model.restore(x_T, 20, **how)
    error = (restored - x0).square().mean()
    assert float(error) < 0.8 * float((x_T - x0).square().mean())
    assert float(error) < 0.6 * float((restored - x0.roll(1, 0)).square().mean())


def fewer(pairs, folder):
    """Return a copy of pairs without the last one."""
    for part in ("clean", "degraded"):
        shutil.copytree(pairs / part, folder / "fewer" / part)
        sorted((folder / "fewer" / part).rglob("*.*"))[-1].unlink()
    return folder / "fewer"


def test_a_checkpoint_and_released_weights_know_degraded_pictures_to_draw_from(trained, tmp_path, pairs, capsys):
    model, config, run = trained
    seen = load_data(config).degraded
    drawn = model.process.degradation.draw_z(3, generator(0))
    for again in (load_model(run), load_model(save_release(tmp_path, model, model.network.state_dict()))):
        z = again.process.degradation.draw_z(3, generator(0))
        near = torch.cdist(to_uint8(z).flatten(1).double(), seen.flatten(1).double()).min(dim=1).values
        assert drawn.shape == z.shape and float(near.max()) < 1
        again.sample(again.labels(2), steps=2)
    out = ["--model", str(run), "--out", str(tmp_path / "x.npz"), "-n", "4"]
    assert main(["restore", str(pairs / "degraded"), *out, "--originals", str(pairs / "clean"), "--tau", "1"]) == 0
    assert "\npsnr " in capsys.readouterr().out and len(np.load(tmp_path / "x.npz")["images"]) == 4
    kept = (run / "pairs.pt").read_bytes()
    changed = config.model_copy(update={"data_path": str(fewer(pairs, tmp_path))})
    with pytest.raises(ThawError, match="is not what .* was trained on: "):
        next(train(changed, run, progress=False))
    assert (run / "pairs.pt").read_bytes() == kept  # what its checkpoints draw from
    assert "no function degrades as pairs are" in fails(capsys, "restore", str(pairs / "clean"), "--degrade", *out)
    assert "cannot be undone without its z" in fails(capsys, "restore", str(pairs / "degraded"), "-t", "9", *out)
