"""The earlier latent study's options: data set, kind, version, and any setting by its name."""

import shutil

import numpy as np
import pytest
import torch
from cases import ROOT, fails
from runs import CODER, FLOW, run

from thaw.base.errors import ThawError
from thaw.cli.main import main
from thaw.cli.naming import as_settings
from thaw.experiment.config import make_config
from thaw.store.runs import list_checkpoints, load_checkpoint
from thaw.store.weights import load_model, save_release


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A project with tiny weights in the places of MNIST's: the runs are `dev`, what is in pretrained/ is `main`."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "configs").symlink_to(ROOT / "configs")
    runs = folder / "contents/runs"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        coder, flow = runs / "autoencoder_mnist_vae_seed0", runs / "latent_mnist_flow_seed0"
        run(make_config(CODER), coder)
        run(make_config(FLOW | {"autoencoder": str(coder)}), flow)
        (folder / "pretrained").mkdir()
        for path, name in ((coder, "autoencoder_mnist_1_vae"), (flow, "latent_mnist_1_flow")):
            model = load_model(path / "epoch_0001")
            shutil.copy(save_release(folder / "made", model, model.network.state_dict()), f"pretrained/{name}.pth")
    return folder


@pytest.fixture(autouse=True)
def in_the_project(work, monkeypatch):
    monkeypatch.chdir(work)


def shell(*arguments: object) -> None:
    assert main([str(argument) for argument in arguments]) == 0


def test_unknown_options_are_settings():
    assert as_settings(["--lr", "5e-3", "--widths", "24", "52", "--latent-size=6", "--nesterov"]) == [
        "lr=5e-3", "widths=[24, 52]", "latent-size=6", "nesterov=true"
    ]  # fmt: skip
    with pytest.raises(ThawError, match="unknown argument '7'"):
        as_settings(["7"])


def test_training_takes_data_set_kind_and_any_setting(tmp_path):
    options = "--lr 5e-3 --milestones 1 --gamma 0.5 --alpha 0.15 --widths 8 16 --batch-size 32 --limit 64"
    shell("init", "--dataset", "MNIST", "--model", "autoencoder", "--set", "data=digits", *options.split(),
          "--total-epochs", 3, "--run", tmp_path / "run")  # fmt: skip
    config = load_checkpoint(list_checkpoints(tmp_path / "run")[0]).config
    assert (config.study, config.network, config.label, config.data) == ("autoencoder", *["autoencoder"] * 2, "digits")
    assert (config.lr, config.lr_decay, config.milestones, config.gamma) == (5e-3, "milestones", (1,), 0.5)
    assert (config.alpha, config.widths, config.batch_size, config.epochs) == (0.15, (8, 16), 32, 3)


def test_versions_are_the_run_and_what_was_exported(tmp_path):
    """`dev` stands at the newest epoch, 2; `main` at the epoch that was exported, 1."""
    drawn = {}
    for version in ("dev", "main"):
        out = tmp_path / f"{version}.npz"
        shell("sample", "--dataset", "mnist", "--model", "vae", "--model-version", version, "--height", 2, "--width", 3,
              "--weight", 2, "--diffusion", 0.5, "--sampler", "warm", "--scale", 2, "--out", out)  # fmt: skip
        drawn[version] = np.load(out)["images"]
    run = load_model("contents/runs/latent_mnist_flow_seed0")
    settings = {"guidance": 2.0, "eta": 0.5, "sampler": "warm"}
    expected = {"dev": run, "main": load_model("pretrained/latent_mnist_1_flow.pth")}
    for version, model in expected.items():
        x0 = model.sample(torch.arange(6), **settings)
        assert np.array_equal(drawn[version], ((x0[:, 0] + 1) * 127.5).round().byte().numpy())
    assert (run.epoch, expected["main"].epoch) == (2, 1)


def test_autoencoders_are_found_by_data_set_too(tmp_path, capsys):
    shell("test-reconstruction", "--dataset", "MNIST", "--height", 1, "--width", 4, "--out", tmp_path / "x.png")
    shell("test-reconstruction", "vae", "--height", 1, "--width", 4, "--out", tmp_path / "y.png")
    assert (tmp_path / "x.png").read_bytes() == (tmp_path / "y.png").read_bytes()
    assert "squared error" in capsys.readouterr().out


def test_mistakes_are_one_sentence(capsys, tmp_path):
    config = ("--config", "configs/ddpm/default.yaml")
    assert "network unet has no option 'expansion'; it takes" in fails(capsys, "train", *config, "--expansion", "3")
    assert "unknown setting 'dim1'" in fails(capsys, "train", "--dataset", "MNIST", "--model", "vae", "--dim1", "64")
    assert "by --config FILE, or else by --dataset and --model" in fails(capsys, "train", "--dataset", "MNIST")
    assert "or else by" in fails(capsys, "init", *config, "--dataset", "MNIST", "--model", "vae")
    assert "milestones and lr_decay" in fails(capsys, "init", *config, "--lr-decay", "milestones")
    assert "thaw train --dataset emnist --model flow" in fails(
        capsys, "test", "--dataset", "EMNIST", "--model-version", "dev"
    )
    assert "lives in the latent of its vae, not autoencoder" in fails(
        capsys, "test", "--dataset", "MNIST", "--model", "autoencoder"
    )
    assert "not by both" in fails(capsys, "sample", "default", "--dataset", "MNIST")
    assert "say which model of a --dataset" in fails(capsys, "sample", "--model-version", "dev")
    assert "no weights fashion flow" in fails(capsys, "sample", "--dataset", "FashionMNIST")
    assert main(["sample", "--dataset", "CIFAR"]) == 2
    assert "none of MNIST, EMNIST, FashionMNIST" in capsys.readouterr().err
