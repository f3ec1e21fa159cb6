"""The weights that are shipped with the repository."""

import pytest
import torch

from thaw.checkpoint import load_model, read_manifest
from thaw.features import judge_path, load_judge
from thaw.files import sha256
from thaw.real import load_real


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


def test_every_judge_loads_and_knows_its_floor(folder):
    for name in read_manifest(folder):
        if name.startswith("features_"):
            judge = load_judge(name.removeprefix("features_").removesuffix(".pth"), folder)
            assert judge_path(judge.data, folder).name == name
            assert judge.accuracy > {"mnist": 0.995}.get(judge.data, 0.85)
            assert judge.floors and set(judge.references) == {"train", "test"}


def test_real_features_are_those_of_the_shipped_judge(folder):
    """Without the data set: none is at hand under this name."""
    names = [name for name in read_manifest(folder) if name.startswith("real_")]
    assert names and all((folder / name).stat().st_size < 3e6 for name in names)
    for name in names:
        judge = load_judge(name.removeprefix("real_").removesuffix(".pth"), folder)
        real = load_real(judge, folder, cache=None)
        for split, reference in judge.references.items():
            features = real.features(split)
            mean = reference.total / reference.count
            assert features.shape[1] == judge.num and (features.mean(dim=0) - mean).abs().max() < 0.1
