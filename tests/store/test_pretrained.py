"""The weights that are shipped with the repository."""

import fnmatch
import shutil

import pytest
import torch

from thaw.base.errors import ThawError
from thaw.base.files import sha256, write_json
from thaw.experiment.config import Config
from thaw.scoring import floor_at, judge_path, labels_in_shares, load_judge, load_real
from thaw.store import load_model, load_tensors, read_manifest, save_tensors, weights
from thaw.store.examples import load_examples
from thaw.store.weights import released_classifier


@pytest.fixture
def folder(repository):
    folder = repository / "pretrained"
    assert read_manifest(folder), "the repository ships weights: without them nothing below would be tested"
    return folder


def test_the_manifest_and_the_files_list_each_other(folder):
    assert set(read_manifest(folder)) == {path.name for path in folder.glob("*.pth")}


def test_every_file_matches_its_checksum_and_holds_tensors_and_plain_values_only(folder):
    for name, entry in read_manifest(folder).items():
        assert sha256(folder / name) == entry["sha256"], name
        assert isinstance(torch.load(folder / name, weights_only=True), dict), name


def test_every_model_loads_and_is_what_its_name_says(folder):
    for name, entry in read_manifest(folder).items():
        if name.startswith(("ddpm_", "custom_")):
            model = load_model(folder / name)
            assert model.config.release_name(model.epoch) == name and model.epoch == entry["epoch"]
            assert sum(p.numel() for p in model.network.parameters()) == entry["parameters"]


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("ddpm_mnist_0_default.pth", lambda folder: load_model(folder / "ddpm_mnist_0_default.pth")),
        ("autoencoder_mnist_40_vae.pth", lambda folder: load_model(folder / "autoencoder_mnist_40_vae.pth")),
        ("features_mnist.pth", lambda folder: load_judge("mnist", folder)),
        ("real_mnist.pth", lambda folder: load_real(load_judge("mnist", folder), folder, cache=None)),
        (
            "classes_mnist.pth",
            lambda folder: released_classifier(Config(study="custom", degradation="row"), folder),
        ),
        ("examples_mnist.pth", lambda folder: load_examples("mnist", folder)),
    ],
)
def test_every_reader_compares_checksum_and_format(folder, tmp_path, name, read):
    for file in {name, "features_mnist.pth", "MANIFEST.json"}:
        shutil.copy(folder / file, tmp_path)
    read(tmp_path)
    content = load_tensors(tmp_path / name)
    save_tensors(tmp_path / name, content | {"more": 1})  # whole, and tensors only, but not what was released
    with pytest.raises(ThawError, match=f"{name} does not match its checksum in MANIFEST.json"):
        read(tmp_path)
    save_tensors(tmp_path / name, {"format": "other/1"})
    listed = {key: entry | ({"sha256": sha256(tmp_path / name)} if key == name else {}) for key, entry in
              read_manifest(folder).items()}  # fmt: skip
    write_json(tmp_path / "MANIFEST.json", listed)
    with pytest.raises(ThawError, match=f"{name} is not a Thaw .* file .format 'other/1', expected 'thaw-"):
        read(tmp_path)


def test_every_judge_loads_and_knows_both_splits(folder):
    for name in read_manifest(folder):
        if name.startswith("features_"):
            judge = load_judge(name.removeprefix("features_").removesuffix(".pth"), folder)
            assert judge_path(judge.data, folder).name == name
            assert judge.accuracy > {"mnist": 0.995}.get(judge.data, 0.85)
            assert set(judge.references) == {"train", "test"}


def test_older_weights_know_the_classes_of_what_they_degrade_by_the_shipped_classifiers(folder):
    manifest = read_manifest(folder)
    known = {
        name: manifest[name]["terminal_rank"] for name in fnmatch.filter(manifest, "custom_mnist_10_*_default.pth")
    }
    models = {name: load_model(folder / name) for name in known}
    told = [released_classifier(model.config, folder) is not None for model in models.values()]
    assert [bool(rank) for rank in known.values()] == told and sum(told) == 6
    images = load_examples("mnist", folder)
    for kind, least in (("row", 0.75), ("pixelate", 0.75), ("col", 0.5)):
        model = models[f"custom_mnist_10_{kind}_default.pth"]
        x_T = model.process.degradation(images.pixels(), torch.full((len(images),), model.process.steps))
        assert (model.posterior(x_T).argmax(dim=1) == images.labels).double().mean() >= least


def test_the_shipped_classifiers_are_read_when_a_class_is_asked_for_and_once(folder, tmp_path, monkeypatch):
    """Damaged, or listed and not there, they keep nobody from drawing."""
    name, shipped = "custom_mnist_5_row_speedrun.pth", folder / "classes_mnist.pth"
    for file in (folder / name, folder / "MANIFEST.json"):
        shutil.copy(file, tmp_path)
    models, asked = [load_model(tmp_path / name) for _ in range(2)], torch.zeros(1, 1, 28, 28)
    assert models[0].sample(torch.tensor([3]), steps=1).shape == asked.shape
    with pytest.raises(ThawError, match="no .*classes_mnist.pth, which tells the classes .*; restore it"):
        models[0].posterior(asked)
    (tmp_path / shipped.name).write_bytes(shipped.read_bytes()[:1000])
    with pytest.raises(ThawError, match="classes_mnist.pth is truncated or damaged"):
        models[0].posterior(asked)
    shutil.copy(shipped, tmp_path)
    read, load = [], weights.load_released
    monkeypatch.setattr(weights, "load_released", lambda path, *more: (read.append(path.name), load(path, *more))[1])
    first, second = (model.posterior(asked) for model in models)
    assert torch.equal(first, second) and read == [shipped.name]
    (tmp_path / "MANIFEST.json").unlink()
    (tmp_path / shipped.name).unlink()  # neither there nor listed: by the mixture
    assert not torch.equal(models[0].posterior(asked), first)


def test_real_features_are_those_of_the_shipped_judge(folder):
    """Without the data set: none is at hand under this name."""
    names = [name for name in read_manifest(folder) if name.startswith("real_")]
    assert names and all((folder / name).stat().st_size < 4e6 for name in names)
    for name in names:
        judge = load_judge(name.removeprefix("real_").removesuffix(".pth"), folder)
        real = load_real(judge, folder, cache=None)
        for split, reference in judge.references.items():
            features = real.features(split)
            mean = reference.total / reference.count
            assert features.shape[1] == judge.num and (features[:10_000].mean(dim=0) - mean).abs().max() < 0.1
            assert len(real.labels[split]) == len(features)
        in_turn, in_shares = torch.arange(10_000) % judge.classes, labels_in_shares(judge, 10_000)
        assert floor_at(judge, in_turn) and floor_at(judge, in_shares) < floor_at(judge, in_shares[::5])
