"""The command line: each mistake is one sentence on stderr and an exit code, and leaves nothing behind."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from cases import ROOT, command, fails, open_picture
from PIL import Image

from thaw.cli.main import main
from thaw.experiment.build import build_network
from thaw.experiment.config import load_config
from thaw.networks import count_parameters
from thaw.store import released, weights


@pytest.fixture(autouse=True)
def in_the_project(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("label", ["default", "row_default_28"])
def test_sample_draws_from_shipped_weights(label, tmp_path, capsys):
    out = tmp_path / "seven.png"
    assert main(["sample", label, "-n", "10", "--steps", "3", "--out", str(out)]) == 0
    assert "10 images" in capsys.readouterr().out
    assert open_picture(out).size == (3 * (10 * 29 + 1), 3 * 30)


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
    for digit in ("10", "12"):
        error = fails(capsys, "sample", "default", "--digit", digit, "--out", out)
        assert f"digit must be between 0 and 9, got {digit}" in error
    assert "configs/ddpm has cnn, cosine, default" in fails(capsys, "train", "--config", "configs/ddpm/defalt.yaml")
    assert "did you mean epochs" in fails(capsys, "train", "--config", "configs/ddpm/default.yaml", "--set", "epoch=3")
    assert "unknown degradation 'rows'" in fails(
        capsys, "train", "--config", "configs/custom/row_default_7.yaml", "--set", "degradation=rows"
    )
    assert not list(tmp_path.iterdir())


def test_who_is_not_told_the_class_cannot_be_asked_for_one(capsys, tmp_path, tiny):
    model = tiny(set="plain", network="cnn", label_dropout=1.0)
    path = str(weights.save_release(tmp_path / "made", model, model.network.state_dict()))
    error = fails(capsys, "sample", path, "--digit", "3", "--out", str(tmp_path / "x.png"))
    assert "plain is not told the class; leave --digit 3 out" in error and not (tmp_path / "x.png").exists()


def test_without_a_run_the_shipped_default_is_taken_and_said_so(tmp_path, monkeypatch, capsys):
    (tmp_path / "pretrained").symlink_to(ROOT / "pretrained")
    monkeypatch.chdir(tmp_path)
    few = ["-n", "2", "--steps", "2"]
    for name, arguments in (
        ("a.npz", ["sample", *few]),
        ("b.npz", ["sample", "default", *few]),
        ("c.png", ["sample-blend", *few]),
        ("d.png", ["restore", "a.npz", "--degrade", *few]),
    ):
        assert main([*arguments, "--out", name]) == 0 and Path(name).is_file()
        said = capsys.readouterr().err
        assert ("shipped weights `default`" in said) == (name != "b.npz")
    assert np.array_equal(np.load("a.npz")["images"], np.load("b.npz")["images"])
    for verb in ("export", "encode-dataset", "test-reconstruction"):  # the default is neither run nor autoencoder
        assert "no run in contents/runs yet" in fails(capsys, verb)
    assert "row_default_28 is no run directory (contents/runs has none)" in fails(capsys, "export", "row_default_28")


@pytest.mark.parametrize(
    "arguments",
    [
        ["sample"], ["info"], ["evaluate", "default"], ["train", "--config", "configs/ddpm/default.yaml"], ["play"],
        ["notebook", "01_ddpm"], ["cards"], ["numbers"], ["report"], ["banner"], ["speedrun"],
        ["sample", "pretrained/x.pth"], ["sample", "--dataset", "mnist"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_outside_the_clone_that_is_what_is_told(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command(arguments) == 1
    *_, error = capsys.readouterr().err.splitlines()
    assert f"{tmp_path} is not inside the Thaw project: run this in the folder that you cloned" in error
    assert not list(tmp_path.iterdir())
    if arguments not in (
        ["info"],
        ["sample"],
        ["evaluate", "default"],
    ):  # found by name in all of it
        monkeypatch.chdir(ROOT / "src")
        assert command(arguments) == 1
        assert f"run this in the project's folder, {ROOT}" in capsys.readouterr().err


def test_advice_on_what_is_no_part_of_the_project_is_left_as_it_is(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert fails(capsys, "sample", "x.pth").endswith("no file x.pth; check its name\n")


def test_damaged_weights_are_told(capsys, tmp_path):
    whole = weights.release_path("default")
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


@pytest.mark.slow
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


@pytest.fixture
def some_digits(digits_test):
    """256 images, shaped as the shipped judge takes them."""
    return digits_test.images[:256]


@pytest.mark.slow
def test_evaluate_scores_shipped_weights_once(tmp_path, monkeypatch, capsys):
    """In a copy of the project's `pretrained/`, so that nothing is kept in the repository."""
    (tmp_path / "pretrained").symlink_to(ROOT / "pretrained")
    monkeypatch.chdir(tmp_path)
    arguments = ["evaluate", "row_default_28", "--n", "256", "--out", "scores.json"]
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    (record,) = json.loads(Path("scores.json").read_text())
    assert record["settings"]["weights"] == released.read_manifest()[release("row_default_28")]["sha256"]
    fid = record["scores"]["fid"]
    assert (fid["n"], fid["seed"], fid["reference"]) == (256, 0, "test") and fid["floor"] > 0
    assert re.search(rf"fid +{fid['value']:.2f} +\({fid['floor']:.2f}\)", shown) and "accuracy" in shown
    kept = sorted(Path("contents/evaluation").iterdir())
    monkeypatch.setattr("thaw.scoring.evaluation.protocol", None)
    assert main(arguments) == 0 and capsys.readouterr().out == shown
    assert sorted(Path("contents/evaluation").iterdir()) == kept


def release(label: str) -> str:
    return weights.release_path(label).name


@pytest.mark.slow
def test_pngs_and_arrays_of_the_same_images_get_the_same_scores(
    tmp_path, capsys, monkeypatch, some_digits, digits_test
):
    (tmp_path / "pretrained").symlink_to(ROOT / "pretrained")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("THAW_DATA", "nothing here")  # training images, which novelty asks for, say nothing of formats
    labels = digits_test.labels[:256]
    array = some_digits.numpy()
    np.save("a.npy", array[:, 0])
    np.savez("b.npz", array)
    np.savez("c.npz", images=array[::-1].transpose(0, 2, 3, 1), labels=labels.numpy()[::-1])
    for index, (image, label) in enumerate(zip(array[:, 0], labels.tolist(), strict=True)):
        for path in (Path("grey") / f"{index}.png", Path("asked") / str(label) / f"{index}.png"):
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).convert("RGB" if index % 2 else "L").save(path)

    def scores(path: str) -> dict:
        shutil.rmtree("contents/evaluation", ignore_errors=True)  # measured, not looked up
        assert main(["evaluate", "--images", path, "--out", "scores.json"]) == 0
        return json.loads(Path("scores.json").read_text())[0]["scores"]

    plain = scores("a.npy")
    assert plain == scores("b.npz") == scores("grey") and "accuracy" not in plain
    told = scores("c.npz")
    assert told == scores("asked")
    # Floors are of the classes asked for where these are told, else of those that the judge sees.
    values = {name: score["value"] for name, score in told.items() if name != "accuracy"}
    assert values == {name: score["value"] for name, score in plain.items()}
    capsys.readouterr()


def test_images_that_cannot_be_read_are_told(tmp_path, capsys):
    def refused(path: Path, *more: str) -> str:
        return fails(capsys, "evaluate", "--images", str(path), *more)

    def array(content: np.ndarray, **named: np.ndarray) -> Path:
        path = tmp_path / ("x.npz" if named else "x.npy")
        np.savez(path, **named) if named else np.save(path, content)
        return path

    images = np.random.default_rng(0).integers(0, 2, (300, 28, 28), dtype=np.uint8)
    assert "no file or folder" in refused(tmp_path / "nothing.npy")
    assert "no images in" in refused(tmp_path)
    assert "float64 values; save greys 0..255 as uint8" in refused(array(images / 2))
    assert "(300, 2, 28, 28); save images as" in refused(array(np.stack([images] * 2, axis=1)))
    assert "is coloured; save grey" in refused(array(np.stack([images, images, images * 99], axis=1)))
    assert "all 300 images of x.npy are equal, every pixel 0" in refused(array(images * 0))
    assert "takes images (N, (1, 28, 28)), got (300, 1, 32, 32)" in refused(
        array(np.pad(images, ((0, 0), (2, 2), (2, 2))) * 9)
    )
    assert "at least 256 images, got 255" in refused(array(images[:255]))
    assert "name the array of images `images`" in refused(array(images, first=images, second=images))
    assert "one whole number for each of 300" in refused(array(images, images=images, labels=np.zeros(299, dtype=int)))
    assert "largest pixel is 1" in refused(array(images))
    assert "leave --n 300 out" in refused(array(images), "--n", "300")
    assert "either models or --images" in fails(capsys, "evaluate")
    assert "models are scored on the data set they draw" in fails(capsys, "evaluate", "default", "--data", "fashion")
    assert "there are:" in fails(capsys, "evaluate", "default", "nothing")
    assert "at least 256 images, got 100" in fails(capsys, "evaluate", "default", "--n", "100")
    assert "unknown.pth" in refused(array(images), "--data", "unknown")
    for name, content in (("a.npy", b"\x93NUMPY"), ("b.npz", b"PK"), ("c.png", b"GIF"), ("d.txt", b"")):
        (tmp_path / name).write_bytes(content)
        assert "save" in refused(tmp_path / name if name != "c.png" else tmp_path)
    (tmp_path / "c.png").unlink()
    damaged = {"coloured": [("RGB", 28)], "one size": [("L", 28), ("L", 27)]}
    for index, (named, pictures) in enumerate(damaged.items()):
        folder = tmp_path / str(index)
        folder.mkdir()
        for number, (mode, width) in enumerate(pictures):
            Image.new(mode, (width, 28), (1, 2, 30) if mode == "RGB" else 7).save(folder / f"{number}.png")
        assert named in refused(folder)
    for folder in ("classes/seven", "mixed/7"):
        (tmp_path / folder).mkdir(parents=True)
        Image.new("L", (28, 28)).save(tmp_path / folder / "0.png")
    Image.new("L", (28, 28)).save(tmp_path / "mixed/1.png")
    assert "images in seven" in refused(tmp_path / "classes") and "images in no subfolder" in refused(
        tmp_path / "mixed"
    )


def test_targets_and_configurations_of_the_manual_exist():
    """Every make target and config that the README or a page of docs/ names is there."""
    text = "\n".join(path.read_text() for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))])
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"(?:^|[`(])make ([a-z]+)\b", text, re.M)) - {"lab"} <= targets
    for path in re.findall(r"CONFIG=(\S+\.yaml)", text):
        assert (ROOT / path).exists(), path
    for config, size in (("default", 289_516), ("cnn", 291_217)):
        config = load_config(f"configs/ddpm/{config}.yaml")
        assert count_parameters(build_network(config, (1, 28, 28), 10)) == size and f"{size:,}" in text
    assert all(load_config(path) for path in re.findall(r"configs/\w+/\w+\.yaml", text))


@pytest.mark.slow
def test_the_degradation_in_the_readme_trains_draws_and_is_scored_as_written(tmp_path, monkeypatch):
    """Only the size is changed: few digits, one epoch."""
    from thaw import evaluate, load_judge
    from thaw.degradations import base

    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)[1]
    small = 'epochs=1, data="digits", limit=128, sample_every=0, evaluate_every=0, **known)'
    elsewhere = f"thaw.train(config, {str(tmp_path)!r})"
    for written, here in (("epochs=2, **known)", small), ("thaw.train(config)", elsewhere)):
        assert code.count(written) == 1
        code = code.replace(written, here)
    monkeypatch.setattr(base, "_REGISTRY", dict(base._REGISTRY))
    names: dict = {}
    exec(compile(code, "README.md", "exec"), names)
    drawn = names["picture"]
    exec(compile(code, "README.md", "exec"), names := {})  # its run is complete by now
    assert names["epoch"].before and torch.equal(names["picture"], drawn)
    assert names["picture"].shape == (64, 1, 28, 28)
    model = names["epoch"].model
    assert model.terminal.rank == 0
    images = torch.cat([names["picture"]] * 4)
    assert evaluate(images, load_judge("mnist"), model.labels(256))["fid"].n == 256


CURTAIN = """import torch, thaw
@thaw.register("curtain_of_the_budget")
class Curtain(thaw.Degradation):
    def __init__(self, shape, steps=7):
        super().__init__(shape, steps)
    def forward(self, x0, t, z=None):
        hidden = torch.arange(self.shape[2]) < (t / self.steps * self.shape[2])[:, None]
        return torch.where(hidden[:, None, None, :], torch.zeros(()), x0)
"""


def test_a_budget_is_told_of_a_name_a_file_a_configuration_and_a_model(tmp_path, capsys):
    few, mine, out = ["--data", "digits", "-n", "40"], tmp_path / "mine.py", tmp_path / "mine.json"
    mine.write_text(CURTAIN)
    assert main(["budget", str(mine), *few, "--steps", "7", "--out", str(out)]) == 0
    told = capsys.readouterr().out
    assert "curtain_of_the_budget: T = 7" in told and "lost with a perfect network" in told and "advice: soften" in told
    record = json.loads(out.read_text())
    parts = record["steps"] + record["jumps"] + record["temperature"]
    assert parts == pytest.approx(record["total"]["distance"]) and record["degradation"] == "curtain_of_the_budget"
    config = tmp_path / "config.yaml"
    config.write_text("study: custom\ndegradation: mask\nsoften: 2\ndata: digits\ntau: [0.0, 1.0]\neta: 1.0\n")
    assert main(["budget", str(config), "-n", "40"]) == 0
    assert "mask: T = 14, softened to 28" in capsys.readouterr().out
    config.write_text(
        "study: custom\ndegradation: mask\ndata: digits\ntau: [0.0, 1.0]\nsample_tau: 0.0\nsampler: algorithm2\n"
    )
    assert main(["budget", str(config), "-n", "40"]) == 0  # what a cold sampler loses; the advice may be warm
    assert "advice: soften" in capsys.readouterr().out
    config.write_text("data: digits\nsteps: 20\nschedule: cosine\nsample_steps: 5\n")
    assert main(["budget", str(config), "-n", "40"]) == 0  # hot: its signal is bound to its noise
    assert re.search(r"advice: eta [\d.]+, \d+ steps", told := capsys.readouterr().out) and "soften" not in told
    said = fails(capsys, "budget", "nothing")
    assert "no degradation nothing (blur, col, " in said and "there are:" in said
    config.write_text("study: custom\ndata: pairs\ndata_path: here\n")
    assert "undoes what no function did; this takes a degradation" in fails(capsys, "budget", str(config))
    assert "no file" in fails(capsys, "budget", str(tmp_path / "other.py"))
    mine.write_text(CURTAIN.replace("(t / self.steps", "1 + (t / self.steps"))
    assert "Curtain at step 0 must be the identity" in fails(capsys, "budget", str(mine), *few)
    assert "lives in a latent" in fails(capsys, "budget", "flow")


@pytest.mark.slow
def test_a_budget_of_a_model_tells_the_share_of_its_network(capsys):
    assert main(["budget", "mask_default", "-n", "40", "--steps", "3"]) == 0
    told = capsys.readouterr().out
    assert "lost with these weights" in told and "40 real images" in told
