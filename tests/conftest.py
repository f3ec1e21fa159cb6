"""Fixtures: one torch thread, a scratch working directory, tiny models, and MNIST where it is installed."""

import multiprocessing
import os
from itertools import islice
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

import numpy as np
import pytest
import torch
from cases import FOLDERS, ROOT, write_pictures
from PIL import Image
from torch import nn

from thaw import data
from thaw.base.errors import ThawError
from thaw.base.pixels import to_uint8
from thaw.base.seeding import generator
from thaw.degradations import base
from thaw.experiment.build import build_model, build_network, build_process
from thaw.experiment.config import Config, make_config
from thaw.model import Model
from thaw.scoring import Judge
from thaw.scoring.judge import FeatureNetwork
from thaw.scoring.judge_training import make_judge
from thaw.terminal import fit_terminal

TINY = {"data": "digits", "widths": (8, 16), "steps": 10, "sample_steps": 3, "terminal_components": 2}


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let each of several workers begin with a part of the slow files: at the end none waits for a single test.

    The workers get equal parts of the list, and take from each other's ends.
    """
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    slow = [item for item in items if item.get_closest_marker("slow")]
    fast = iter([item for item in items if not item.get_closest_marker("slow")])
    files = list(dict.fromkeys(item.path for item in reversed(slow)))  # the whole study, the longest, comes first
    parts = [[one for path in files[worker::workers] for one in slow if one.path == path] for worker in range(workers)]
    if workers > 1:
        parts = [part + list(islice(fast, max(0, len(items) // workers - len(part)))) for part in parts]
        items[:] = [item for part in parts for item in part] + list(fast)


@pytest.fixture(autouse=True)
def safe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread, a known seed, nothing written into the repository, no degradation left registered."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("THAW_PRETRAINED", raising=False)
    monkeypatch.setattr(base, "_REGISTRY", dict(base._REGISTRY))


@pytest.fixture(scope="module", autouse=True)
def registered():
    """What the fixtures of a file register is forgotten after it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base, "_REGISTRY", dict(base._REGISTRY))
        yield


@pytest.fixture(scope="session")
def processes():
    """Processes forked off a server that has imported everything: a training starts in no time."""
    context = multiprocessing.get_context("forkserver")
    imported = ["thaw.training.loop", "sklearn.mixture", "sklearn.datasets", "timm.optim"]
    imported += ["workers"]
    context.set_forkserver_preload(imported)
    return context


@pytest.fixture(scope="session")
def repository() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def digits() -> data.ImageSet:
    return data.load("digits", "train")


@pytest.fixture(scope="session")
def digits_test() -> data.ImageSet:
    return data.load("digits", "test")


@pytest.fixture(scope="session")
def mnist() -> data.ImageSet:
    """MNIST's test split; skipped where its files are not installed."""
    try:
        return data.load("mnist", "test", download=False)
    except ThawError as error:
        pytest.skip(f"needs the MNIST files: {error}")


@pytest.fixture(scope="session")
def judge(digits: data.ImageSet, digits_test: data.ImageSet) -> Judge:
    """A feature network with random weights: as good as a trained one for the laws of the metrics."""
    torch.manual_seed(0)
    network = FeatureNetwork().to(memory_format=torch.channels_last).eval()
    return make_judge(network, digits.subset(1000, 0), digits_test)


@pytest.fixture(scope="session")
def folders(tmp_path_factory) -> dict[int, Path]:
    """Folders of no, one, few and many classes, grey and colour, whose test splits are of 1, 1, 2, 3 and 9 images."""
    root = tmp_path_factory.mktemp("folders")
    for classes, (name, count, channels) in FOLDERS.items():
        draws = np.random.default_rng(classes)
        for index in range(count * max(1, classes)):
            folder = root / name / (f"class{index % classes:02d}" if classes else "")
            folder.mkdir(parents=True, exist_ok=True)
            corners = Image.fromarray(draws.integers(0, 256, (2, 2, channels), dtype=np.uint8).squeeze())
            corners.resize((20, 18), Image.Resampling.BILINEAR).save(folder / f"{index:03d}.png")
    return {classes: root / name for classes, (name, *_) in FOLDERS.items()}


def randomise(network: nn.Module, scale: float = 0.05) -> nn.Module:
    """Give every parameter that starts at zero random values, so that all inputs matter."""
    for parameter in network.parameters():
        if not parameter.detach().any():
            nn.init.normal_(parameter, std=scale)
    return network


@pytest.fixture
def randomised():
    return randomise


@pytest.fixture
def tiny(digits: data.ImageSet):
    """A function that builds an untrained, random `Model` from a few settings."""

    def build(**values) -> Model:
        config: Config = make_config(TINY | values)
        images = digits.subset(300, 0)
        process = build_process(config, images.shape)
        torch.manual_seed(1)
        network = randomise(build_network(config, images.shape, images.classes)).eval()
        terminal = fit_terminal(process.degradation, images.batches(), images.labels, config.terminal_components)
        return build_model(config, process, network, terminal, images.classes, epoch=4)

    return build


@pytest.fixture
def warm_rows(tiny) -> Model:
    """A model of averaged rows, trained (in name) for all temperatures."""
    return tiny(study="custom", degradation="row", options={"group": 4}, steps=None, tau=(0.0, 1.0), eta=1.0)


@pytest.fixture(scope="session")
def pairs(tmp_path_factory, digits):
    """Digits, and the same halved in size, darkened by a random share, and noisy: no function of the digit."""
    root, draws = tmp_path_factory.mktemp("pairs"), generator(0, "pairs")
    chosen = digits.subset(120, 0)
    x0 = chosen.pixels()
    small = torch.nn.functional.interpolate(torch.nn.functional.avg_pool2d(x0, 4), scale_factor=4)
    dark = (small + 1) * (0.6 + 0.4 * torch.rand(120, 1, 1, 1, generator=draws)) - 1
    degraded = (dark + 0.1 * torch.randn(x0.shape, generator=draws)).clamp(-1, 1)
    names = [f"{label}/{index:03d}" for index, label in enumerate(chosen.labels.tolist())]
    write_pictures(root / "clean", chosen.images, [f"{name}.png" for name in names])
    write_pictures(root / "degraded", to_uint8(degraded), [f"{name}.bmp" for name in names])
    return root
