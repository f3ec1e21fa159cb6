"""As a library: the wheel without extras, alone with what the core needs, far from the clone."""

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from cases import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from thaw.store.weights import release_path

WEIGHTS = release_path("row_default_28", folder=ROOT / "pretrained")


def closure(requirements: list[str]) -> dict[str, importlib.metadata.Distribution]:
    """Return what requirements bring in, as it is installed here, by name."""
    found, left = {}, [Requirement(one) for one in requirements]
    while left:
        one = left.pop()
        name = canonicalize_name(one.name)
        if name not in found and (one.marker is None or one.marker.evaluate({"extra": ""})):
            found[name] = importlib.metadata.distribution(name)
            left += [Requirement(needed) for needed in found[name].requires or []]
    return found


@pytest.fixture(scope="module")
def core(tmp_path_factory) -> Path:
    """A folder of packages that holds the wheel and what it needs without extras, and nothing else.

    What it needs is linked from this environment, as a new one would take minutes and gigabytes.
    """
    source, site = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "src", source / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", source, source], check=True)
    (wheel,) = source.glob("thaw_diffusion-*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", site, wheel], check=True)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for distribution in closure(project["dependencies"]).values():
        for top in {file.parts[0] for file in distribution.files} - {"..", "__pycache__"}:
            if not (site / top).exists():
                (site / top).symlink_to(distribution.locate_file(top))
    return site


@pytest.fixture
def python(core, tmp_path):
    """A function that runs Python in the core alone, outside the clone, and returns what it printed."""

    def run(*arguments: str, **environment: str) -> str:
        left = {key: value for key, value in os.environ.items() if not key.startswith(("THAW", "PYTHON"))}
        done = subprocess.run(
            [sys.executable, "-S", *arguments], cwd=tmp_path, text=True, capture_output=True,
            env=left | {"PYTHONPATH": str(core), "MPLBACKEND": ""} | environment,
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        return done.stdout + done.stderr

    return run


USE = """
import thaw
model = thaw.load_model("mine.pth")
images = thaw.to_uint8(model.sample(model.labels(3), steps=4, seed=0))
assert images.shape == (3, 1, 28, 28) and images.float().std() > 10
x_t = thaw.to_pixels(images)
assert model.restore(x_t, 2, steps=2).shape == x_t.shape
from thaw.data.grids import save_grid
save_grid("three.png", images, columns=3)
assert len(thaw.data.load("digits", "test"))
import sys
from thaw.cli.main import main
assert main(["info", "mine.pth"]) == 0
outside = "accelerate torchmetrics torchvision timm matplotlib IPython ipywidgets papermill nbconvert".split()
assert not [name for name in outside if name in sys.modules]
assert thaw.__file__.startswith(sys.argv[1])
print("drawn")
"""

REFUSED = """
import importlib, thaw
for name, extra in {"train": "train", "evaluate": "train", "load_judge": "train", "play": "notebooks"}.items():
    for _ in range(2):  # the second time as the first
        try:
            getattr(thaw, name)
        except thaw.ThawError as error:
            assert isinstance(error, ImportError)
            assert str(error).endswith(f", which {'is' if ',' not in str(error).partition(', which')[0] else 'are'} "
                                       f"not installed: pip install 'thaw-diffusion[{extra}]'"), error
        else:
            raise AssertionError(name)
for name, extra in {"report.figures": "notebooks", "scoring.metrics": "train", "training.loop": "train"}.items():
    try:
        importlib.import_module(f"thaw.{name}")
    except thaw.ThawError as error:
        assert f"thaw-diffusion[{extra}]" in str(error)
try:
    thaw.data.load("mnist")
except thaw.ThawError as error:
    assert str(error).endswith("pip install 'thaw-diffusion[data]'"), error
told = []
assert thaw.data.resolve("mnist", told.append) == "digits" and "thaw-diffusion[data]" in told[0]
print("refused")
"""

NAMED = """
import os, sys, thaw
from thaw.cli.main import main
try:
    thaw.load_model("row_default_28")
except thaw.ThawError as error:
    print(error)
os.environ["THAW_PRETRAINED"] = sys.argv[1]
print(thaw.load_model("row_default_28").info["file"])
assert main(["info"]) == 0
"""

EXTRAS = """
import json, sys
from thaw.cli.main import main
for arguments in json.loads(sys.argv[1]):
    assert main(arguments) == 1
"""


@pytest.mark.slow
def test_the_wheel_alone_samples_restores_and_saves_outside_the_clone(core, python, tmp_path):
    shutil.copy(WEIGHTS, tmp_path / "mine.pth")
    said = python("-c", USE, str(core))
    assert "terminal_rank" in said and said.endswith("\ndrawn\n")
    assert (tmp_path / "three.png").stat().st_size > 300
    said = python("-m", "thaw", "sample", "mine.pth", "-n", "2", "--steps", "3", "--out", "two.png")
    assert "2 images" in said and (tmp_path / "two.png").is_file()


@pytest.mark.slow
def test_shipped_weights_go_by_name_where_their_folder_is_named(python):
    said, told, *listed = python("-c", NAMED, str(ROOT / "pretrained")).splitlines()
    assert "no weights mnist row_default_28 in pretrained" in said and "set THAW_PRETRAINED to" in said
    assert told == WEIGHTS.name and any("row_default_28" in line for line in listed)


@pytest.mark.slow
def test_what_needs_an_extra_names_it_in_one_sentence(python, tmp_path):
    shutil.copy(WEIGHTS, tmp_path / "mine.pth")
    assert python("-c", REFUSED) == "refused\n"
    config = ROOT / "configs" / "ddpm" / "default.yaml"
    commands = {
        "train": ["train", "--config", str(config), "--set", "data=digits", "--train-only"],
        "notebooks": ["notebook", "01_ddpm"],
        "onnx": ["export", "mine.pth", "--onnx", "mine.onnx"],
    }
    evaluate = ["evaluate", "mine.pth"]
    *told, last = python("-c", EXTRAS, json.dumps([*commands.values(), evaluate])).splitlines()
    for extra, said in zip(commands, told, strict=True):  # a sentence each
        assert said.startswith("thaw: this needs ") and f"thaw-diffusion[{extra}]" in said
    assert "thaw-diffusion[train]" in last
