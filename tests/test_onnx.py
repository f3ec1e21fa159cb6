"""The ONNX file computes what the model computes, for any number of images."""

import json
from pathlib import Path

import onnxruntime
import pytest
import torch

from thaw.cli.main import main
from thaw.store.onnx import INPUTS, Restorer
from thaw.store.weights import load_model, release_path

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def in_the_project(monkeypatch):
    monkeypatch.chdir(ROOT)


# One predicts x0, the other eps, whose rounding is divided by alpha_t: near T that is 0.006.
@pytest.mark.parametrize(("label", "last"), [("default", 1000), ("cnn", 500)])
def test_onnx_runtime_restores_as_torch_does(label, last, tmp_path, capsys):
    path = tmp_path / "network.onnx"
    assert main(["export", label, "--onnx", str(path)]) == 0
    assert capsys.readouterr().out.strip() == str(path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    about = json.loads(session.get_modelmeta().custom_metadata_map["thaw"])
    assert about["config"]["set"] == label and about["steps"] == 1000
    model = load_model(release_path(label))
    restorer = Restorer(model.process, model.network.eval())
    for n in (1, 5):
        x_t, _, tau, _ = restorer.example(n)
        t, y = torch.linspace(last, 1, n).long(), torch.arange(n) % (model.classes + 1)
        with torch.no_grad():
            expected = restorer(x_t, t, tau, y)
        feed = {name: part.numpy() for name, part in zip(INPUTS, (x_t, t, tau, y), strict=True)}
        found = torch.from_numpy(session.run(None, feed)[0])
        assert found.shape == expected.shape and (found - expected).abs().max() < 1e-4


def test_one_file_holds_one_network(tmp_path, capsys):
    assert main(["export", "default", "--onnx", str(tmp_path / "x.onnx"), "--epochs", "5", "10"]) == 1
    assert "name one epoch" in capsys.readouterr().err and not list(tmp_path.iterdir())
