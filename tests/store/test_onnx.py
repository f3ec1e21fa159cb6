"""The ONNX file computes what the model computes, for any number of images."""

import json

import onnxruntime
import pytest
import torch
from cases import ROOT

from thaw.cli.main import main
from thaw.store.onnx import INPUTS, export_onnx
from thaw.store.weights import load_model, release_path


@pytest.fixture(autouse=True)
def in_the_project(monkeypatch):
    monkeypatch.chdir(ROOT)


# Label, last step, and whether pixels bound x0_hat.
CASES = [("default", 1000, True), ("row_default_28", 28, True), ("flow", 1000, False)]


@pytest.mark.slow
@pytest.mark.parametrize(("label", "last", "bounded"), CASES)
def test_onnx_runtime_denoises_as_the_model_does(label, last, bounded, tmp_path, capsys):
    path = tmp_path / "network.onnx"
    assert main(["export", label, "--onnx", str(path)]) == 0
    assert capsys.readouterr().out.strip() == str(path)
    model = load_model(release_path(label))
    assert model.process.bounded == bounded
    assert_same(path, model, last)


def test_a_plain_cnn_that_predicts_eps_is_exported(tmp_path, tiny):
    """Not told the class; its rounding is divided by alpha_t, so not near T, where that is 0.006."""
    settings = {"network": "cnn", "prediction": "eps", "schedule": "linear", "label_dropout": 1.0, "steps": 1000}
    assert_same(export_onnx(tiny(**settings), tmp_path / "network.onnx"), tiny(**settings), 500)


@pytest.mark.slow
def test_what_is_not_bounded_is_not_clipped(tmp_path):
    model = load_model(release_path("default"))
    model.process.bounded = False
    assert_same(export_onnx(model, tmp_path / "network.onnx"), model, 1000)


def assert_same(path, model, last):
    """The file's x0_hat is `Model.denoise`, clipped only where x0 is bounded, beyond [-1, 1] too."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    about = json.loads(session.get_modelmeta().custom_metadata_map["thaw"])
    assert about["config"] == model.config.model_dump(mode="json") and about["steps"] == model.process.steps
    beyond = 0.0
    for n in (1, 5):
        x_t = 3 * torch.randn(n, *model.process.shape)
        t, y = torch.linspace(last, 1, n).long(), torch.arange(n) % (model.classes + 1)
        for tau in {*model.process.tau, sum(model.process.tau) / 2}:
            with torch.no_grad():
                expected = model.denoise(x_t, t, y, tau)
            beyond = max(beyond, float(expected.abs().max()))
            expected = expected.clamp(-1, 1) if model.process.bounded else expected
            feed = {name: part.numpy() for name, part in zip(INPUTS, (x_t, t, torch.full((n,), tau), y), strict=True)}
            found = torch.from_numpy(session.run(None, feed)[0])
            assert found.shape == expected.shape and (found - expected).abs().max() < 1e-4
    assert beyond > 1.01


def test_one_file_holds_one_network(tmp_path, capsys):
    assert main(["export", "default", "--onnx", str(tmp_path / "x.onnx"), "--epochs", "5", "10"]) == 1
    assert "name one epoch" in capsys.readouterr().err and not list(tmp_path.iterdir())
