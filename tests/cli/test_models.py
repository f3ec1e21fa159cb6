"""The verbs on runs and models: init, train only, info, sample, sample-blend, restore, export, in every format."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from cases import ROOT, everything, fails, open_picture
from PIL import Image

from thaw.base.errors import ThawError
from thaw.cli.main import build_app, main
from thaw.cli.naming import Computing
from thaw.model import Model
from thaw.store.runs import list_checkpoints
from thaw.store.tensors import save_tensors
from thaw.store.trajectories import load_trajectories
from thaw.store.weights import load_model
from thaw.training.loop import train

TINY = ["data=digits", "widths=[8, 16]", "limit=64", "batch_size=32", "terminal_components=2", "sample_steps=3"]


def shell(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def tiny(config: str) -> list[str]:
    """Return the arguments of a tiny experiment."""
    return ["--config", str(ROOT / "configs" / config), *(part for pair in TINY for part in ("--set", pair))]


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """A folder with two trained runs below contents/runs/: first hot, then warm rows."""
    folder = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert shell("train", *tiny("ddpm/testing.yaml"), "--epochs", 1, "--train-only", "--device", "cpu") == 0
        rows = (f"--set={pair}" for pair in ("start_from=null", "soften=1", "tau=[0, 1]", "sample_tau=1"))
        assert shell("train", *tiny("custom/row_default_7.yaml"), *rows, "--epochs", 1, "--train-only") == 0
    return folder


@pytest.fixture(autouse=True)
def in_the_folder(runs, monkeypatch):
    monkeypatch.chdir(runs)


@pytest.mark.parametrize("verb", ["init", "train", "info", "sample", "sample-blend", "restore", "export"])
def test_every_verb_has_help(verb, capsys):
    assert main([verb, "--help"]) == 0
    said = capsys.readouterr().out
    assert f"thaw {verb}" in said and "--device" in said or verb == "info"
    if verb in ("sample", "sample-blend", "restore", "export"):
        assert all(option in said for option in ("-n", "--seed", "--device", "--out"))


def test_training_only_writes_checkpoints_and_no_pictures(runs):
    run = runs / "contents/runs/ddpm_digits_testing_seed0"
    assert {p.name for p in run.iterdir()} == {
        "epoch_0000", "epoch_0001", ".latest", ".lock", "metrics.jsonl", "terminal.pt"
    }  # fmt: skip
    assert load_model(run).epoch == 1


def test_init_makes_a_run_that_train_goes_on_with(tmp_path, capsys):
    run = tmp_path / "new"
    assert shell("init", *tiny("ddpm/testing.yaml"), "--epochs", 1, "--run", run) == 0
    assert [p.name for p in list_checkpoints(run)] == ["epoch_0000"]
    assert "epoch_0000" in capsys.readouterr().out
    assert "holds a run already" in fails(capsys, "init", *tiny("ddpm/testing.yaml"), "--run", str(run))
    assert shell("train", *tiny("ddpm/testing.yaml"), "--epochs", 1, "--run", run, "--train-only") == 0
    straight = load_model("contents/runs/ddpm_digits_testing_seed0").network.state_dict()
    assert all(torch.equal(value, straight[key]) for key, value in load_model(run).network.state_dict().items())
    Path("contents/runs/.latest").unlink()
    Path("contents/runs/.latest").symlink_to("custom_digits_row_default_7_seed0")


def test_a_model_is_distilled_and_what_comes_of_it_is_shipped(tmp_path, capsys):
    """Killed within, it goes on to the same weights; its file is named after it and draws in one evaluation."""
    teacher = Path("contents/runs/custom_digits_row_default_7_seed0")
    small = ["--train-only", "--set", "limit=250", "--set", "batch_size=64", "--set", "data=digits"]
    straight, resumed, out = (tmp_path / name for name in ("straight", "resumed", "out"))
    assert shell("distill", teacher, *small, "--epochs", 2, "--run", straight) == 0
    parts = list(Path("contents/trajectories").glob("*/*.pt"))
    assert len(parts) == 1
    parts[0].write_bytes(parts[0].read_bytes()[:1000])  # as a full disk would leave it: it is drawn again
    config = load_model(straight).config
    epochs = train(config, resumed, progress=False)
    assert [next(epochs).epoch, next(epochs).epoch] == [0, 1]
    epochs.close()
    assert shell("distill", teacher, *small, "--epochs", 2, "--run", resumed) == 0
    ours, theirs = (load_model(path).network.state_dict() for path in (straight, resumed))
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    assert shell("export", straight, "--out", out, "--n", 0, "--epochs", 2) == 0
    model = load_model(out / "custom_digits_2_row_fast.pth")
    assert model.config.start_from == str(teacher) and model.sampling.steps == 4
    assert (
        shell("sample", out / "custom_digits_2_row_fast.pth", "--steps", 1, "-n", 4, "--out", tmp_path / "four.png")
        == 0
    )
    capsys.readouterr()
    assert "is of epoch 2; leave --epoch 1 out" in fails(
        capsys, "info", str(out / "custom_digits_2_row_fast.pth"), "--epoch", "1"
    )
    assert "fast itself" in fails(capsys, "distill", str(out / "custom_digits_2_row_fast.pth"), *small)
    new = tmp_path / "new"
    for setting, said in (
        ("degradation=col", "fast weights undo what their teacher undoes: degradation is 'row' of"),
        ("tau=[0, 0.5]", "tau is \\(0.0, 1.0\\) of .* and \\(0.0, 0.5\\) here"),
        ("data=fashion", "data_name is 'digits' of .* and 'fashion' here"),
        ("flow_map=null", "flow_map is a range of guidance weights"),
    ):
        more = ["--set", "sample_tau=0.5", "--set", setting, "--run", str(new)]
        assert re.search(said, fails(capsys, "distill", str(teacher), *small, *more)) and not new.exists()
    # Nothing is drawn for another process's run, nothing of another experiment's is overwritten, and what is kept is
    # that of the teacher as it draws now, whole.
    before = everything(straight) | everything(Path("contents/trajectories"))
    epochs = train(config, straight, progress=False)
    next(epochs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("thaw.training.loop.load_trajectories", None)
        with pytest.raises(ThawError, match="another process .* is training in"):
            next(train(config, straight, progress=False))
    epochs.close()
    hot = ["distill", "ddpm_digits_testing_seed0", *small, "--run", str(straight)]
    assert main(hot) == 1 and "holds a run with other settings" in capsys.readouterr().err
    after = everything(straight) | everything(Path("contents/trajectories"))
    assert {name: after[name] for name in before if ".lock" not in name} == {
        k: v for k, v in before.items() if ".lock" not in k
    }
    known = load_trajectories(config, progress=False)
    save_tensors(parts[0], {"x": torch.zeros(3)})  # a torch file, and no part
    again = load_trajectories(config, progress=False)
    assert torch.equal(again.images, known.images) and torch.equal(again.paths.tau, known.paths.tau)
    sampled = load_model(teacher)
    sampled.sampling = sampled.sampling.replace(tau=0.5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("thaw.store.trajectories.load_model", lambda _: sampled)
        other = load_trajectories(config, progress=False)
    assert other.fingerprint != known.fingerprint  # and kept apart
    Path("contents/runs/.latest").unlink()
    Path("contents/runs/.latest").symlink_to("custom_digits_row_default_7_seed0")


def test_without_a_name_the_most_recently_active_run_is_taken(tmp_path, capsys, monkeypatch):
    assert shell("info") == 0
    said = capsys.readouterr().out
    assert "degradation: row" in said and "epoch: 1" in said and "parameters: " in said
    assert shell("info", "ddpm_digits_testing_seed0", "--epoch", 0) == 0  # a run by its name, at an epoch
    assert "degradation: scale" in (said := capsys.readouterr().out) and "epoch: 0" in said
    assert shell("sample", "-n", 2, "--out", tmp_path / "x.npz") == 0
    named = load_model("contents/runs/custom_digits_row_default_7_seed0")
    images = np.load(tmp_path / "x.npz")["images"]
    assert np.array_equal(images, _uint8(named.sample(named.labels(2))))
    monkeypatch.chdir(tmp_path)
    assert "no weights mnist default" in fails(capsys, "sample", "--out", "x.png")  # nor is anything shipped here
    assert "no run in contents/runs yet" in fails(capsys, "export")


def _uint8(pixels: torch.Tensor) -> np.ndarray:
    return ((pixels[:, 0] + 1) * 127.5).round().byte().numpy()


def test_the_same_images_in_every_format(tmp_path):
    for out in ("x.npz", "x.png", "x.gif", "folder"):
        assert shell("sample", "-n", 3, "--seed", 5, "--out", tmp_path / out) == 0
    content = np.load(tmp_path / "x.npz")
    images = content["images"]
    assert images.shape == (3, 28, 28) and images.dtype == np.uint8 and content["labels"].tolist() == [0, 1, 2]
    grid = np.array(open_picture(tmp_path / "x.png"))[::3, ::3]
    for index, path in enumerate(sorted((tmp_path / "folder").iterdir())):
        assert np.array_equal(np.array(open_picture(path)), images[index])
        assert np.array_equal(grid[1:29, 1 + 29 * index : 29 + 29 * index], images[index])
    animation = open_picture(tmp_path / "x.gif")
    assert animation.n_frames >= 3
    animation.seek(animation.n_frames - 1)
    last = np.array(animation.convert("L"))[::3, ::3]
    assert np.array_equal(last, grid)


def test_a_blend_begins_and_ends_with_the_classes_themselves(tmp_path):
    out = tmp_path / "blend.npz"
    blend = ["sample-blend", "-n", 2, "--digits", 1, 7, "--columns", 4, "--seed", 3]
    assert shell(*blend, "--out", out) == 0
    images = np.load(out)["images"].reshape(2, 4, 28, 28)
    model = load_model("contents/runs/custom_digits_row_default_7_seed0")
    for column, digit in ((0, 1), (-1, 7)):
        alone = _uint8(model.sample(model.labels(2, digit), eta=0.0, sampler="warm", seed=3)).astype(int)
        assert abs(alone - images[:, column]).max() <= 1
    for ending in ("png", "gif"):
        assert shell(*blend, "--out", tmp_path / f"blend.{ending}") == 0
    assert open_picture(tmp_path / "blend.png").size == (3 * (4 * 29 + 1), 3 * (2 * 29 + 1))
    assert open_picture(tmp_path / "blend.gif").n_frames == 4


@pytest.mark.parametrize("sampler", ["algorithm1", "algorithm2", "direct", "warm"])
def test_restore_takes_what_degrade_makes(tmp_path, sampler, digits_test):
    """Clean images degraded by the command, and the same degraded beforehand, are restored alike."""
    model = load_model("contents/runs/custom_digits_row_default_7_seed0")
    clean = digits_test.images[:3]
    (tmp_path / "clean").mkdir()
    for index, image in enumerate(clean):
        Image.fromarray(image[0].numpy()).save(tmp_path / "clean" / f"{index}.png")
    degraded = model.process.degradation(digits_test.pixels(slice(3)), torch.full((3,), 7))
    np.savez(tmp_path / "degraded.npz", images=_uint8(degraded))
    settings = ["--sampler", sampler, "--seed", 2]
    assert shell("restore", tmp_path / "clean", "--degrade", *settings, "--out", tmp_path / "a.npz") == 0
    assert shell("restore", tmp_path / "degraded.npz", *settings, "--out", tmp_path / "b.npz") == 0
    a, b = (np.load(tmp_path / f"{name}.npz")["images"].astype(int) for name in "ab")
    assert a.shape == (3, 28, 28) and abs(a - b).max() <= 12  # the degraded images were rounded to 256 greys
    assert shell("restore", tmp_path / "clean", "--degrade", *settings, "--out", tmp_path / "a") == 0
    assert [p.name for p in sorted((tmp_path / "a").iterdir())] == ["00000_0.png", "00001_1.png", "00002_2.png"]
    assert shell("restore", tmp_path / "clean" / "0.png", "-t", 3, *settings, "--out", tmp_path / "a.png") == 0
    assert open_picture(tmp_path / "a.png").size == (3 * 30, 3 * (2 * 29 + 1))


@pytest.mark.parametrize(("sampler", "tau"), [("warm", 1), ("direct", 0), ("algorithm2", 0)])
def test_what_holds_on_to_the_picture_is_as_hot_as_the_weights_know(sampler, tau, tmp_path, digits_test):
    np.savez(tmp_path / "clean.npz", images=digits_test.images[:3].numpy())
    how = ["restore", tmp_path / "clean.npz", "--degrade", "--sampler", sampler, "--infer", "--consistent"]
    for name, more in (("by itself", []), ("told", ["--tau", tau]), ("colder", ["--tau", 0])):
        assert shell(*how, *more, "--out", tmp_path / f"{name}.npz") == 0
    alone, told, colder = (np.load(tmp_path / f"{name}.npz")["images"] for name in ("by itself", "told", "colder"))
    assert np.array_equal(alone, told) and np.array_equal(told, colder) == (tau == 0)


def test_restore_tells_how_close_it_comes_and_what_is_possible(tmp_path, monkeypatch, capsys, digits_test, judge):
    """Of clean images that it degrades, and of degraded ones beside their originals, alike."""
    model = load_model("contents/runs/custom_digits_row_default_7_seed0")
    monkeypatch.setattr("thaw.scoring.load_judge", lambda _: judge)
    some = digits_test.take(torch.arange(5))
    np.savez(tmp_path / "clean.npz", images=some.images.numpy(), labels=some.labels.numpy())
    degraded = model.process.degradation(some.pixels(), torch.full((5,), 7))
    np.savez(tmp_path / "degraded.npz", images=_uint8(degraded))
    for index, image in enumerate(some.images):
        (tmp_path / "nameless").mkdir(exist_ok=True)
        Image.fromarray(image[0].numpy()).save(tmp_path / "nameless" / f"{index}.png")
    warm, out = ["--tau", 1, "--steps", 2], ["--out", tmp_path / "x.png"]
    said = []
    for given in (["clean.npz", "--degrade", "--score"], ["degraded.npz", "--originals", tmp_path / "clean.npz"]):
        assert shell("restore", tmp_path / given[0], *given[1:], *warm, *out) == 0
        said.append(capsys.readouterr().out)
        for name in ("agreement", "psnr", "ssim", "error_ratio", "consistency", "spread_skill"):
            assert f"\n{name} " in said[-1]
        assert ", n = 5\n" in said[-1] and "(exact 2.00)" in said[-1] and "n = 297" in said[-1]
    assert said[0].split("best guess")[1] == said[1].split("best guess")[1]  # the ceiling is that of the degradation
    assert shell("restore", tmp_path / "nameless", "--degrade", "--score", "--sampler", "algorithm1", *out) == 0
    told = capsys.readouterr().out
    assert "no class agreement: nothing tells the classes" in told and "\npsnr " in told and "spread" not in told
    assert "use --degrade on clean ones" in fails(capsys, "restore", str(tmp_path / "degraded.npz"), "--score")
    both = ["--degrade", "--originals", "x"]
    assert "leave --originals x out" in fails(capsys, "restore", str(tmp_path / "clean.npz"), *both)
    one = ["--originals", str(tmp_path / "nameless" / "0.png")]
    assert "has 5 images, " in fails(capsys, "restore", str(tmp_path / "degraded.npz"), *one)
    classes, others = tmp_path / "classes", tmp_path / "others"
    for index, label in enumerate(some.labels.tolist()):  # in another order
        (classes / str(9 - label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(some.images[index, 0].numpy()).save(classes / str(9 - label) / f"{index}.png")
    psnr = []
    for clean in (tmp_path / "clean.npz", classes):
        assert shell("restore", tmp_path / "nameless", "--originals", clean, "--sampler", "direct", *out) == 0
        psnr += [line for line in capsys.readouterr().out.splitlines() if line.startswith("psnr")]
    assert psnr[0] == psnr[1]
    several = ["--originals", str(tmp_path / "sorted.npz")]
    order = some.labels.argsort()
    np.savez(several[1], images=some.images[order].numpy(), labels=some.labels[order].numpy())
    np.savez(tmp_path / "told.npz", images=_uint8(degraded), labels=some.labels.numpy())
    said = fails(capsys, "restore", str(tmp_path / "told.npz"), *several)
    assert "its original in" in said and "give the originals in the same order" in said
    named = tmp_path / "named"
    named.mkdir()
    for index in range(5):
        (named / f"x{index}.png").write_bytes((tmp_path / "nameless" / f"{index}.png").read_bytes())
    assert shell("restore", tmp_path / "nameless", "--originals", named, "--sampler", "direct", *out) == 0
    assert "No name is in both: the originals are taken in their order, x0 for 0" in capsys.readouterr().out
    others.mkdir()
    for index in range(1, 6):
        (others / f"{index}.png").write_bytes((tmp_path / "nameless" / "0.png").read_bytes())
    others = ["--originals", str(others)]
    assert "the original of 0 in" in fails(capsys, "restore", str(tmp_path / "nameless"), *others)


def test_a_hot_model_restores_what_it_was_not_trained_on(tmp_path, capsys, digits_test, monkeypatch):
    """By a degradation's name, or a file of one's own; a model that is not hot is no prior."""
    np.savez(tmp_path / "clean.npz", images=digits_test.images[:3].numpy())
    own = "import thaw\nfrom thaw.degradations import Degradation\n\n\n@thaw.register('dim')\nclass Dim(Degradation):\n"
    own += "    def __init__(self, shape, steps=4):\n        super().__init__(shape, steps)\n\n"
    own += "    def forward(self, x0, t, z=None):\n        return x0 * (1 - t / 4)[:, None, None, None]\n"
    (tmp_path / "dim.py").write_text(own)
    given = ["restore", str(tmp_path / "clean.npz"), "--degrade", "--out", str(tmp_path / "x.npz")]
    hot = ["--model", "ddpm_digits_testing_seed0", "--steps", "2", "--consistent", "--score"]
    for name, total in (("row", 28), (str(tmp_path / "dim.py"), 4)):
        assert shell(*given, *hot, "--prior", name) == 0
        said = capsys.readouterr().out
        assert f"3 images restored from step {total} of {total}" in said and "\nspread_skill " in said
        assert "\nconsistency " in said
        assert np.load(tmp_path / "x.npz")["images"].shape == (3, 28, 28)
    cold = ["--model", "custom_digits_row_default_7_seed0", "--prior", "blur"]
    assert "a prior is a hot model, such as `default`; this one undoes Lines" in fails(capsys, *given, *cold)
    monkeypatch.setattr(Model, "sample", None)  # a mistake is told before a thousand images are drawn
    for wrong, said in (
        ("--sampler direct", "leave other samplers"),
        ("--infer", "leave `infer` out"),
        ("-t 40", "T=28"),
    ):
        assert said in fails(capsys, *given, *hot, "--prior", "row", *wrong.split())


def test_an_unknown_step_is_estimated(tmp_path, capsys, digits_test):
    """Of a model's own degradation, or with a prior of any."""
    rows = load_model("contents/runs/custom_digits_row_default_7_seed0").process.degradation
    np.savez(tmp_path / "x.npz", images=_uint8(rows(digits_test.pixels(slice(5)), torch.full((5,), 4))))
    given = ["restore", str(tmp_path / "x.npz"), "--out", str(tmp_path / "y.npz")]
    own = ["--model", "custom_digits_row_default_7_seed0", "--estimate"]
    assert shell(*given, *own) == 0
    said = capsys.readouterr().out
    step = re.search(r"estimated: row, step (\d)", said).group(1)
    assert "row 100%" in said and f"5 images restored from step {step} of 7" in said
    hot = ["--model", "ddpm_digits_testing_seed0"]
    assert shell(*given, *hot, "--prior", "pixelate", "--estimate", "--steps", 1) == 0
    assert "estimated: pixelate, step " in capsys.readouterr().out
    assert "leave --degrade and -t out" in fails(capsys, *given, *own, "-t", "3")
    assert "leave --degrade and -t out" in fails(capsys, *given, *hot, "--prior", "any", "--degrade")


def test_a_model_on_pixels_classifies(tmp_path, capsys):
    out = tmp_path / "numbers.json"
    assert shell("test", "ddpm_digits_testing_seed0", "-n", 3, "--draws", 2, "--out", out) == 0
    said = capsys.readouterr().out
    assert "accuracy" in said and "per pixel, given the class (elbo)" in said and out.is_file()


def test_export_of_the_latest_run_is_what_sample_takes(tmp_path):
    assert shell("export", "-n", 0, "--out", tmp_path / "out", "--device", "cpu") == 0
    released = tmp_path / "out/custom_digits_1_row_default_7.pth"
    assert released.is_file() and (tmp_path / "out/custom_digits_0_row_default_7.pth").is_file()
    assert shell("sample", released, "-n", 2, "--out", tmp_path / "x.png") == 0


def test_mistakes_are_told_before_anything_is_drawn(tmp_path, capsys):
    out = ["--out", str(tmp_path / "x.png")]
    assert "end it in .png, .gif or .npz" in fails(capsys, "sample", "--out", str(tmp_path / "x.jpeg"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    assert "full exists; name a new folder" in fails(capsys, "sample", "--out", str(tmp_path / "full"))
    assert "cannot compute on device 'warp9'" in fails(capsys, "sample", "--device", "warp9", *out)
    assert "cannot compute on device 'meta'" in fails(capsys, "sample", "--device", "meta", *out)
    assert "digit must be between 0 and 9" in fails(capsys, "sample-blend", "--digits", "1", "12", *out)
    assert "no file or folder" in fails(capsys, "restore", str(tmp_path / "nothing.png"), *out)
    assert "-t must be between 1 and T=7" in fails(capsys, "restore", str(tmp_path / "full"), "-t", "8", *out)
    np.savez(tmp_path / "wrong.npz", images=np.zeros((2, 9, 9)))
    assert "float64 values; save greys" in fails(capsys, "restore", str(tmp_path / "wrong.npz"), *out)
    config = ["--config", str(ROOT / "configs/ddpm/testing.yaml")]
    assert "did you mean batch_size" in fails(capsys, "train", *config, "--set", "batchsize=3")
    assert "did you mean lr" in fails(capsys, "init", *config, "--set", "lrr=3")
    assert "written key=value, got 'lr'" in fails(capsys, "train", *config, "--set", "lr")
    assert "is not valid YAML" in fails(capsys, "train", *config, "--set", "widths=[1")
    assert not (tmp_path / "x.png").exists()


def test_devices_and_seeds_are_options_of_every_drawing_verb():
    for verb in (["sample"], ["sample-blend"], ["restore", "x.png"]):
        words = [*verb, "--device", "cuda:1", "--seed", "7", "-n", "3", "--out", "x.gif"]
        _, given, _ = build_app().parse_args(words, exit_on_error=False, print_error=False)
        asked = given.arguments
        assert (asked["computing"], asked["n"], asked["out"]) == (Computing(seed=7, device="cuda:1"), 3, "x.gif")
