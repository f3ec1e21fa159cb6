"""A release never takes the place of another experiment's, unless that is asked for."""

import re
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from cases import everything
from PIL import Image

from thaw.base.errors import ThawError
from thaw.cli.main import main
from thaw.data import DATA_SETS, folder_name
from thaw.data.sets import EMNIST_SPLITS
from thaw.experiment.config import make_config
from thaw.experiment.variants import differences
from thaw.scoring.judge import check_judge
from thaw.store import load_model, read_manifest, release_path, save_tensors
from thaw.store.weights import check_release
from thaw.training import release

SMALL = {"study": "ddpm", "set": "mine", "data": "folder", "data_size": 16, "data_channels": 1, "widths": [8, 16]}
SMALL |= {"steps": 10, "sample_steps": 3, "terminal_components": 2, "sample_every": 0, "evaluate_every": 0}


def pictures(folder: Path, seed: int, n: int = 8) -> Path:
    """Write a folder of grey images of two classes."""
    draws = torch.Generator().manual_seed(seed)
    for label in "ab":
        (folder / label).mkdir(parents=True)
        for index in range(n):
            image = torch.randint(0, 256, (16, 16), generator=draws, dtype=torch.uint8)
            Image.fromarray(image.numpy()).save(folder / label / f"{index}.png")
    return folder


def begun(folder: Path, run: str, **settings: object) -> Path:
    """Make a run on a folder of images, by the command line."""
    Path(f"{run}.yaml").write_text(yaml.safe_dump(SMALL | {"data_path": str(folder)} | settings))
    assert main(["init", "--config", f"{run}.yaml", "--run", run]) == 0
    return Path(run)


def refused(capsys, *arguments: str) -> str:
    """Run a command that must change nothing, and return its one sentence."""
    capsys.readouterr()
    before = everything(Path("pretrained"))
    assert main(list(arguments)) == 1
    assert everything(Path("pretrained")) == before
    error = capsys.readouterr().err
    assert error.startswith("thaw: ") and error.count("\n") == 1 and "--replace" in error
    return error


def test_another_experiment_is_told_before_any_work_and_replaced_only_if_asked(tmp_path, capsys, monkeypatch):
    one, other = pictures(tmp_path / "one" / "cats", 1), pictures(tmp_path / "other" / "cats", 2)
    first = begun(one, "first")
    others = {
        "other images in .*one/cats": begun(other, "second"),
        "seed: 0 there, 1 here": begun(one, "third", seed=1),
        "lr: 0.008 there, 0.1 here": begun(one, "fourth", lr=0.1),
    }
    shutil.copytree(first, "copied")
    shutil.copytree(one, tmp_path / "moved" / "cats")
    same = [first, Path("copied"), begun(tmp_path / "moved" / "cats", "moved"), begun(one, "longer", epochs=9, eta=0.5)]
    for run in same:  # its weights, its images, whatever does not change its training
        assert main(["export", str(run), "-n", "0"]) == 0
    path = Path("pretrained/ddpm_cats_0_mine.pth")
    entry = read_manifest("pretrained")[path.name]
    assert entry["config"]["seed"] == 0 and entry["data"]["images"] == 14 and entry["run"] == "longer"
    with monkeypatch.context() as patch:
        for module, name in ((release.weights, "load_model"), (release, "score_entry")):
            patch.setattr(module, name, lambda *_, **__: pytest.fail("work before the release was checked"))
        for reason, run in others.items():
            error = refused(capsys, "export", str(run))
            assert str(path) in error and re.search(reason, error)
    assert main(["export", "third", "-n", "0", "--replace"]) == 0
    assert load_model(path).config.seed == 1 and read_manifest("pretrained")[path.name]["config"]["seed"] == 1


def test_a_file_that_is_not_ours_is_not_replaced(tmp_path):
    path, config = tmp_path / "ddpm_mnist_0_default.pth", make_config({})
    assert check_release(path, config) == path
    for write in (lambda: path.write_bytes(b"mine"), lambda: save_tensors(path, {"format": "other"})):
        write()
        with pytest.raises(ThawError, match="cannot be told to be ours") as caught:
            check_release(path, config)
        assert path.name in str(caught.value)
        assert check_release(path, config, replace=True) == path


def test_without_fingerprints_the_folders_path_tells(tmp_path):
    """As in files of earlier versions."""
    there = make_config(SMALL | {"data_path": "a/cats"})
    assert "data_path: 'a/cats' there, 'b/cats' here" in differences(
        there, make_config(SMALL | {"data_path": "b/cats"})
    )


def test_a_feature_network_and_its_real_features_are_replaced_only_if_asked(tmp_path, capsys):
    for name, seed in (("one", 1), ("other", 2)):
        folder = pictures(tmp_path / name / "cats", seed, n=24)
        Path(f"{name}.yaml").write_text(yaml.safe_dump(SMALL | {"data_path": str(folder)}))
    one, other = (["features", "--config", f"{name}.yaml", "--epochs", "1"] for name in ("one", "other"))
    assert main(one) == main(one) == main([*one, "--real"]) == main([*one, "--real"]) == 0
    assert "trained on other images (" in refused(capsys, *other)
    assert "trained otherwise (epochs 1, seed 0)" in refused(capsys, *one[:-1], "2")
    capsys.readouterr()
    assert main([*other, "--real"]) == 1  # not of that network's images
    assert "trained on other images" in capsys.readouterr().err
    assert main([*other, "--replace"]) == 0
    assert "belongs to the judge" in refused(capsys, *other, "--real")
    assert main([*other, "--real", "--replace"]) == 0


def test_a_shipped_feature_network_does_not_tell_how_it_was_trained_and_stays(repository):
    for data in ("mnist", "fashion", "emnist"):
        with pytest.raises(ThawError, match=f"features_{data}.pth does not tell how it was trained.*--replace"):
            check_judge(data, {"epochs": 8, "seed": 0}, {}, repository / "pretrained")


def test_folders_have_names_that_differ_by_digits_and_are_no_other_data_sets(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert folder_name("data/cats1") == "cats1" != folder_name("data/cats2")
    assert folder_name("My Cats, 2024 (new)") == "mycats2024new" and folder_name("123") == "123"
    names = [*DATA_SETS, "folder", *(f"emnist{split}" for split in EMNIST_SPLITS)]
    assert [folder_name(name) for name in names] == [f"folder{name}" for name in names]
    assert folder_name("猫") == "folder"
    for name in ("cats1", "2024", "7"):  # the names of files can be read back
        config = make_config(SMALL | {"data_path": f"data/{name}"})
        (tmp_path / config.release_name(20)).touch()
        assert release_path("mine", None, name, tmp_path).name == f"ddpm_{name}_20_mine.pth"
        assert release_path("mine", 20, name, tmp_path).is_file()
    with pytest.raises(ThawError, match="there are: 2024 mine, 7 mine, cats1 mine"):
        release_path("mine", None, "cats3", tmp_path)
