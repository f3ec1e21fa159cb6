"""Configuration: typed, validated, and saying what is wrong."""

import pytest
import torch
import yaml
from cases import ROOT, full, pictures
from pydantic import ValidationError

from thaw.base.errors import ThawError
from thaw.experiment.build import build_network, build_process
from thaw.experiment.config import Config, load_config, make_config, override
from thaw.experiment.variants import smoke_size

CONFIGS = ROOT / "configs"
SHIPPED = sorted(CONFIGS.glob("*/*.yaml"))
shipped = pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parent.name}/{path.stem}")


def test_configurations_are_shipped():
    assert len(SHIPPED) >= 10


@shipped
def test_every_shipped_configuration_is_named_after_its_study_and_set(path):
    config = load_config(path)
    assert config.study == path.parent.name
    other = "" if config.data in ("mnist", "folder") else f"_{config.data}"
    assert path.stem == (config.data if config.study in ("latent", "autoencoder") else config.label + other)


@shipped
def test_every_shipped_configuration_builds_and_learns(path):
    """Process and network fit each other: one loss, one finite gradient, at full size and in smoke."""
    config = load_config(path)
    for variant in (config, smoke_size(config)):
        process, network = build_process(variant, (1, 28, 28)), build_network(variant, (1, 28, 28), 10)
        draws = process.draw(2, torch.Generator().manual_seed(0))
        loss = process.loss(network, pictures(2), full(2, 3), draws)
        loss.backward()
        assert torch.isfinite(loss) and any(p.grad.any() for p in network.parameters())


@shipped
def test_smoke_is_the_same_experiment_but_small(path):
    config, small = load_config(path), smoke_size(load_config(path))
    changed = {key for key in Config.model_fields if getattr(config, key) != getattr(small, key)}
    assert small.limit <= 256 and small.epochs <= 2 and max(small.widths) <= 16
    assert not changed & {"study", "data", "degradation", "options", "schedule", "prediction", "tau", "seed", "sampler"}
    assert small.run_name != config.run_name and small.label != config.label


@shipped
def test_every_shipped_configuration_survives_being_stored(path):
    config = load_config(path)
    stored = yaml.safe_load(yaml.safe_dump(config.model_dump(mode="json")))
    assert make_config(stored) == config


def test_every_field_is_documented():
    assert all(field.description for field in Config.model_fields.values())


@pytest.mark.parametrize(
    ("key", "near"), [("epoch", "epochs"), ("learning_rate", None), ("batchsize", "batch_size"), ("widhts", "widths")]
)
def test_an_unknown_key_is_refused_with_the_nearest_known_ones(key, near):
    with pytest.raises(ThawError, match=f"unknown setting '{key}'" + (f".*did you mean.*{near}" if near else "")):
        make_config({key: 1})


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"epochs": -1}, "'epochs'.*-1"),
        ({"epochs": "many"}, "'epochs'.*many"),
        ({"lr": 0}, "'lr'.*0"),
        ({"lr": float("inf")}, "'lr'.*finite.*inf"),
        ({"epochs": True}, "'epochs'.*true and false are no values.*True"),
        ({"widths": [8, True]}, "widths"),
        ({"widths": [8, 0]}, "'widths.1'.*0"),
        ({"widths": []}, "widths"),
        ({"milestones": [-1], "lr_decay": "milestones"}, "'milestones.0'.*-1"),
        ({"threads": 10**9}, "'threads'.*1024"),
        ({"threads": 0}, "'threads'.*got 0"),
        ({"threads": 1.5}, "'threads'.*got 1.5"),
        ({"threads": "auto"}, "'threads'.*integer.*got 'auto'"),
        ({"epochs": None}, "'epochs'.*null"),
        ({"network": "transformer"}, "'network'.*transformer"),
        ({"data": "cifar"}, "'data'.*cifar"),
        ({"set": "More Capacity"}, "'set'.*More Capacity"),
        ({"sampler": "euler"}, "'sampler'.*euler"),
        ({"dropout": 1.0}, "'dropout'.*1"),
        ({"evaluate_n": 10}, "'evaluate_n'.*10"),
        ({"widths": [8, "x"]}, "widths"),
        ({"tau": (0.7, 0.3)}, "tau.*0.7"),
        ({"tau": (-0.5, 1.0)}, "tau.*-0.5"),
        ({"tau": (0.5, 4.5)}, "tau.*4.5"),
        ({"tau": (0.0, 0.5), "sample_tau": 0.8}, "sample_tau=0.8.*0.5"),
        ({"degradation": "colour"}, "colour.*col.*row.*scale"),
    ],
)
def test_a_bad_value_is_refused_by_name(values, named):
    with pytest.raises(ThawError, match=named):
        make_config(values)


def test_overrides_are_validated_and_null_is_a_value():
    config = make_config({"sample_steps": 5, "minutes": 2})
    assert override(config, {"epochs": 3}) == make_config({"sample_steps": 5, "minutes": 2, "epochs": 3})
    assert override(config, {"sample_steps": None, "minutes": None}) == make_config({"sample_steps": None})
    with pytest.raises(ThawError, match="'lr' in the overrides cannot be null"):
        override(config, {"lr": None})
    with pytest.raises(ThawError, match="unknown setting 'epoch' in the overrides"):
        override(config, {"epoch": 3})
    with pytest.raises(ThawError, match="'epochs'"):
        override(config, {"epochs": -3})
    with pytest.raises(ThawError, match="sample_tau"):
        override(config, {"tau": (0.0, 0.5)})


def test_a_file_can_be_overridden_while_it_is_loaded():
    assert load_config(CONFIGS / "ddpm" / "default.yaml", epochs=7).epochs == 7
    with pytest.raises(ThawError, match="epohcs"):
        load_config(CONFIGS / "ddpm" / "default.yaml", epohcs=7)


def test_a_configuration_cannot_be_changed():
    with pytest.raises(ValidationError):
        Config().epochs = 3


def test_an_unknown_set_lists_the_existing_ones():
    with pytest.raises(ThawError, match="defualt.*cnn, cosine, default"):
        load_config(CONFIGS / "ddpm" / "defualt.yaml")
    with pytest.raises(ThawError, match="configs/"):
        load_config("nowhere/default.yaml")


@pytest.mark.parametrize(
    "text", ["- a\n- b\n", "just words", "", "a: [1, 2", "\x00\x01", "3: 4\n", "on: true\n", "? [a, b]\n: c\n"]
)
def test_a_file_that_holds_no_settings_is_refused(tmp_path, text):
    """In YAML, `on` is a boolean and numbers are numbers, also as keys."""
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(ThawError, match="broken.yaml"):
        load_config(path)


def test_a_mistake_in_a_file_is_told_with_its_line_and_column(tmp_path):
    path = tmp_path / "mine.yaml"
    for text, place in (
        ("epochs: 3\nwidths: [8, 16\nlr: 1e-3\n", "line 3, column 3"),
        ("epochs: 3\nlr: 1\nepochs: 4\n", "line 3, column 1: epochs is set twice"),
        ("options: {group: 2, group: 4}\n", "line 1, column 21: group is set twice"),
        ("epochs: 3\nset: a: b\n", "line 2, column 7"),
        ("epochs: 3\nset: \x01\n", "line 2, column 6"),
    ):
        path.write_text(text)
        with pytest.raises(ThawError, match=f"mine.yaml is not valid YAML at {place}"):
            load_config(path)
    path.write_bytes(b"epochs: 3\nset: \xff\n")
    with pytest.raises(ThawError, match="mine.yaml is not valid YAML at line 2"):
        load_config(path)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "broken.yaml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(ThawError, match="broken.yaml"):
        load_config(tmp_path / "broken.yaml")


def test_names_follow_the_scheme_of_the_earlier_study():
    ddpm = Config()
    assert ddpm.run_name == "ddpm_mnist_default_seed0"
    assert ddpm.release_name(20) == "ddpm_mnist_20_default.pth"
    row = make_config({"study": "custom", "degradation": "row", "set": "default_28", "seed": 3})
    assert row.label == "row_default_28"
    assert row.run_name == "custom_mnist_row_default_28_seed3"
    assert row.release_name(20) == "custom_mnist_20_row_default_28.pth"


def test_runs_that_differ_in_data_set_or_seed_have_different_names():
    variants = [{}, {"data": "digits"}, {"set": "light"}, {"seed": 1}, {"study": "custom", "degradation": "row"}]
    assert len({make_config(values).run_name for values in variants}) == len(variants)
