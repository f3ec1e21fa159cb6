"""The command line: each mistake is one sentence on stderr and an exit code, and leaves nothing behind."""

import re
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from thaw import checkpoint
from thaw.__main__ import main
from thaw.config import load_config
from thaw.model import build_network
from thaw.networks import count_parameters

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def in_the_project(monkeypatch):
    monkeypatch.chdir(ROOT)


def fails(capsys, *arguments: str) -> str:
    """Run a command that must fail, and return its one sentence."""
    assert main(list(arguments)) == 1
    error = capsys.readouterr().err
    assert error.startswith("thaw: ") and error.count("\n") == 1
    return error


@pytest.mark.parametrize("label", ["default", "row_default_28"])
def test_sample_draws_from_shipped_weights(label, tmp_path, capsys):
    out = tmp_path / "seven.png"
    assert main(["sample", label, "-n", "10", "--steps", "3", "--out", str(out)]) == 0
    assert "10 images" in capsys.readouterr().out
    assert Image.open(out).size == (3 * (10 * 29 + 1), 3 * 30)


def test_the_same_seed_draws_the_same_picture_and_another_seed_another(tmp_path):
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        main(["sample", "default", "-n", "4", "--steps", "3", "--seed", seed, "--out", str(tmp_path / f"{name}.png")])
    a, b, c = ((tmp_path / f"{name}.png").read_bytes() for name in "abc")
    assert a == b != c


def test_info_tells_what_is_shipped(capsys):
    assert main(["info"]) == 0
    shipped = capsys.readouterr().out
    assert "ddpm_mnist_0_default.pth" in shipped and "features_mnist.pth" in shipped
    assert main(["info", "default"]) == 0
    assert "degradation: scale" in capsys.readouterr().out


def test_wrong_names_are_told_with_what_there_is(capsys, tmp_path):
    out = str(tmp_path / "x.png")
    assert "there are:" in fails(capsys, "sample", "nothing", "--out", out)
    assert "epoch 7 of default was not shipped; choose one of 0," in fails(
        capsys, "sample", "default", "--epoch", "7", "--out", out
    )
    assert "unknown sampler 'heunn'" in fails(capsys, "sample", "default", "--sampler", "heunn", "--out", out)
    assert "trained for temperatures 1 to 1" in fails(capsys, "sample", "default", "--tau", "0.5", "--out", out)
    assert "digit must be between 0 and 9" in fails(capsys, "sample", "default", "--digit", "12", "--out", out)
    assert "configs/ddpm has cnn, default" in fails(capsys, "train", "--config", "configs/ddpm/defalt.yaml")
    assert "did you mean epochs" in fails(capsys, "train", "--config", "configs/ddpm/default.yaml", "--set", "epoch=3")
    assert "unknown degradation 'rows'" in fails(
        capsys, "train", "--config", "configs/custom/row_default_7.yaml", "--set", "degradation=rows"
    )
    assert not list(tmp_path.iterdir())


def test_damaged_weights_are_told(capsys, tmp_path):
    whole = checkpoint.release_path("default")
    cut = tmp_path / whole.name
    cut.write_bytes(whole.read_bytes()[:5000])
    assert "truncated or damaged" in fails(capsys, "sample", str(cut))
    torch.save({"weights": torch.zeros(3)}, cut)
    assert "not a Thaw weights file" in fails(capsys, "sample", str(cut))
    shutil.copy(whole, cut)
    (tmp_path / "MANIFEST.json").write_text(f'{{"{whole.name}": {{"sha256": "0"}}}}')
    assert "does not match its checksum" in fails(capsys, "info", str(cut))


def test_an_empty_data_folder_is_told(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("THAW_DATA", str(tmp_path))
    run = tmp_path / "run"
    error = fails(capsys, "train", "--config", "configs/ddpm/default.yaml", "--run", str(run))
    assert f"no mnist in {tmp_path}" in error and "THAW_DATA" in error
    assert not run.exists()


def test_a_place_that_cannot_be_written_is_told(capsys, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    error = fails(capsys, "sample", "default", "-n", "2", "--steps", "2", "--out", str(blocked / "x.png"))
    assert f"cannot write in {blocked}" in error


def test_training_resumes_and_exports(capsys, tmp_path):
    """`thaw train` on the embedded digits, then `thaw export`: a file that `thaw sample` draws from."""
    run = tmp_path / "run"
    arguments = ["train", "--config", "configs/custom/row_default_7.yaml", "--set", "data=digits", "--smoke"]
    assert main([*arguments, "--run", str(run)]) == 0
    assert "run directory" in capsys.readouterr().out
    assert main(["export", str(run), "--to", str(tmp_path / "out"), "-n", "0", "--epochs", "2"]) == 0
    released = tmp_path / "out/custom_digits_2_row_default_7_smoke.pth"
    assert main(["sample", str(released), "-n", "4", "--out", str(tmp_path / "x.png")]) == 0
    assert "holds the epochs 0, 1, 2" in fails(capsys, "export", str(run), "--epochs", "9")


@pytest.mark.parametrize("file", ["README.md"])
def test_readme_commands_and_paths_exist(file):
    """Every make target, config and linked file that the README names is there."""
    text = (ROOT / file).read_text()
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"\bmake ([a-z]+)\b", text)) - {"lab"} <= targets
    for path in re.findall(r"\]\(([\w./]+)\)", text) + re.findall(r"CONFIG=(\S+\.yaml)", text):
        assert (ROOT / path).exists(), path
    for config, size in (("default", 289_516), ("cnn", 291_217)):
        config = load_config(f"configs/ddpm/{config}.yaml")
        assert count_parameters(build_network(config, (1, 28, 28), 10)) == size and f"{size:,}" in text
    assert all(load_config(path) for path in re.findall(r"configs/\w+/\w+\.yaml", text))


def test_the_degradation_in_the_readme_trains_draws_and_is_scored_as_written(tmp_path, monkeypatch):
    """Only the size is changed: digits, tiny network, one epoch."""
    from thaw import evaluate, load_judge
    from thaw.degradations import base

    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)[1]
    small = 'epochs=1, data="digits", limit=128, widths=(8, 16), sample_every=0, evaluate_every=0)'
    code = code.replace("epochs=5)", small).replace("thaw.train(config)", f"thaw.train(config, {str(tmp_path)!r})")
    monkeypatch.setattr(base, "_REGISTRY", dict(base._REGISTRY))
    names: dict = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["picture"].shape == (64, 1, 28, 28)
    model = names["epoch"].model
    assert model.terminal.rank == 0
    images = torch.cat([names["picture"]] * 4)
    assert evaluate(images, load_judge("mnist"), model.labels(256))["fid"].n == 256
